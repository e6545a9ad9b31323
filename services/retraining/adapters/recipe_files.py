"""Recipes in YAML, one in a file."""

from pathlib import Path

from libs.yaml_files import BadFileError, YamlForm
from services.retraining.domain.recipe import Recipe

SHIPPED = Path(__file__).parents[1] / "recipes"
_FORM = YamlForm(Recipe, "recipe", "services/retraining/recipes/dpo.yaml")


def read_recipes(folder: Path | None = None) -> dict[str, Recipe]:
    """By name, those of the folder or the shipped ones. Raises BadFileError with what is wrong and where."""
    place = folder or SHIPPED
    found: dict[str, tuple[Path, Recipe]] = {}
    for path in sorted(place.glob("*.yaml")):
        recipe = _FORM.read(path)
        if recipe.name in found:
            raise BadFileError(f'{path}: "{recipe.name}" is the name of {found[recipe.name][0]}, too: give another')
        found[recipe.name] = (path, recipe)
    if not found:
        raise BadFileError(f"{place}: holds no recipe; put *.yaml files there, as {SHIPPED} has them")
    return {name: recipe for name, (_, recipe) in found.items()}
