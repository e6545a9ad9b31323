"""What serves, from the log to the prompts: read before the first one, followed, and kept up where an adapter fails."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from structlog.testing import capture_logs

from libs.bus import InMemoryBus, Outgoing, Retryable, Stage, ViewReader, encode
from libs.clock import utc_now
from libs.language_models.generation import GenerationRequest
from libs.model_registry import AdapterError, Adapters
from libs.model_registry.adapters import CARD
from libs.service import Runtime
from libs.settings import ServiceSettings
from libs.telemetry import Metrics, Traces
from schemas.base import ModelUsed
from schemas.completions import CompletionGenerated
from schemas.evaluation import ModelPromoted
from schemas.prompts import PromptCancelled, PromptFailed
from schemas.topics import CATALOGUE, topic_of
from services.inference.adapters.adapter_shelf import AdapterShelf
from services.inference.adapters.echo import EchoEngine
from services.inference.adapters.in_service import InService
from services.inference.app import create_app
from services.inference.domain.cache import ExactCache
from services.inference.domain.serving import Challenger, Change, WhatServes
from services.inference.memory import finished_prompts
from services.inference.ports import Stream
from services.inference.routes import routes, views
from services.inference.settings import InferenceSettings
from tests.support.adapters import drawn, kept
from tests.support.small_adapters import small
from tests.support.trainings import tiny_base
from tests.unit.inference.test_generate import cleared, heard, publish, wanting
from tests.unit.inference.test_serving import promoted, rolled_back

SETTINGS = InferenceSettings(model="echo", more_models=("other",))


class PickyEcho(EchoEngine):
    """Has some adapters only, and may be away; remembers what it was asked."""

    def __init__(self, *adapters: str) -> None:
        super().__init__()
        self.models = ("echo", "other")
        self.has = set(adapters)
        self.away = 0
        self.asked: list[GenerationRequest] = []

    async def load(self, adapter: str) -> None:
        if adapter not in self.has:
            raise AdapterError(f"no {adapter} here")

    async def generate(self, request: GenerationRequest) -> Stream:
        self.asked.append(request)
        if self.away:
            self.away -= 1
            raise Retryable("away", code="engine_unavailable")
        async for piece in super().generate(request):
            yield piece


class World:
    """A log, an engine, and what serves."""

    def __init__(self, *adapters: str, cards: Adapters | None = None) -> None:
        self.bus = InMemoryBus({topic.name: topic.partitions or 2 for topic in CATALOGUE})
        self.engine = PickyEcho(*adapters)
        self.reader = InMemoryMetricReader()
        self.metrics = Metrics(MeterProvider([self.reader]).get_meter("test"))
        self.serving = InService(self.bus, self.engine, self.metrics, cards, every=timedelta(milliseconds=10))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        cache = ExactCache(entries=10, lifetime=timedelta(hours=1), clock=utc_now)
        finished = finished_prompts(SETTINGS)
        table = routes(SETTINGS, self.engine, self.serving, cache, finished, utc_now, self.metrics)
        async with self.serving:
            stage = Stage("inference", self.bus, table, memories=(finished,), grace=timedelta(seconds=0))
            readers = [ViewReader("inference", self.bus, it) for it in views(self.serving, self.serving.positions)]
            task, *following = [asyncio.create_task(run()) for run in (stage.run, *(it.run for it in readers))]
            yield
            stage.stop()
            await task
            for follower in following:
                follower.cancel()
            await asyncio.gather(*following, return_exceptions=True)

    async def write(self, change: Change) -> None:
        await publish(self.bus, change)

    async def until(self, serves: WhatServes) -> None:
        await come(lambda: self.serving.now == serves)

    async def answered(self, prompt_id: str, **rest: Any) -> CompletionGenerated:
        count = len(self.bus.records("completion-generated"))
        await publish(self.bus, cleared("hello", prompt_id, **rest))
        found = await heard(self.bus, CompletionGenerated, count + 1)
        return next(answer for answer in found if answer.prompt_id == prompt_id)

    def measured(self, name: str) -> dict[tuple[str, ...], float]:
        """The values of a metric by its attributes."""
        data = self.reader.get_metrics_data()
        assert data is not None
        found = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics if m.name == name]
        points: list[Any] = [point for metric in found for point in metric.data.data_points]
        return {tuple(str(v) for _, v in sorted(point.attributes.items())): point.value for point in points}


async def come(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not there():  # noqa: ASYNC110 - what is waited for is a plain value
            await asyncio.sleep(0.002)


async def test_without_a_promotion_the_bare_model_answers() -> None:
    world = World()
    async with world.running():
        assert (await world.answered("p1")).model.adapter is None
    assert world.engine.asked[0].adapter is None
    assert world.measured("tailrace.adapters.serving") == {}


async def test_what_was_promoted_before_the_start_answers_the_first_prompt() -> None:
    world = World("dpo-1", "dpo-2")
    for change in (promoted(2, "dpo-2", previous="dpo-1"), promoted(1, "dpo-1"), promoted(2, "dpo-2")):
        await world.write(change)
    await publish(world.bus, cleared("hello", "waited"))
    async with world.running():
        [answer] = await heard(world.bus, CompletionGenerated)
    assert answer.model.adapter == "dpo-2"
    assert world.engine.asked[0].adapter == "dpo-2"


async def test_promotions_and_rollbacks_take_effect_for_the_prompts_that_follow() -> None:
    world = World("dpo-1", "dpo-2")
    async with world.running():
        found = [(await world.answered("p0")).model.adapter]
        changes: list[Change] = [promoted(1, "dpo-1"), promoted(2, "dpo-2"), rolled_back(3, "dpo-2", "dpo-1")]
        for number, change in enumerate(changes):
            await world.write(change)
            await world.until(WhatServes(change.model, revision=number + 1))
            found.append((await world.answered(f"p{number + 1}")).model.adapter)
    assert found == [None, "dpo-1", "dpo-2", "dpo-1"]
    assert world.measured("tailrace.adapters.revision") == {(): 3}
    assert {k: v for k, v in world.measured("tailrace.adapters.serving").items() if v} == {("dpo-1", "champion"): 1}


async def test_an_answer_of_one_adapter_is_never_given_for_another() -> None:
    world = World("dpo-1")
    async with world.running():
        assert not (await world.answered("p1")).cached
        await world.write(promoted(1, "dpo-1"))
        await world.until(WhatServes("dpo-1", revision=1))
        fresh, again = await world.answered("p2"), await world.answered("p3")
    assert (fresh.cached, fresh.model.adapter) == (False, "dpo-1")
    assert (again.cached, again.model.adapter) == (True, "dpo-1")


async def test_a_prompt_for_another_model_gets_no_adapter() -> None:
    world = World("dpo-1")
    await world.write(promoted(1, "dpo-1"))
    async with world.running():
        other, same = await world.answered("p1", model="other"), await world.answered("p2", model="echo")
    assert (other.model.name, other.model.adapter) == ("other", None)
    assert (same.model.name, same.model.adapter) == ("echo", "dpo-1")


async def test_an_answer_names_the_data_set_that_its_adapter_was_trained_on(tmp_path: Path) -> None:
    adapters = Adapters(tmp_path / "models")
    name, trained = (it := small(adapters, 1.0)).name, it.card.trained
    world = World(name, cards=adapters)
    async with world.running():
        bare = await world.answered("p1")
        await world.write(promoted(1, name))
        await world.until(WhatServes(name, revision=1))
        adapted, other = await world.answered("p2"), await world.answered("p3", model="other")
    assert adapted.model == ModelUsed(name="echo", adapter=name, dataset=trained.dataset)
    assert (bare.model.dataset, other.model.dataset) == (None, None)


@pytest.mark.parametrize("card", ["damaged", "gone", "no folder", "no such path"])
async def test_an_adapter_whose_card_cannot_be_read_serves_and_names_no_data_set(tmp_path: Path, card: str) -> None:
    adapters = Adapters(tmp_path / "models")
    name = (adapter := small(adapters, 1.0)).name
    (adapter.folder / CARD).write_bytes(b"{\xff")
    if card == "gone":
        (adapter.folder / CARD).unlink()
    elsewhere = {"no folder": tmp_path / "none", "no such path": tmp_path / ("x" * 300)}
    world = World(name, cards=Adapters(elsewhere.get(card, adapters.folder)))
    await world.write(promoted(1, name))
    async with world.running():
        assert (await world.answered("p1")).model == ModelUsed(name="echo", adapter=name)
        assert world.measured("tailrace.adapters.failing") == {}


@pytest.mark.parametrize(
    ("code", "rest"),
    [
        ("deadline_exceeded", {"deadline": "2020-01-01T00:00:00Z"}),
        ("invalid_output", wanting({"type": "object", "required": ["missing"]})),
        ("cancelled", {}),
    ],
)
async def test_a_failure_names_the_adapter_that_was_to_answer_and_its_data_set(
    tmp_path: Path, code: str, rest: dict[str, Any]
) -> None:
    adapters = Adapters(tmp_path / "models")
    name = small(adapters, 1.0).name
    world = World(name, cards=adapters)
    await world.write(promoted(1, name))
    async with world.running():
        world.engine.away = 1000 if code == "cancelled" else 0
        await publish(world.bus, cleared("hello", "p1", **rest))
        if code == "cancelled":
            await come(lambda: bool(world.engine.asked))
            await publish(world.bus, PromptCancelled(prompt_id="p1", tenant="acme", conversation_id="c-p1"))
        [failed] = await heard(world.bus, PromptFailed)
    assert failed.reason.code == code
    assert failed.model == ModelUsed(name="echo", adapter=name, dataset="d" * 64)


async def test_a_share_of_the_conversations_meets_the_challenger_and_a_shadow_what_its_original_would() -> None:
    world = World("dpo-1", "dpo-2")
    serves = WhatServes("dpo-1", Challenger("dpo-2", 0.5), 2)
    await world.write(promoted(2, "dpo-2", 0.5, champion="dpo-1"))
    async with world.running():
        assert world.serving.now == serves
        for n in range(12):
            answer = await world.answered(f"p{n}", conversation_id=f"c{n}")
            assert answer.model.adapter == serves.adapter_for("acme", f"c{n}")
            shadow = {
                "run": "r1", "prompt_id": f"p{n}", "conversation_id": f"c{n}", "submitted_at": "2026-01-01T00:00:00Z",
            }  # fmt: skip
            beside = await world.answered(f"s{n}", conversation_id=f"shadow-{n}", shadow=shadow)
            assert beside.model.adapter == answer.model.adapter
    assert {request.adapter for request in world.engine.asked} == {"dpo-1", "dpo-2"}


async def test_an_adapter_that_cannot_be_had_leaves_what_served_in_service_until_it_can() -> None:
    world = World("dpo-1")
    await world.write(promoted(1, "dpo-1"))
    with capture_logs() as logs:
        async with world.running():
            await world.write(promoted(2, "dpo-2", previous="dpo-1"))
            await come(lambda: world.measured("tailrace.adapters.failures").get(("dpo-2",), 0) >= 3)
            assert (await world.answered("p1")).model.adapter == "dpo-1"
            assert world.measured("tailrace.adapters.failing") == {("dpo-2",): 1}
            world.engine.has.add("dpo-2")
            await world.until(WhatServes("dpo-2", revision=2))
            assert (await world.answered("p2")).model.adapter == "dpo-2"
    assert world.measured("tailrace.adapters.failing") == {("dpo-2",): 0}
    [error] = [entry for entry in logs if entry["log_level"] == "error"]
    assert (error["adapter"], error["reason"], error["serving"]) == ("dpo-2", "no dpo-2 here", "dpo-1")


@pytest.mark.parametrize(
    ("has", "change", "serves"),
    [
        ((), promoted(2, "dpo-2", previous="dpo-1"), WhatServes()),
        (("dpo-1",), promoted(2, "dpo-2", previous="dpo-1"), WhatServes("dpo-1")),
        (("dpo-1",), promoted(2, "dpo-2", 0.5, champion="dpo-1"), WhatServes("dpo-1", revision=2)),
        (("dpo-2",), promoted(2, "dpo-2", 0.5, champion="dpo-1", previous="dpo-1"), WhatServes()),
        (("dpo-2",), rolled_back(3, "dpo-2", "dpo-1"), WhatServes()),
    ],
)
async def test_a_start_without_what_is_wanted_serves_what_served_before_it(
    has: tuple[str, ...], change: Change, serves: WhatServes
) -> None:
    world = World(*has)
    await world.write(change)
    async with world.running():
        assert world.serving.now == serves
        assert (await world.answered("p1")).model.adapter == serves.champion


async def test_an_adapter_that_is_lost_is_replaced_and_no_longer_missed_once_nobody_wants_it() -> None:
    world = World("dpo-1", "dpo-2")
    await world.write(promoted(1, "dpo-1"))
    async with world.running():
        await world.write(promoted(2, "dpo-2", previous="dpo-1"))
        await world.until(WhatServes("dpo-2", revision=2))
        world.engine.has.remove("dpo-2")
        await world.until(WhatServes("dpo-1"))
        await world.write(rolled_back(3, "dpo-2", "dpo-1"))
        await world.until(WhatServes("dpo-1", revision=3))
        assert world.measured("tailrace.adapters.failing") == {("dpo-2",): 0}


async def test_a_prompt_that_is_tried_again_keeps_the_adapter_it_was_begun_with() -> None:
    world = World("dpo-1", "dpo-2")
    await world.write(promoted(1, "dpo-1"))
    async with world.running():
        world.engine.away = 3
        await publish(world.bus, cleared("hello", "p1"))
        await come(lambda: bool(world.engine.asked))
        await world.write(promoted(2, "dpo-2", previous="dpo-1"))
        await world.until(WhatServes("dpo-2", revision=2))
        [answer] = await heard(world.bus, CompletionGenerated)
        later = await world.answered("p2")
    assert [request.adapter for request in world.engine.asked] == ["dpo-1"] * 4 + ["dpo-2"]
    assert (answer.model.adapter, later.model.adapter) == ("dpo-1", "dpo-2")


async def test_a_bad_record_is_passed_over_and_told_once() -> None:
    world = World("dpo-1", "dpo-2")
    topic = topic_of(ModelPromoted).name

    async def write(value: bytes | None) -> None:
        await world.bus.append(Outgoing(topic, b"what-serves", value, ()))

    await write(b"{no json")
    await write(None)
    await world.write(promoted(1, "dpo-1"))
    with capture_logs() as logs:
        async with world.running():
            assert (await world.answered("p1")).model.adapter == "dpo-1"
            await write(encode(promoted(9, "dpo-2")).replace(b'"revision":9', b'"revision":-9'))
            await world.write(promoted(2, "dpo-2"))
            await world.until(WhatServes("dpo-2", revision=2))
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["passed over"]
    assert world.measured("tailrace.adapters.bad_records") == {(topic,): 1}
    assert len(world.bus.records(f"{topic}-dlq")) == 1


@pytest.mark.parametrize("follows", [True, False])
async def test_an_operator_may_have_the_bare_model_serve_whatever_is_promoted(follows: bool) -> None:
    world = World()
    await world.write(promoted(1, "dpo-1"))
    settings = InferenceSettings(engine="echo", model="echo", follow_promotions=follows)
    runtime = Runtime(world.bus, world.metrics, Traces(None), ServiceSettings())
    stop = asyncio.Event()
    life = asyncio.create_task(create_app(settings).run_on(runtime, stop))
    assert (await world.answered("p1")).model.adapter == ("dpo-1" if follows else None)
    stop.set()
    await life


@pytest.mark.parametrize("chosen", [True, False])
async def test_the_service_reads_the_cards_of_the_adapters_that_it_serves(tmp_path: Path, chosen: bool) -> None:
    world, adapters = World(), Adapters(tmp_path / "models")
    name = small(adapters, 1.0).name
    await world.write(promoted(1, name))
    settings = InferenceSettings(engine="echo", model="echo", adapters=adapters.folder if chosen else None)
    folder = tmp_path / "elsewhere" if chosen else tmp_path
    runtime = Runtime(world.bus, world.metrics, Traces(None), ServiceSettings(data_dir=folder))
    stop = asyncio.Event()
    life = asyncio.create_task(create_app(settings).run_on(runtime, stop))
    assert (await world.answered("p1")).model.dataset == "d" * 64
    stop.set()
    await life


class Loader:
    """An engine as the shelf sees it."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.calls: list[str] = []

    @property
    def adapters(self) -> tuple[str, ...]:
        return tuple(self.loaded)

    def load_adapter(self, folder: Path) -> None:
        self.calls.append(folder.name)
        self.loaded.append(folder.name)

    def unload_adapter(self, name: str) -> None:
        self.loaded.remove(name)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.mark.filterwarnings("ignore::FutureWarning")
async def test_a_shelf_loads_on_first_use_checks_what_it_loads_and_lets_the_oldest_go(
    base: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    names = [kept(models, drawn(base, tmp_path / f"{n}", n, r=1), base).name for n in range(3)]
    engine = Loader()
    shelf = AdapterShelf(engine, str(base), 2)
    await asyncio.gather(*(shelf.have(models, name) for name in (names[0], names[1], names[0])))
    await shelf.have(models, names[0])
    assert engine.calls == names[:2]
    await shelf.have(models, names[2])
    assert engine.loaded == [names[0], names[2]]

    for wrong in ("../models", "none-0123456789ab", names[1] + "/.."):
        with pytest.raises(AdapterError, match="no adapter"):
            await shelf.have(models, wrong)
    weights = models / names[1] / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(AdapterError, match="damaged"):
        await shelf.have(models, names[1])
    stranger = AdapterShelf(engine, str(base), 2)
    (base / "config.json").write_text((base / "config.json").read_text() + " ")
    engine.loaded.clear()
    with pytest.raises(AdapterError, match="belongs to another base"):
        await stranger.have(models, names[0])
    assert engine.loaded == []
