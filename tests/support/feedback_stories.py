"""Stories of feedback: facts in any order, with repetitions and gaps, and a check that all of them end alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from schemas.feedback import FeedbackSubmitted
from schemas.responses import response_id_of
from services.feedback.adapters.in_memory import InMemoryStore
from services.feedback.domain.cases import Case
from services.feedback.domain.facts import CaseKey
from services.feedback.ports import Store
from tests.unit.feedback.parts import ANSWER, NOON, Arrival, Desk, answer, erasure, feedback, outcome, prompt

PROMPTS = (("acme", "p-1"), ("acme", "p-2"), ("globex", "p-1"))
KEYS = [CaseKey(tenant, response_id_of(tenant, prompt_id)) for tenant, prompt_id in PROMPTS]
RESPONSES = [key.response_id for key in KEYS]
MINUTES = st.integers(-3, 3).map(lambda minutes: NOON + timedelta(minutes=minutes))
TEXTS = [
    "Call me.",
    "password: x1y2z3w4",
    "x1y2z3w4 is it",
    "ada@example.org",
    ANSWER,
    "Write to eve@example.org once more.",
]
KINDS = st.one_of(
    st.tuples(st.just("thumb"), st.booleans()),
    st.tuples(st.just("rating"), st.integers(1, 5)),
    st.tuples(st.just("edit"), st.sampled_from(TEXTS)),
    st.tuples(st.just("report"), st.just("harmful")),
    st.tuples(st.just("withdrawal"), st.sampled_from(["f-1", "f-2", "f-3"])),
    st.tuples(st.just("choice"), st.sampled_from([*RESPONSES, "resp_unknown"])),
)


@st.composite
def said(draw: st.DrawFn) -> FeedbackSubmitted:
    kind, value = draw(KINDS)
    response_id = draw(st.sampled_from([response for response in RESPONSES if response != value]))
    return feedback(
        kind,
        value,
        feedback_id=draw(st.sampled_from(["f-1", "f-2", "f-3"])),
        tenant=draw(st.sampled_from(["acme", "globex"])),
        response_id=response_id,
        comment=draw(st.sampled_from([None, *TEXTS])),
        subject=draw(st.sampled_from([None, "s-1", "s-2", "eve@example.org"])),
        consent={"training": draw(st.booleans())},
        created_at=draw(st.none() | MINUTES),
    )


@st.composite
def prompts(draw: st.DrawFn) -> list[Arrival]:
    """How each prompt went: some parts are missing, some came twice from a stage that did its work again."""
    found = []
    for number, (tenant, prompt_id) in enumerate(PROMPTS):
        status = draw(st.sampled_from(["answered", "answered", "answered", "refused", "failed"]))
        told = outcome(tenant, prompt_id, status=status)
        found += [
            Arrival(prompt(tenant, prompt_id), number),
            Arrival(answer(tenant, prompt_id), number),
            Arrival(answer(tenant, prompt_id, text="The same work done again, otherwise."), number + 10),
            Arrival(told, number, cause=f"completion-cleared/0/{number}"),
        ]
    missing = draw(st.sets(st.integers(0, len(found) - 1), max_size=2))
    return [arrival for number, arrival in enumerate(found) if number not in missing]


@dataclass(frozen=True)
class Story:
    """What arrives, in order; after which arrivals a transaction ends, and after which the recorder runs."""

    facts: tuple[Arrival, ...]
    order: tuple[Arrival, ...]
    transactions: tuple[bool, ...]
    recorded: tuple[bool, ...]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    spoken: list[Any] = draw(
        st.lists(said() | st.sampled_from([erasure("s-1"), erasure("eve@example.org")]), max_size=9)
    )
    facts = [
        *draw(prompts()),
        *(Arrival(event, 100 + number, at=draw(MINUTES)) for number, event in enumerate(spoken)),
    ]
    again = draw(st.lists(st.sampled_from(facts), max_size=6)) if facts else []
    order = draw(st.permutations([*facts, *again]))
    flags = st.lists(st.booleans(), min_size=len(order), max_size=len(order)).map(tuple)
    return Story(tuple(facts), tuple(order), draw(flags), draw(flags))


async def told(story: Story, store: Store) -> Desk:
    """The story as it happened."""
    desk = Desk(store)
    waiting: list[Arrival] = []
    for arrival, ends, recorded in zip(story.order, story.transactions, story.recorded, strict=True):
        waiting.append(arrival)
        if ends or recorded:
            await desk.hear(*waiting)
            waiting.clear()
        if recorded:
            await desk.settle()
    return await desk.after(*waiting)


async def in_order(facts: Sequence[Arrival]) -> Desk:
    """The same facts once, one by one, recorded at the end."""
    desk = Desk(InMemoryStore())
    for fact in facts:
        await desk.hear(fact)
    await desk.settle()
    return desk


def held(desk: Desk) -> list[Case]:
    return list(desk.store.cases(KEYS, 1000))


async def ends_alike(story: Story, store: Store) -> None:
    """Told in the story's order, and one by one in memory: the same examples, the same facts held."""
    reference = await in_order(story.facts)
    desk = await told(story, store)
    assert desk.examples == reference.examples
    assert held(desk) == held(reference)
    explained = {offset for offset, _ in desk.letters}
    refused = [s.origin for case in held(desk) for s in case.said if s.state == "refused"]
    assert all(origin.offset in explained for origin in refused if origin is not None)
    assert "ada@example.org" not in str(desk.examples)
    assert not _gives_the_password_away(desk)


def _gives_the_password_away(desk: Desk) -> bool:
    return any(b"x1y2z3w4" in value and b"<PASSWORD>" in value for value in desk.examples.values())
