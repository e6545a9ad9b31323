"""Adapters are named by their content, keep their cards, and are found and fetched through the registry."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from libs.model_registry import Adapter, AdapterError, Adapters, ModelCard, registry_uri
from libs.model_registry.adapters import CARD, CONFIG, README, WEIGHTS
from libs.model_registry.registry import Point, Registry, RegistryError
from tests.support.small_adapters import MORNING, card_by, saved


@pytest.fixture
def adapters(tmp_path: Path) -> Adapters:
    return Adapters(tmp_path / "models")


@pytest.fixture
def adapter(adapters: Adapters, tmp_path: Path) -> Adapter:
    return adapters.add(saved(tmp_path / "trained"), "mine", card_by())


def test_an_adapter_is_named_by_recipe_and_content_and_is_whole(adapters: Adapters, adapter: Adapter) -> None:
    assert adapter.name == f"mine-{adapter.card.digest[:12]}"
    assert {path.name for path in adapter.folder.iterdir()} == {CONFIG, WEIGHTS, CARD, README}
    assert adapter.verify() == []
    assert adapters.open(adapter.name) == adapter
    assert adapters.list() == (adapter,)
    assert {path.name for path in adapters.folder.iterdir()} == {adapter.name}
    assert json.loads((adapter.folder / CONFIG).read_bytes())["base_model_name_or_path"] == "smol"


def test_the_same_content_again_is_the_same_adapter_and_keeps_its_card(
    adapters: Adapters, adapter: Adapter, tmp_path: Path
) -> None:
    again = adapters.add(saved(tmp_path / "again"), "mine", card_by("run-2"))
    assert again == adapter
    assert again.card.run_id == "run-1"


@pytest.mark.parametrize("same", [{"target_modules": ["v_proj", "q_proj"]}, {"base_model_name_or_path": "/c/d"}])
def test_order_of_modules_and_place_of_the_base_are_no_content(
    adapters: Adapters, adapter: Adapter, tmp_path: Path, same: dict[str, Any]
) -> None:
    assert adapters.add(saved(tmp_path / "same", **same), "mine", card_by()).name == adapter.name


def test_other_weights_another_configuration_or_another_recipe_are_another_adapter(
    adapters: Adapters, adapter: Adapter, tmp_path: Path
) -> None:
    later = datetime(2026, 3, 3, tzinfo=UTC)
    weights = adapters.add(saved(tmp_path / "weights", 2.0), "mine", card_by(trained_at=later))
    config = adapters.add(saved(tmp_path / "config", r=8), "mine", card_by(trained_at=MORNING.replace(hour=7)))
    renamed = adapters.add(saved(tmp_path / "renamed"), "other", card_by(trained_at=MORNING.replace(hour=9)))
    assert adapters.list() == (config, adapter, renamed, weights)
    assert renamed.name.removeprefix("other-") == adapter.name.removeprefix("mine-")


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def _rank(folder: Path) -> None:
    (folder / CONFIG).write_text((folder / CONFIG).read_text().replace('"r": 4', '"r": 8'))


def _other_card(folder: Path) -> None:
    (folder / CARD).write_text(card_by()("mine-000000000000", "0" * 64).model_dump_json())


DAMAGES = pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: _flip(folder / WEIGHTS), "its content is not what was trained"),
        (_rank, "its content is not what was trained"),
        (lambda folder: (folder / CONFIG).write_text("{"), f"{CONFIG} is damaged"),
        (lambda folder: (folder / WEIGHTS).unlink(), "No such file"),
        (lambda folder: (folder / CARD).unlink(), "this is no adapter of ours"),
        (lambda folder: (folder / CARD).write_text("{}"), f"{CARD} is damaged: "),
        (_other_card, "it is the card of mine-000000000000"),
    ],
)


@DAMAGES
def test_damage_is_told_and_mended_when_the_whole_one_is_added_again(
    adapters: Adapters, adapter: Adapter, tmp_path: Path, damage: Callable[[Path], object], told: str
) -> None:
    damage(adapter.folder)
    assert told in adapter.verify()[0]
    mended = adapters.add(tmp_path / "trained", "mine", card_by("run-2"))
    assert mended == adapter
    assert mended.verify() == []
    assert Adapter(mended.folder).card.run_id == "run-2"


def test_a_moved_adapter_is_not_what_its_name_says(adapter: Adapter) -> None:
    moved = Adapter(adapter.folder.rename(adapter.folder.with_name("mine-000000000000")))
    assert len(moved.verify()) == 2


@pytest.mark.parametrize(
    "name", ["../x", "", ".", "mine", "mine-000000000000", "../models/{name}", "{name}/", "MINE-{name}"]
)
def test_a_name_that_is_none_opens_nothing(adapters: Adapters, adapter: Adapter, name: str) -> None:
    with pytest.raises(AdapterError, match="no adapter"):
        adapters.open(name.format(name=adapter.name))


def test_what_cannot_be_taken_in_leaves_nothing_behind(adapters: Adapters, adapter: Adapter, tmp_path: Path) -> None:
    (half := saved(tmp_path / "half")).joinpath(WEIGHTS).unlink()
    with pytest.raises(AdapterError, match="No such file"):
        adapters.add(half, "mine", card_by())
    with pytest.raises(ZeroDivisionError):
        adapters.add(saved(tmp_path / "other", 2.0), "mine", lambda _name, _digest: ModelCard(seed=1 // 0))  # type: ignore[call-arg]
    assert [path.name for path in adapters.folder.iterdir()] == [adapter.name]
    assert Adapters(tmp_path / "nowhere").list() == ()


def test_the_card_tells_people_what_it_was_made_of(adapter: Adapter) -> None:
    text = (adapter.folder / README).read_text()
    for told in (
        "base_model: smol", "tags: [dpo, lora, trl]", f"# {adapter.name}", "`mine@1-abc`", "d" * 64, "`test@1-def`",
        "40 trained on, 3 of them replayed; 2 held out", "5" * 64, "| seed | 77 |", "peft 4.5.6, trl 1.2.3", "run-1",
        "the bare base", "30 in 3 epochs, 10 s, 1 process on cpu", "| train_loss | 0.25 |", "2026-03-02T08:00:00Z",
        adapter.card.digest,
    ):  # fmt: skip
        assert told in text
    assert text == adapter.card.as_markdown()
    later = adapter.card.model_copy(update={"started_from": "mine-111111111111", "workers": 2}).as_markdown()
    assert "adapter `mine-111111111111`" in later
    assert "2 processes on cpu" in later


_NUMBERS = count()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def opened(place: Path) -> Registry:
    return Registry(registry_uri(None, place))


@pytest.fixture
def registry(opened: Registry, place: Path) -> Registry:
    """A registered model of the test's own, in the one database."""
    name = f"model-{next(_NUMBERS)}"
    return Registry(registry_uri(None, place), model=name, experiment=name)


