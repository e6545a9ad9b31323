"""Recipes in YAML, one in a file."""

from pathlib import Path

from libs.yaml_files import YamlForm
from services.retraining.domain.recipe import Recipe

SHIPPED = Path(__file__).parents[1] / "recipes"
_FORM = YamlForm(Recipe, "recipe", "services/retraining/recipes/dpo.yaml")


def read_recipes(folder: Path | None = None) -> dict[str, Recipe]:
    """By name, those of the folder or the shipped ones. Raises BadFileError with what is wrong and where."""
    return _FORM.read_folder(folder or SHIPPED)
