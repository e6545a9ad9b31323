"""A stretch of history asked again: read, asked beside it, compared, cut short and taken up again."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.bus import SHADOW_HEADER, Context, InMemoryBus, Outgoing, Route, Stage
from schemas.base import Reason, Shadow
from schemas.prompts import PromptSubmitted
from schemas.responses import ResponseReady, ResponseShadow
from services.console.domain.comparison import counted, marked
from services.console.domain.errors import ConsoleError
from services.console.domain.shadows import Overrides, shadow_of
from services.console.handlers.replay import Replay
from services.console.handlers.stretches import Stretch
from services.console.ports import Silent
from tests.support.stages import at_work

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def body(prompt_id: str, text: str = "hello there", **fields: Any) -> bytes:
    return json.dumps({"prompt_id": prompt_id, "messages": [{"role": "user", "content": text}], **fields}).encode()


def answer(event: PromptSubmitted, *, context: Context) -> ResponseReady | ResponseShadow:
    """The whole path in one step: templates other than a@1 and b@1 are refused, b@1 shouts."""
    known = event.template in (None, "a@1", "b@1")
    text = event.messages[-1].content
    outcome: dict[str, Any] = {
        "response_id": "r", "prompt_id": event.prompt_id, "tenant": event.tenant, "conversation_id": event.key,
        "created_at": NOW, "status": "answered" if known else "refused",
        "text": (f"{text} !" if event.template == "b@1" else text) if known else None,
        "reason": None if known else Reason(code="unknown_template", message="no such template", stage="grounding"),
    }  # fmt: skip
    shadow = context.envelope.shadow
    return ResponseReady(**outcome) if shadow is None else ResponseShadow(**outcome, shadow=shadow)


@asynccontextmanager
async def path(bus: InMemoryBus) -> AsyncIterator[None]:
    stage = Stage("post_processing", bus, [Route(PromptSubmitted, answer, emits=(ResponseReady, ResponseShadow))])
    async with at_work(stage):
        yield


async def until(done: Callable[[], bool], bus: InMemoryBus) -> None:
    async with asyncio.timeout(10):
        while not done():
            await bus.arrival(0.1)


@pytest.fixture
async def history(in_memory: InMemoryBus) -> InMemoryBus:
    """Three answered prompts, one of another tenant, and bytes that are none."""
    for n, more in enumerate(({"conversation_id": "c-1"}, {}, {"tenant": "acme"})):
        await in_memory.append(Outgoing("prompt-submitted", b"k", body(f"p-{n}", **more), (), n % 2))
    await in_memory.append(Outgoing("prompt-submitted", b"k", b"{broken", (), 0))
    async with path(in_memory):
        await until(lambda: len(in_memory.records("response-ready")) == 3, in_memory)
    return in_memory


def replay(bus: InMemoryBus, overrides: Overrides | None = None, run: str = "r1", **stretch: Any) -> Replay:
    chosen = Stretch("prompt-submitted", **stretch)
    return Replay(bus, chosen, overrides or Overrides(), run, Silent(), patience=timedelta(seconds=0.3))


async def finished(bus: InMemoryBus, made: Replay) -> dict[str, str]:
    """The verdict on each prompt."""
    async with path(bus), asyncio.timeout(10):
        await made.run()
    return {row.prompt_id: row.verdict for row in made.rows if not row.prompt_id.startswith("prompt-submitted/")}


async def test_the_same_question_gets_the_same_answer_and_no_upstream_hears_of_it(history: InMemoryBus) -> None:
    made = replay(history)
    assert await finished(history, made) == {"p-0": "same", "p-1": "same", "p-2": "same"}
    assert counted(made.rows)["not asked"] == 1
    assert len(history.records("response-ready")) == 3
    assert history.records("response-ready-batch") == []
    [asked] = [r for r in history.records("prompt-submitted-batch") if b'"p-0~' in (r.value or b"")]
    mark = Shadow.model_validate_json(dict(asked.headers)[SHADOW_HEADER])
    assert (mark.run, mark.prompt_id, mark.conversation_id) == ("r1", "p-0", "c-1")
    assert asked.partition == 0
    assert json.loads(asked.value or b"")["conversation_id"] is None


async def test_another_template_is_compared_and_an_unknown_one_is_told_in_its_row(history: InMemoryBus) -> None:
    made = replay(history, Overrides(template="b@1"), limit=1)
    assert await finished(history, made) == {"p-0": "differs"}
    [row] = made.rows
    assert row.original is not None
    assert row.shadow is not None
    assert (row.original.text, row.shadow.text, row.alike) == ("hello there", "hello there !", 0.8)
    made = replay(history, Overrides(template="gone@1"), tenant="acme")
    assert await finished(history, made) == {"p-2": "status changed"}
    made = replay(history, Overrides(template="no version"), tenant="acme")
    assert await finished(history, made) == {"p-2": "not asked"}
    assert "template" in (made.rows[0].says or "")


async def test_a_run_that_was_cut_short_is_taken_up_and_asks_nothing_that_is_answered(history: InMemoryBus) -> None:
    first = replay(history)
    await first.run()
    assert counted(first.rows)["open"] == 3, "nobody answers: it gives up and says what is open"
    async with path(history):
        await until(lambda: len(history.records("response-shadow")) == 3, history)
    asked = len(history.records("prompt-submitted-batch"))
    assert set((await finished(history, replay(history))).values()) == {"same"}
    assert len(history.records("prompt-submitted-batch")) == asked
    await finished(history, replay(history, run="r2"))
    assert len(history.records("prompt-submitted-batch")) == asked + 3


async def test_shadows_are_no_history(history: InMemoryBus) -> None:
    await finished(history, replay(history))
    again = Replay(history, Stretch("prompt-submitted-batch"), Overrides(), "r2", Silent())
    await again.run()
    assert again.rows == []


async def test_a_stretch_ends_where_it_is_told_to(history: InMemoryBus) -> None:
    assert set(await finished(history, replay(history, start=1))) == {"p-2"}
    assert set(await finished(history, replay(history, start=0, end=1))) == {"p-0", "p-1"}
    assert await finished(history, replay(history, start=datetime.now(UTC) + timedelta(hours=1))) == {}


class Emptied(InMemoryBus):
    """Retention has taken the first record of each partition."""

    async def start_offsets(self, topic: str) -> dict[int, int]:
        return dict.fromkeys(await self.partitions(topic), 1)


async def test_what_retention_has_removed_is_told() -> None:
    bus = Emptied({"prompt-submitted": 1, "response-ready": 1, "response-shadow": 1, "prompt-submitted-batch": 1})
    made = replay(bus, start=0)
    await made.run()
    assert made.gone == ["prompt-submitted/0: offsets 0 to 0 are gone (it keeps 1 day, 0:00:00)"]


def test_only_parameters_and_grounding_may_be_set() -> None:
    prompt = PromptSubmitted.model_validate_json(body("p" * 128))
    hot = shadow_of(prompt, Overrides(settings=("parameters.temperature=0.2",)), "r")
    assert hot.parameters.temperature == 0.2
    assert len(hot.prompt_id) <= 128
    assert hot.prompt_id != shadow_of(prompt, Overrides(), "r").prompt_id
    with pytest.raises(ConsoleError, match=r"parameters\.NAME"):
        Overrides(settings=("prompt_id=other",))
    with pytest.raises(ConsoleError, match="temperature"):
        shadow_of(prompt, Overrides(settings=("parameters.temperature=hot",)), "r")


def test_what_differs_is_marked_on_both_sides() -> None:
    assert marked("up to 14 days [1].", "up to 30 days") == ("up to [-14-] days [-[1].-]", "up to {+30+} days")