def begun(registry: Registry, run_id: str = "run-1") -> str:
    return registry.begin(run_id, run_id, {"seed": 7, "beta": 0.1}, {"dataset": "d" * 64})


def test_a_training_begun_again_is_the_same(registry: Registry, place: Path) -> None:
    run = begun(registry)
    assert begun(registry) == run
    assert begun(registry, "run-2") != run
    told = MlflowClient(registry_uri(None, place)).get_run(run)
    assert told.data.params == {"seed": "7", "beta": "0.1"}
    assert (told.info.run_name, told.data.tags["dataset"]) == ("run-1", "d" * 64)
    registry.end(run, "FINISHED")
    assert begun(registry) == run
    assert MlflowClient(registry_uri(None, place)).get_run(run).info.status == "FINISHED"


def test_no_point_of_a_curve_is_written_twice(registry: Registry, place: Path) -> None:
    points = [Point(step, 1000 + step, {"loss": 1 / (step + 1), "lr": 0.1}) for step in range(600)]
    run = begun(registry)
    told_again = [replace(it, at_ms=1) for it in points[:3]]
    for written in (points[:3], told_again, [*told_again, *points[3:]], points):
        registry.curve(run, written)
    found = MlflowClient(registry_uri(None, place)).get_metric_history(run, "loss")
    assert sorted((it.step, it.value, it.timestamp) for it in found) == [
        (it.step, it.metrics["loss"], it.at_ms) for it in points
    ]
    assert len(MlflowClient(registry_uri(None, place)).get_metric_history(run, "lr")) == 600


