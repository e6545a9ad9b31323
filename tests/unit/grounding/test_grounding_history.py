"""Conversations: whole turns only, in order, per tenant, within bounds, whatever order they are told in."""

from datetime import timedelta

from libs.bus import StoredRecord, encode
from schemas.base import Event
from schemas.responses import ResponseReady
from services.grounding.domain.history import Bounds, History, Turn
from services.grounding.memory import ConversationMemory
from tests.unit.grounding.conftest import NOW, MakePrompt

HOME = ("acme", "c1")
SECOND = timedelta(seconds=1)


def asked(history: History, *numbers: int, answered: bool = True, conversation: tuple[str, str] = HOME) -> None:
    for n in numbers:
        history.asked(conversation, f"p{n}", f"q{n}", NOW + n * SECOND)
        if answered:
            history.answered(conversation, f"p{n}", f"a{n}")


def ids(history: History, conversation: tuple[str, str] = HOME, prompt: str = "p99", seconds: int = 99) -> list[str]:
    return [turn.prompt_id for turn in history.before(conversation, prompt, NOW + seconds * SECOND)]


def test_answered_turns_come_back_in_order() -> None:
    history = History(Bounds())
    asked(history, 2, 1)
    assert history.before(HOME, "p3", NOW + 3 * SECOND) == [
        Turn("p1", "q1", "a1", NOW + SECOND),
        Turn("p2", "q2", "a2", NOW + 2 * SECOND),
    ]


def test_an_answer_may_be_told_before_its_question() -> None:
    history = History(Bounds())
    history.answered(HOME, "p1", "a1")
    assert ids(history) == []
    asked(history, 1, answered=False)
    assert ids(history) == ["p1"]


def test_unanswered_refused_and_own_turns_are_left_out() -> None:
    history = History(Bounds())
    asked(history, 1, 2, 3)
    asked(history, 4, answered=False)
    history.dropped(HOME, "p2")
    assert ids(history, prompt="p3") == ["p1"]


def test_a_prompt_handled_again_sees_what_it_saw_the_first_time() -> None:
    history = History(Bounds())
    asked(history, 1, 2)
    first = ids(history, prompt="p2", seconds=2)
    asked(history, 3, 4)
    assert ids(history, prompt="p2", seconds=2) == first == ["p1"]


def test_tenants_and_conversations_do_not_mix() -> None:
    history = History(Bounds())
    asked(history, 1, conversation=("acme", "c1"))
    asked(history, 2, conversation=("acme", "c2"))
    asked(history, 3, conversation=("other", "c1"))
    assert ids(history, ("other", "c1")) == ["p3"]
    assert ids(history, ("third", "c1")) == []


def test_a_conversation_keeps_its_newest_turns() -> None:
    history = History(Bounds(turns=2))
    asked(history, 1, 2, 3)
    assert ids(history) == ["p2", "p3"]


def test_the_conversation_silent_longest_goes_when_bytes_run_out() -> None:
    history = History(Bounds(bytes=12))
    for name in ("c1", "c2", "c3"):
        asked(history, 1, conversation=("acme", name))
    asked(history, 2, conversation=("acme", "c1"))
    assert ids(history, ("acme", "c2")) == []
    assert ids(history, ("acme", "c3")) == ["p1"]
    assert ids(history, ("acme", "c1")) == ["p1", "p2"]


def test_turns_told_twice_count_once() -> None:
    history = History(Bounds(bytes=8))
    for _ in range(5):
        asked(history, 1, conversation=("acme", "c1"))
        asked(history, 1, conversation=("acme", "c2"))
    assert ids(history, ("acme", "c1")) == ids(history, ("acme", "c2")) == ["p1"]


def test_old_turns_are_not_shown() -> None:
    history = History(Bounds(age=timedelta(seconds=10)))
    asked(history, 1, 8)
    assert ids(history, seconds=12) == ["p8"]


def record(topic: str, event: Event, partition: int = 0) -> StoredRecord:
    return StoredRecord(topic, partition, 0, 0, event.key.encode(), encode(event))


def response(status: str = "answered", text: str | None = "Yes.", **fields: str) -> ResponseReady:
    known = {"prompt_id": "p1", "tenant": "acme", "conversation_id": "c1", **fields}
    return ResponseReady.model_validate(
        {"response_id": "r", "status": status, "text": text, "created_at": NOW, **known}
    )


def test_memory_reads_turns_back_from_both_lanes_and_loses_them_with_the_partition(make_prompt: MakePrompt) -> None:
    memory = ConversationMemory(Bounds())
    prompt = make_prompt("Is it?", conversation_id="c1")
    memory.recall(record("response-ready-batch", response(), 1))
    memory.recall(record("prompt-accepted-batch", prompt, 1))
    later = make_prompt("And?", prompt_id="p2", conversation_id="c1", submitted_at=NOW + SECOND)
    assert [(t.asked, t.answer) for t in memory.before(1, later)] == [("Is it?", "Yes.")]
    assert memory.before(0, later) == []
    memory.forget(1)
    assert memory.before(1, later) == []


def test_memory_skips_what_it_cannot_read_and_prompts_without_a_conversation(make_prompt: MakePrompt) -> None:
    memory = ConversationMemory(Bounds())
    for value in (b"{", None, b"[]", b"\xff"):
        memory.recall(StoredRecord("prompt-accepted", 0, 0, 0, b"k", value))
        memory.recall(StoredRecord("response-ready", 0, 0, 0, b"k", value))
    memory.recall(record("prompt-accepted", make_prompt("Alone", prompt_id="p1", conversation_id="p1")))
    memory.recall(record("response-ready", response(conversation_id="p1")))
    later = make_prompt("And?", prompt_id="p2", conversation_id="p1", submitted_at=NOW + SECOND)
    assert memory.before(0, later) == []


def test_only_answers_become_part_of_a_conversation(make_prompt: MakePrompt) -> None:
    for status in ("refused", "failed"):
        memory = ConversationMemory(Bounds())
        memory.note_prompt(0, make_prompt("Is it?", conversation_id="c1"))
        memory.note_response(0, response(status, None))
        later = make_prompt("And?", prompt_id="p2", conversation_id="c1", submitted_at=NOW + SECOND)
        assert memory.before(0, later) == []
