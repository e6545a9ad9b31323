"""Examples for data sets: small ones by hand, and whole crowds by hypothesis."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from schemas.base import Message, ModelUsed
from schemas.feedback import ExampleRecorded, Judgement

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
RETURNS = "How long may I return an order?"


def judged(kind: str, value: bool | int | str, by: str | None = "ann", **fields: Any) -> Judgement:
    """A judgement with consent, by `ann` unless told otherwise; its id says what it is."""
    name = fields.pop("feedback_id", f"{kind}-{value}-{by}")
    told = {
        "feedback_id": name[:128],
        "kind": kind,
        "value": value,
        "subject": by,
        "consent": True,
        "created_at": START,
    }
    return Judgement.model_validate({**told, **fields})


def example(
    response_id: str = "r-1",
    *judgements: Judgement,
    asked: str | Sequence[Message] = RETURNS,
    text: str = "Up to fourteen days after it has come.",
    conversation: str | None = None,
    tenant: str = "default",
) -> ExampleRecorded:
    """An answered prompt in a conversation of its own."""
    return ExampleRecorded(
        response_id=response_id,
        tenant=tenant,
        prompt_id=f"p-{response_id}",
        conversation_id=conversation or f"c-{response_id}",
        messages=(Message(role="user", content=asked),) if isinstance(asked, str) else tuple(asked),
        text=text,
        model=ModelUsed(name="smol", version="1"),
        template="answer@1",
        policy="default@1",
        answered_at=START,
        judgements=tuple(sorted(judgements, key=lambda it: it.feedback_id)),
    )


WORDS = ("returns", "fourteen", "days", "refund", "never", "invoice", "parcel", "please", "within", "shop")
_TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)
_PEOPLE = st.sampled_from(["ann", "ben", "cem", None])


@st.composite
def crowds(draw: st.DrawFn, largest: int = 12) -> list[ExampleRecorded]:
    """Examples of few people, prompts, answers and conversations, so that all of them meet."""
    ids = [f"r-{number}" for number in range(draw(st.integers(1, largest)))]
    asked, answers = draw(st.lists(_TEXTS, min_size=1, max_size=3)), draw(st.lists(_TEXTS, min_size=1, max_size=4))
    return [_of_crowd(draw, response_id, ids, asked, answers) for response_id in ids]


def _of_crowd(
    draw: st.DrawFn, response_id: str, ids: list[str], asked: list[str], answers: list[str]
) -> ExampleRecorded:
    judgements = []
    for number in range(draw(st.integers(0, 4))):
        kind, value = draw(
            st.one_of(
                st.tuples(st.just("thumb"), st.booleans()),
                st.tuples(st.just("rating"), st.integers(1, 5)),
                st.tuples(st.just("edit"), _TEXTS),
                st.tuples(st.just("choice"), st.sampled_from([*ids, "r-gone"])),
                st.tuples(st.just("report"), st.sampled_from(["harmful", "wrong"])),
            )
        )
        if value != response_id:
            told = {"feedback_id": f"{response_id}-f{number}", "consent": draw(st.integers(0, 4)) > 0}
            when = START + timedelta(hours=draw(st.integers(0, 3)))
            judgements.append(judged(kind, value, draw(_PEOPLE), created_at=when, **told))
    return example(
        response_id,
        *judgements,
        asked=draw(st.sampled_from(asked)),
        text=draw(st.sampled_from(answers)),
        conversation=draw(st.sampled_from(["c-1", "c-2", "c-3", "c-4", None])),
        tenant=draw(st.sampled_from(["default", "default", "acme"])),
    )