def test_an_adapter_registered_again_is_the_same_version_and_candidate(
    registry: Registry, adapters: Adapters, adapter: Adapter, tmp_path: Path
) -> None:
    assert (registry.versions(), registry.named("candidate"), registry.named("champion")) == ((), None, None)
    run = begun(registry)
    first = registry.register(adapter, run)
    assert registry.register(adapter, run) == first
    assert (first.adapter, first.run) == (adapter.name, run)
    assert [(it.version, it.aliases) for it in registry.versions()] == [("1", ("candidate",))]
    other = adapters.add(saved(tmp_path / "other", 2.0), "mine", card_by("run-2"))
    registry.register(other, begun(registry, "run-2"))
    assert registry.named("candidate") == other.name
    assert [(it.version, it.adapter, it.aliases) for it in registry.versions()] == [
        ("1", adapter.name, ()),
        ("2", other.name, ("candidate",)),
    ]


def test_the_champion_is_whom_it_was_pointed_at_until_nobody_is(registry: Registry, adapter: Adapter) -> None:
    registry.register(adapter, begun(registry))
    assert registry.named("champion") is None
    registry.point("champion", adapter.name)
    assert registry.named("champion") == adapter.name
    assert registry.version(adapter.name).aliases == ("candidate", "champion")
    registry.unpoint("champion")
    assert (registry.named("champion"), registry.named("candidate")) == (None, adapter.name)


def test_an_adapter_whose_folder_is_gone_is_fetched_as_it_was(
    registry: Registry, adapters: Adapters, adapter: Adapter
) -> None:
    registry.register(adapter, begun(registry))
    before = {path.name: path.read_bytes() for path in adapter.folder.iterdir()}
    assert registry.fetch(adapter.name, adapters) == adapter
    shutil.rmtree(adapter.folder)
    fetched = registry.fetch(adapter.name, adapters)
    assert (fetched, fetched.verify()) == (adapter, [])
    assert {path.name: path.read_bytes() for path in fetched.folder.iterdir()} == before
    _flip(fetched.folder / WEIGHTS)
    assert registry.fetch(adapter.name, adapters).verify() == []


def test_a_damaged_copy_is_refused(registry: Registry, adapters: Adapters, adapter: Adapter, place: Path) -> None:
    run = begun(registry)
    registry.register(adapter, run)
    shutil.rmtree(adapter.folder)
    (copy,) = (place / "artifacts" / run).rglob(WEIGHTS)
    _flip(copy)
    with pytest.raises(AdapterError, match=f"the registry's copy of {adapter.name} is damaged"):
        registry.fetch(adapter.name, adapters)
    assert adapters.list() == ()


def test_an_adapter_that_is_not_registered_is_told(registry: Registry, adapters: Adapters) -> None:
    for ask in (registry.version, lambda name: registry.point("champion", name), lambda n: registry.fetch(n, adapters)):
        with pytest.raises(AdapterError, match='no adapter "mine-000000000000" is registered'):
            ask("mine-000000000000")


def test_a_registry_that_does_not_answer_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match=r"the model registry: .*refused") as told:
        begun(Registry("http://bob:s3cret@127.0.0.1:9"))
    assert "s3cret" not in str(told.value)
