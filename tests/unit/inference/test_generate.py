"""The handlers on the in-memory bus: what a cleared prompt leads to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from opentelemetry.metrics import NoOpMeter

from libs.bus import InMemoryBus, Outgoing, Retryable, Stage, encode
from libs.clock import utc_now
from libs.language_models.generation import Delta, GenerationRequest
from libs.telemetry import Metrics
from schemas.base import Event, Lane, Message, Parameters
from schemas.completions import CompletionChunk, CompletionGenerated
from schemas.prompts import PromptCancelled, PromptCleared, PromptFailed, PromptRefused
from schemas.topics import CATALOGUE, topic_of
from services.inference.adapters.echo import EchoEngine
from services.inference.adapters.in_service import InService
from services.inference.domain.cache import ExactCache
from services.inference.memory import finished_prompts
from services.inference.ports import Engine, Stream
from services.inference.routes import routes
from services.inference.settings import InferenceSettings
from tests.support.stages import at_work

E = TypeVar("E", bound=Event)
SETTINGS = InferenceSettings(model="echo")


class CountingEcho(EchoEngine):
    """Says how often it was asked, and what; fails as often as told before it answers."""

    def __init__(self, *, failures: int = 0, **rest: Any) -> None:
        super().__init__(**rest)
        self.asked: list[GenerationRequest] = []
        self.ended = asyncio.Event()
        self._failures = failures

    async def generate(self, request: GenerationRequest) -> Stream:
        self.asked.append(request)
        try:
            async for piece in super().generate(request):
                if self._failures and len(self.asked) <= self._failures and not isinstance(piece, Delta):
                    raise Retryable("away", code="engine_unavailable")
                yield piece
        finally:
            self.ended.set()


def new_bus() -> InMemoryBus:
    return InMemoryBus({topic.name: topic.partitions or 2 for topic in CATALOGUE})


@asynccontextmanager
async def running(bus: InMemoryBus, engine: Engine, settings: InferenceSettings = SETTINGS) -> AsyncIterator[None]:
    cache = ExactCache(entries=settings.cache_entries, lifetime=settings.cache_for, clock=utc_now)
    finished = finished_prompts(settings)
    metrics = Metrics(NoOpMeter("test"))
    serving = InService(bus, EchoEngine(), metrics)
    table = routes(settings, engine, serving, cache, finished, utc_now, metrics)
    stage = Stage("inference", bus, table, memories=(finished,), grace=timedelta(seconds=0))
    async with at_work(stage):
        yield


async def publish(bus: InMemoryBus, event: Event, lane: Lane = Lane.REAL_TIME) -> None:
    await bus.append(Outgoing(topic_of(type(event), lane).name, event.key.encode(), encode(event), ()))


async def heard(bus: InMemoryBus, kind: type[E], count: int = 1, lane: Lane = Lane.REAL_TIME) -> list[E]:
    """The first events of that kind, once there are so many."""
    topic = topic_of(kind, lane).name
    async with asyncio.timeout(20):
        while len(bus.records(topic)) < count:
            await bus.arrival(0.1)
    return [kind.model_validate_json(record.value or b"") for record in bus.records(topic)]


def cleared(text: str, prompt_id: str = "p", **rest: Any) -> PromptCleared:
    common: dict[str, Any] = {
        "prompt_id": prompt_id,
        "tenant": "acme",
        "conversation_id": f"c-{prompt_id}",
        "submitted_at": datetime(2026, 1, 1, tzinfo=UTC),
        "messages": (Message(role="user", content=text),),
        "template": "answer@1",
        "policy": "default",
        "sealed": "sealed-box",
        "seal_key_id": "k1",
        "masked": {"EMAIL_ADDRESS": 1},
    }
    return PromptCleared(**(common | rest))


LONG = " ".join(f"Sentence number {n} is about <EMAIL_ADDRESS_1> today." for n in range(12))


async def test_a_prompt_is_answered_with_all_that_the_path_carries() -> None:
    bus = new_bus()
    async with running(bus, EchoEngine()):
        await publish(bus, cleared("hello there"))
        [answer] = await heard(bus, CompletionGenerated)
    assert (answer.text, answer.finish_reason, answer.model.name) == ("hello there", "stop", "echo")
    assert (answer.sealed, answer.masked, answer.identity) == ("sealed-box", {"EMAIL_ADDRESS": 1}, ("acme", "p"))
    assert answer.usage.completion_tokens == 2
    assert bus.records("completion-chunk") == []


async def test_a_stream_comes_in_gapless_windows_that_begin_the_answer() -> None:
    bus = new_bus()
    async with running(bus, EchoEngine()):
        await publish(bus, cleared(LONG, stream=True))
        [answer] = await heard(bus, CompletionGenerated)
    chunks = await heard(bus, CompletionChunk, 5)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    whole = "".join(chunk.text for chunk in chunks)
    assert answer.text == LONG
    assert LONG.startswith(whole)
    for chunk in chunks:
        before = LONG[: LONG.index(chunk.text)]
        assert chunk.preceding == before[-256:]
        assert (chunk.sealed, chunk.policy) == ("sealed-box", "default")


async def test_the_same_request_of_a_tenant_is_answered_from_the_cache() -> None:
    bus, engine = new_bus(), CountingEcho()
    async with running(bus, engine):
        for number, rest in enumerate(({}, {}, {"tenant": "other"})):
            await publish(bus, cleared("hello", f"p{number}", **rest))
            await heard(bus, CompletionGenerated, number + 1)
        answers = {a.prompt_id: a for a in await heard(bus, CompletionGenerated, 3)}
    assert [answers[f"p{n}"].cached for n in range(3)] == [False, True, False]
    assert answers["p1"].text == "hello"
    assert len(engine.asked) == 2


async def test_an_answer_left_to_chance_is_not_cached_unless_a_seed_fixes_it() -> None:
    bus, engine = new_bus(), CountingEcho()
    sampled, seeded = Parameters(temperature=0.7), Parameters(temperature=0.7, seed=1)
    async with running(bus, engine):
        for number, parameters in enumerate((sampled, sampled, seeded, seeded)):
            await publish(bus, cleared("hello", f"p{number}", parameters=parameters))
            await heard(bus, CompletionGenerated, number + 1)
    assert len(engine.asked) == 3
    assert engine.asked[0].seed != engine.asked[1].seed


async def test_what_was_answered_before_a_restart_is_not_generated_again() -> None:
    bus, first, second = new_bus(), CountingEcho(), CountingEcho()
    async with running(bus, first):
        await publish(bus, cleared("hello"))
        await heard(bus, CompletionGenerated)
    async with running(bus, second):
        await publish(bus, cleared("hello"))
        await publish(bus, cleared("next", "p2"))
        await heard(bus, CompletionGenerated, 2)
    assert [request.messages[0].content for request in second.asked] == ["next"]


async def test_done_again_after_a_crash_it_draws_the_same_seed() -> None:
    seeds = []
    for _ in range(2):
        bus, engine = new_bus(), CountingEcho()
        async with running(bus, engine):
            await publish(bus, cleared("hello", parameters=Parameters(temperature=1.0)))
            await heard(bus, CompletionGenerated)
        seeds.append(engine.asked[0].seed)
    assert seeds[0] == seeds[1] is not None


async def test_an_engine_that_is_away_is_asked_again() -> None:
    bus, engine = new_bus(), CountingEcho(failures=2)
    async with running(bus, engine):
        await publish(bus, cleared(LONG, stream=True))
        [answer] = await heard(bus, CompletionGenerated)
    assert answer.text == LONG
    assert len(engine.asked) == 3
    ids = [dict(record.headers)["ce_id"] for record in bus.records("completion-chunk")]
    assert len(set(ids)) * 3 == len(ids)


async def test_a_passed_deadline_never_reaches_the_engine() -> None:
    bus, engine = new_bus(), CountingEcho()
    async with running(bus, engine):
        await publish(bus, cleared("hello", deadline=datetime(2020, 1, 1, tzinfo=UTC)))
        [failed] = await heard(bus, PromptFailed)
    assert failed.reason.code == "deadline_exceeded"
    assert engine.asked == []


async def test_a_deadline_ends_a_generation_under_way() -> None:
    bus, engine = new_bus(), CountingEcho(token_seconds=0.02)
    async with running(bus, engine):
        soon = datetime.now(UTC) + timedelta(seconds=0.3)
        await publish(bus, cleared("word " * 5000, deadline=soon))
        [failed] = await heard(bus, PromptFailed)
    assert failed.reason.code == "deadline_exceeded"
    assert engine.ended.is_set()


async def test_a_cancelled_prompt_frees_the_engine_and_fails() -> None:
    bus, engine = new_bus(), CountingEcho(token_seconds=0.005)
    async with running(bus, engine):
        await publish(bus, cleared(LONG * 20, stream=True))
        await heard(bus, CompletionChunk)
        await publish(bus, PromptCancelled(prompt_id="p", tenant="acme", conversation_id="c-p"))
        [failed] = await heard(bus, PromptFailed)
        await asyncio.wait_for(engine.ended.wait(), 5)
    assert failed.reason.code == "cancelled"
    assert bus.records("completion-generated") == []


async def test_a_cancellation_may_come_before_its_prompt_and_hits_no_other() -> None:
    bus, engine = new_bus(), CountingEcho()
    async with running(bus, engine):
        await publish(bus, PromptCancelled(prompt_id="p", tenant="acme", conversation_id="c-p"))
        await publish(bus, PromptCancelled(prompt_id="p2", tenant="stranger", conversation_id="c-p2"))
        async with asyncio.timeout(10):
            while not all(await _consumed(bus, "prompt-cancelled")):
                await bus.arrival(0.05)
        await publish(bus, cleared("hello"))
        await publish(bus, cleared("hello", "p2"))
        await heard(bus, PromptFailed)
        [answer] = await heard(bus, CompletionGenerated)
    assert answer.prompt_id == "p2"


async def _consumed(bus: InMemoryBus, topic: str) -> list[bool]:
    committed = bus._groups["tailrace-inference"].committed
    ends = await bus.end_offsets(topic)
    return [next((o for tp, o in committed.items() if tp == (topic, p)), 0) >= end for p, end in ends.items()]


@pytest.mark.parametrize(
    ("rest", "code", "says"),
    [
        ({"model": "gpt-unknown"}, "unknown_model", "choose one of: echo"),
        (
            {"parameters": {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 3}}}}},
            "invalid_request",
            "the JSON Schema cannot be used",
        ),
    ],
)
async def test_what_cannot_be_served_is_rejected_with_how_to_mend_it(
    rest: dict[str, Any], code: str, says: str
) -> None:
    bus = new_bus()
    async with running(bus, EchoEngine()):
        await publish(bus, cleared("hello", **rest))
        [refused] = await heard(bus, PromptRefused)
    assert refused.reason.code == code
    assert says in refused.reason.message
    assert len(bus.records("prompt-cleared-dlq")) == 1


def wanting(schema: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}}


async def test_json_is_instructed_validated_and_never_streamed() -> None:
    bus, engine = new_bus(), CountingEcho()
    schema = {"type": "object", "required": ["echo"]}
    async with running(bus, engine):
        await publish(bus, cleared(LONG, stream=True, **wanting(schema)))
        [answer] = await heard(bus, CompletionGenerated)
    assert answer.text.startswith('{"echo"')
    assert "JSON Schema" in engine.asked[0].messages[0].content
    assert bus.records("completion-chunk") == []


async def test_an_answer_that_breaks_the_schema_is_asked_for_again_and_then_given_up() -> None:
    bus, engine = new_bus(), CountingEcho()
    async with running(bus, engine):
        await publish(bus, cleared("hello", **wanting({"type": "object", "required": ["missing"]})))
        [failed] = await heard(bus, PromptFailed)
    assert failed.reason.code == "invalid_output"
    assert len(engine.asked) == SETTINGS.json_attempts
    told = engine.asked[1].messages[-1].content
    assert "'missing' is a required property" in told


async def test_the_lane_goes_with_the_request_and_its_answer() -> None:
    bus, engine = new_bus(), CountingEcho()
    async with running(bus, engine):
        await publish(bus, cleared("hello"), Lane.BATCH)
        [answer] = await heard(bus, CompletionGenerated, lane=Lane.BATCH)
    assert answer.text == "hello"
    assert engine.asked[0].lane is Lane.BATCH


def test_a_schema_reference_is_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    from services.inference.domain.json_output import problem  # noqa: PLC0415

    fetched: list[object] = []
    refuse: Callable[..., None] = lambda *args, **_: fetched.append(args)  # noqa: E731
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    assert "cannot be applied" in (problem("{}", {"$ref": "http://127.0.0.1:9/schema.json"}) or "")
    assert fetched == []
