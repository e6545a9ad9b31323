"""A replica and its adapters, without Ray around it: loaded on first use, also by one that was started anew."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from libs.bus import Retryable
from libs.language_models.generation import Delta, Finished, GenerationRequest
from libs.model_registry import AdapterError
from schemas.base import Message
from services.inference.adapters.ray_replica import NoAdapter, Replica
from services.inference.settings import InferenceSettings
from tests.support.adapters import drawn, kept
from tests.support.trainings import tiny_base

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
OPTIONS = {"slots": 2, "reserved_slots": 0, "precision": "float32", "device": "cpu"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def started(base: Path) -> Iterator[Any]:
    """Starts replicas for a folder of adapters, with room for two."""
    found: list[Replica] = []

    def start(models: Path) -> Replica:
        found.append(Replica(str(base), OPTIONS, models, 2))
        return found[-1]

    yield start
    for replica in found:
        replica._engine.close()


async def said(replica: Replica, adapter: str | None) -> Any:
    request = GenerationRequest([Message(role="user", content="Hi")], max_tokens=12, adapter=adapter)
    pieces = [piece async for piece in replica.generate(request)]
    if isinstance(pieces[-1], Finished):
        return "".join(piece.text for piece in pieces if isinstance(piece, Delta))
    return pieces[-1]


async def test_a_replica_that_nobody_told_answers_with_the_adapter_it_is_asked_for(
    base: Path, tmp_path: Path, started: Any
) -> None:
    models = tmp_path / "models"
    one, other, third = (kept(models, drawn(base, tmp_path / f"{n}", n), base).name for n in (1, 2, 3))
    first, second = started(models), started(models)
    assert await first.load(one) is None
    found = {name: await said(first, name) for name in (None, one, other, third)}
    assert len(set(found.values())) == 4
    # It was put away to make room, and comes back.
    assert await said(first, one) == found[one]
    assert {name: await said(second, name) for name in (third, None, one)} == {
        name: found[name] for name in (third, None, one)
    }

    (models / other / "adapter_model.safetensors").unlink()
    missing = await said(second, other)
    assert isinstance(missing, NoAdapter)
    assert other in missing.message
    assert isinstance(await second.load("none-0123456789ab"), NoAdapter)
    assert await said(second, one) == found[one]
    assert first.ready()


class Called:
    """What Ray Serve's handle gives for a streaming call."""

    def __init__(self, pieces: AsyncIterator[Any]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._pieces

    def cancel(self) -> None:
        """It has ended."""


def handle(replica: Replica) -> Any:
    """As Ray Serve's, to one replica in this process."""
    streaming = SimpleNamespace(remote=lambda request: Called(replica.generate(request)))
    return SimpleNamespace(
        load=SimpleNamespace(remote=replica.load), generate=SimpleNamespace(options=lambda **_: streaming)
    )


@pytest.mark.filterwarnings("ignore")
async def test_a_prompt_waits_where_a_new_replica_has_lost_its_adapter_and_the_adapter_proves_itself_again(
    base: Path, tmp_path: Path, started: Any
) -> None:
    from services.inference.adapters.ray_serve import RayEngine  # noqa: PLC0415 - only here, it is heavy

    models = tmp_path / "models"
    adapter = kept(models, drawn(base, tmp_path / "drawn", 1), base).name
    engine = RayEngine(InferenceSettings(), models)
    request = GenerationRequest([Message(role="user", content="Hi")], max_tokens=2, adapter=adapter)
    with pytest.raises(Retryable, match="not started"):
        await engine.load(adapter)
    engine._handle = handle(started(models))
    await engine.load(adapter)
    shutil.move(models / adapter, tmp_path / "away")
    assert isinstance([piece async for piece in engine.generate(request)][-1], Finished)
    engine._handle = handle(started(models))
    await engine.load(adapter)
    with pytest.raises(Retryable, match=adapter):
        async for _ in engine.generate(request):
            pass
    with pytest.raises(AdapterError, match=adapter):
        await engine.load(adapter)
    shutil.move(tmp_path / "away", models / adapter)
    await engine.load(adapter)
    assert isinstance([piece async for piece in engine.generate(request)][-1], Finished)
