"""MLflow is told what serves and what was examined, once; what serves waits for none of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from pydantic import SecretStr

from libs.model_registry import Adapters, Champions, Examinations, Turn, registry_uri
from libs.model_registry.registry import Registry
from schemas.evaluation import ModelEvaluated
from services.evaluation.adapters.mirror import Mirror
from tests.support.small_adapters import small

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def evaluated(model: str, *, passed: bool) -> ModelEvaluated:
    return ModelEvaluated(
        evaluation_id=f"eval-{model}", request_id="q", model=model, base="smol", passed=passed, reasons=("so",),
        gate="g@1-a", checks=(), metrics={"safety": {"candidate": 0.75, "champion": 0.5}, "bleu": {}}, seconds=1,
        evaluated_at=NOON,
    )  # fmt: skip


async def test_the_registry_knows_champion_and_verdicts_and_is_told_once(tmp_path: Path) -> None:
    adapters, champions = Adapters(tmp_path / "models"), Champions(tmp_path / "models")
    ended, uri = Examinations(tmp_path / "reports"), registry_uri(None, tmp_path / "mlflow")
    mirror = Mirror(champions, ended, SecretStr(uri), look=timedelta(hours=1))
    await mirror.look()
    assert not ended.folder.exists()

    registry = Registry(uri)
    known, by_hand = (small(adapters, number) for number in (1.0, 2.0))
    registry.register(known, registry.begin("run-1", "run-1", {}, {}))
    ended.keep(evaluated(known.name, passed=True), "# report")
    ended.keep(evaluated(by_hand.name, passed=False), "# report")
    champions.change(
        "1",
        lambda _, revision: Turn(revision=revision, action="promote", request_id="1", model=known.name, at=NOON),
    )
    await mirror.look()
    version = registry.version(known.name)
    assert version.aliases == ("candidate", "champion")
    client = MlflowClient(uri, uri)
    assert client.get_run(version.run).data.metrics == {"exam.safety": 0.75}
    tags = client.get_model_version("tailrace", version.version).tags
    assert (tags["verdict"], tags["gate"]) == ("passed", "g@1-a")

    registry.unpoint("champion")
    await mirror.look()
    # Nothing is new to it: a look that finds nothing asks nobody.
    assert registry.named("champion") is None


async def test_while_the_registry_is_away_it_is_tried_again(tmp_path: Path) -> None:
    ended = Examinations(tmp_path / "reports")
    ended.keep(evaluated("mine-000000000000", passed=False), "# report")
    (tmp_path / "taken").write_text("no folder")
    away = SecretStr(f"sqlite:////{tmp_path}/taken/mlflow.db")
    mirror = Mirror(Champions(tmp_path / "models"), ended, away, look=timedelta(hours=1))
    with pytest.raises(RuntimeError, match="the model registry: "):
        await mirror.look()
    assert not (ended.folder / "told.json").exists()
