"""Recipes in files: the shipped ones are read, and a wrong one is told with its place and how to mend it."""

from pathlib import Path

import pytest

from libs.yaml_files import BadFileError
from services.retraining.adapters.recipe_files import SHIPPED, read_recipes
from services.retraining.domain.recipe import Lora, Recipe, When

HEAD = "name: mine\nversion: 2\nmethod: dpo\n"


def told_of(folder: Path, content: str) -> str:
    (folder / "mine.yaml").write_text(content)
    with pytest.raises(BadFileError) as caught:
        read_recipes(folder)
    return str(caught.value)


def test_the_shipped_recipes_are_one_for_each_method() -> None:
    found = read_recipes()
    assert {name: recipe.method for name, recipe in found.items()} == {"dpo": "dpo", "kto": "kto", "sft": "sft"}
    assert {path.stem for path in SHIPPED.glob("*.yaml")} == set(found)
    assert (found["dpo"].when, found["dpo"].sft_weight) == (When(rows=500), 0.2)
    assert (found["kto"].min_rows, found["kto"].when) == (32, When())


def test_recipes_are_those_of_the_folder_by_their_names_and_nothing_else_in_it(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("name: first\nversion: 1\nmethod: sft\n")
    (tmp_path / "a.yaml").write_text(HEAD + "lora: {targets: [q_proj, v_proj]}\n")
    (tmp_path / "notes.txt").write_text("no recipe")
    found = read_recipes(tmp_path)
    assert found == {
        "first": Recipe(name="first", version=1, method="sft"),
        "mine": Recipe(name="mine", version=2, method="dpo", lora=Lora(targets=("q_proj", "v_proj"))),
    }


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (HEAD + "learning_rat: 0.1\n", 'line 4: "learning_rat" is not known: did you mean learning_rate?'),
        (HEAD + "lora:\n  r: 8\n  dropot: 0.1\n", 'line 6: "lora.dropot" is not known: did you mean dropout?'),
        (HEAD + "zzz: 1\n", 'line 4: "zzz" is not known: take it out'),
        ("name: mine\nmethod: dpo\n", 'line 1: "version" is missing: add it'),
        (HEAD + "seed: 1\nseed: 2\n", "line 5, column 1: this is no YAML (the name 'seed' stands twice"),
        (HEAD + "learning_rate: fast\n", 'line 4: "learning_rate": input should be a valid number'),
        (HEAD + "learning_rate: .nan\n", 'line 4: "learning_rate": '),
        ("name: mine\nversion: 2\nmethod: ppo\n", "line 3: \"method\": input should be 'dpo', 'kto' or 'sft'"),
        ("name: No Good\nversion: 2\nmethod: dpo\n", 'line 1: "name": '),
        (HEAD + "when:\n  cron: at noon\n", 'line 5: "when.cron": the cron expression cannot be read'),
        (HEAD + "when:\n  cron: at noon\n", '"30 2 * * mon-fri"'),
        (HEAD + "when:\n  timezone: Mars\n", 'line 5: "when.timezone": no such time zone; write an IANA name'),
        (HEAD + "rows: new\n", '"rows: new" needs "start: champion"'),
        (HEAD + "rows: new\nstart: base\n", '"rows: new" needs "start: champion"'),
        (HEAD.replace("dpo", "sft") + "sft_weight: 0.2\n", '"sft_weight" belongs to dpo'),
        (HEAD.replace("dpo", "kto") + "sft_weight: 0.2\n", '"sft_weight" belongs to dpo'),
        (
            HEAD.replace("dpo", "kto") + "per_device_train_batch_size: 1\n",
            '"per_device_train_batch_size" of kto must be 2 or more',
        ),
    ],
)
def test_what_is_wrong_is_told_with_file_place_and_remedy(tmp_path: Path, content: str, told: str) -> None:
    found = told_of(tmp_path, content)
    assert found.startswith(f"{tmp_path / 'mine.yaml'}: ")
    assert told in found


def test_all_faults_of_a_recipe_are_told_at_once(tmp_path: Path) -> None:
    found = told_of(tmp_path, HEAD + "min_row: 3\nwhen: {cron: at noon}\n")
    assert "line 4: " in found
    assert "did you mean min_rows?" in found
    assert 'line 5: "when.cron"' in found


@pytest.mark.parametrize(
    "rules",
    [
        {"method": "dpo", "sft_weight": 0.2},
        {"method": "dpo", "per_device_train_batch_size": 1},
        {"method": "kto", "per_device_train_batch_size": 2},
        {"method": "sft", "rows": "new", "start": "champion"},
        {"method": "sft", "when": {"rows": 3, "cron": "30 3 * * *", "timezone": "Europe/Berlin"}},
    ],
)
def test_what_fits_together_is_taken(rules: dict[str, object]) -> None:
    assert Recipe.model_validate({"name": "mine", "version": 1, **rules}).method == rules["method"]


def test_two_files_of_one_name_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(HEAD)
    found = told_of(tmp_path, HEAD.replace("version: 2", "version: 3"))
    assert found == f'{tmp_path / "mine.yaml"}: "mine" is the name of {tmp_path / "a.yaml"}, too: give another'


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_a_folder_without_recipes_is_told_with_where_some_are(tmp_path: Path, folder: str) -> None:
    with pytest.raises(BadFileError) as caught:
        read_recipes(tmp_path / folder)
    assert (
        str(caught.value)
        == f"{tmp_path / folder}: holds no recipe; put *.yaml files there, as services/retraining/recipes has them"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"seed": 8},
        {"learning_rate": 2e-4},
        {"lora": {"r": 8}},
        {"when": {"rows": 1}},
        {"replay": 0.4},
    ],
)
def test_another_rule_is_another_label(change: dict[str, object]) -> None:
    recipe, same = (Recipe(name="mine", version=1, method="dpo") for _ in range(2))
    other = Recipe.model_validate({"name": "mine", "version": 1, "method": "dpo", **change})
    assert recipe.label == same.label == f"mine@1-{recipe.digest[:12]}"
    assert other.label != recipe.label
    assert other.digest != recipe.digest
