"""What a dead letter goes back as: with its ids, mended where that is safe, never to a prompt that has its outcome."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.bus import Failure, InMemoryBus, Outgoing, StoredRecord, read_envelope
from libs.bus.failures import dead_letter
from schemas.responses import ResponseReady
from services.console.domain.addresses import Address, Range, read_address, read_range
from services.console.domain.advice import advice
from services.console.domain.dead_letters import DeadLetter, Wanted, describe
from services.console.domain.errors import ConsoleError
from services.console.domain.mending import changed, may_be_mended, problem
from services.console.domain.outcomes import Answered
from services.console.domain.writing_back import derived_id
from services.console.handlers import dead_letters, writing_back
from services.console.handlers.writing_back import Chosen, Planned

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def body(prompt_id: str = "p-1", **fields: Any) -> bytes:
    return json.dumps({"prompt_id": prompt_id, "messages": [{"role": "user", "content": "hi"}], **fields}).encode()


async def gone(
    bus: InMemoryBus, value: bytes, topic: str = "prompt-submitted", code: Any = "invalid_request", **headers: bytes
) -> StoredRecord:
    """A record that was written and given up; its dead letter."""
    came = await bus.append(Outgoing(topic, b"p-1", value, tuple(headers.items()), 1))
    letter = dead_letter(came, Failure(code, "it was wrong", "ingestion", True), now=NOW)
    return await bus.append(replace(letter, partition=0))


async def planned(
    bus: InMemoryBus, letter: StoredRecord, mended: bytes | None = None, *, as_new: bool = False
) -> Planned:
    base = await writing_back.base_of(bus, letter, as_new=as_new)
    chosen = Chosen(letter, base, base.value if mended is None else mended)
    [found] = await writing_back.plan(bus, [chosen], as_new=as_new)
    return found


async def answered(bus: InMemoryBus, prompt_id: str) -> None:
    outcome = ResponseReady(
        response_id="r", prompt_id=prompt_id, tenant="default", conversation_id=prompt_id, status="failed",
        created_at=NOW,
    )  # fmt: skip
    await bus.append(Outgoing("response-ready", b"k", outcome.model_dump_json().encode()))


async def test_a_record_goes_back_with_the_event_id_it_had_even_where_that_was_its_place(
    in_memory: InMemoryBus,
) -> None:
    letter = await gone(in_memory, body(), reply_to=b"3")
    out = (await planned(in_memory, letter)).outgoing
    assert out is not None
    assert (out.topic, out.partition, out.key, out.value) == ("prompt-submitted", 1, b"p-1", body())
    [was] = in_memory.records("prompt-submitted")
    assert read_envelope(replace(was, headers=out.headers, offset=9)) == read_envelope(was)


async def test_a_prompt_that_has_its_outcome_is_left_out_and_asked_anew_under_an_id_of_its_own(
    in_memory: InMemoryBus,
) -> None:
    letter = await gone(in_memory, body(), reply_to=b"3")
    await answered(in_memory, "p-1")
    left = await planned(in_memory, letter)
    assert left.outgoing is None
    assert "failed at response-ready/" in left.says
    anew, again = [await planned(in_memory, letter, as_new=True) for _ in range(2)]
    assert anew == again
    out = anew.outgoing
    assert out is not None
    new_id = derived_id("p-1", Address("prompt-submitted-dlq", 0, 0))
    assert json.loads(out.value or b"")["prompt_id"] == new_id == anew.prompt_id
    assert (out.key, out.partition) == (new_id.encode(), 1)
    named = dict(out.headers)
    assert "reply_to" not in named
    assert named["ce_id"].startswith(b"replay/prompt-submitted-dlq/0/0/")
    await answered(in_memory, new_id)
    assert (await planned(in_memory, letter, as_new=True)).outgoing is None


async def test_a_conversation_keeps_its_key_when_a_prompt_of_it_is_asked_anew(in_memory: InMemoryBus) -> None:
    letter = replace(await gone(in_memory, body(conversation_id="c-1")), key=b"c-1")
    out = (await planned(in_memory, letter, as_new=True)).outgoing
    assert out is not None
    assert out.key == b"c-1"


async def test_a_prompt_given_up_past_the_gate_is_asked_anew_from_its_beginning(in_memory: InMemoryBus) -> None:
    submitted = await in_memory.append(Outgoing("prompt-submitted", b"p-1", body(), (), 1))
    cause = f"{submitted.topic}/{submitted.partition}/{submitted.offset}".encode()
    letter = await gone(in_memory, b"{}", "prompt-accepted", "internal_error", tailrace_input=cause)
    base = await writing_back.base_of(in_memory, letter, as_new=True)
    assert (base.topic, base.value) == ("prompt-submitted", body())
    lost = await gone(in_memory, b"{}", "prompt-accepted", "internal_error", tailrace_input=b"prompt-submitted/1/99")
    with pytest.raises(ConsoleError, match="retention"):
        await writing_back.base_of(in_memory, lost, as_new=True)


async def test_nothing_is_mended_past_the_gate(in_memory: InMemoryBus) -> None:
    assert may_be_mended("prompt-submitted-batch")
    assert not may_be_mended("prompt-cleared")
    letter = await gone(in_memory, b"{}", "prompt-cleared")
    left = await planned(in_memory, letter, b'{"prompt_id": "p-1"}')
    assert left.outgoing is None
    assert "unexamined" in left.says


async def test_what_its_topic_still_cannot_read_is_left_out_with_the_reason(in_memory: InMemoryBus) -> None:
    letter = await gone(in_memory, body(temprature=1))
    left = await planned(in_memory, letter)
    assert left.outgoing is None
    assert 'unknown field "temprature"' in left.says
    mended = changed(letter.value, [], ["temprature"])
    assert (await planned(in_memory, letter, mended)).outgoing is not None


async def test_replayed_letters_are_told_from_pending_ones_also_when_they_are_given_up_again(
    in_memory: InMemoryBus,
) -> None:
    letter = await gone(in_memory, body("p-1"))
    await gone(in_memory, body("p-2"))
    out = (await planned(in_memory, letter)).outgoing
    assert out is not None
    [place] = await writing_back.write(in_memory, [out])
    found = {it.prompt_id: it.replayed for it in await dead_letters.newest(in_memory, 9, Wanted())}
    assert found == {"p-1": str(place), "p-2": None}
    [pending] = await dead_letters.newest(in_memory, 9, Wanted(), pending=True)
    assert pending.prompt_id == "p-2"
    again = in_memory.records("prompt-submitted")[-1]
    second = describe(replace(letter, headers=dead_letter(again, Failure("too_long", "", "x", True), now=NOW).headers))
    assert second.replayed_from == "prompt-submitted-dlq/0/0"


async def test_letters_are_found_by_what_they_say(in_memory: InMemoryBus) -> None:
    await gone(in_memory, body("p-1", tenant="acme"))
    await gone(in_memory, body("p-2"), code="too_long")
    hour = timedelta(hours=1)
    for wanted, ids in (
        (Wanted(tenant="acme"), {"p-1"}),
        (Wanted(prompt_id="p-2"), {"p-2"}),
        (Wanted(code="too_long"), {"p-2"}),
        (Wanted(stage="safety"), set()),
        (Wanted(topic="prompt-accepted-dlq"), set()),
        (Wanted(until_ms=int(NOW.timestamp() * 1000)), set()),
        (Wanted(until_ms=int((NOW + hour).timestamp() * 1000), reason="WRONG"), {"p-1", "p-2"}),
    ):
        assert {letter.prompt_id async for letter, _ in dead_letters.find(in_memory, wanted)} == ids


async def test_letters_of_shadows_are_listed_only_where_they_are_asked_for(in_memory: InMemoryBus) -> None:
    header = b'{"run": "r1", "prompt_id": "p", "conversation_id": "p", "submitted_at": "2026-01-01T00:00:00Z"}'
    await gone(in_memory, body(), shadow=header)
    assert await dead_letters.newest(in_memory, 9, Wanted()) == []
    [found] = await dead_letters.newest(in_memory, 9, Wanted(shadows=True))
    assert found.shadow == "r1"


@pytest.mark.parametrize(
    ("settings", "removals", "expected"),
    [
        (["a.b=1"], [], {"a": {"b": 1}, "list": [{"x": 1}]}),
        (["list.0.x=text"], [], {"a": {}, "list": [{"x": "text"}]}),
        (["list.0={}"], ["a"], {"list": [{}]}),
        ([], ["list.0.x"], {"a": {}, "list": [{}]}),
        (["new.deep=[1]"], ["list.0"], {"a": {}, "list": [], "new": {"deep": [1]}}),
    ],
)
def test_values_are_set_and_taken_out_by_path(settings: list[str], removals: list[str], expected: Any) -> None:
    assert json.loads(changed(b'{"a": {}, "list": [{"x": 1}]}', settings, removals) or b"") == expected


@pytest.mark.parametrize(
    ("value", "settings", "removals", "told"),
    [
        (b"{broken", ["a=1"], [], "no JSON object"),
        (b"{}", ["a"], [], "PATH=VALUE"),
        (b'{"list": []}', ["list.3=1"], [], 'no "3" on the way'),
        (b"{}", [], ["absent"], 'no "absent"'),
        (b'{"a": 1}', ["a.b=1"], [], 'no "b" on the way'),
    ],
)
def test_a_path_that_leads_nowhere_is_told(value: bytes, settings: list[str], removals: list[str], told: str) -> None:
    with pytest.raises(ConsoleError, match=told):
        changed(value, settings, removals)


def test_bytes_that_nobody_mends_stay_the_same() -> None:
    assert changed(b" {odd\xff", [], []) == b" {odd\xff"


def test_a_range_of_offsets_is_read() -> None:
    assert read_range("prompt-submitted/0/3-7") == Range("prompt-submitted-dlq", 0, 3, 7)
    assert read_range("prompt-submitted-dlq/0/3") == Range("prompt-submitted-dlq", 0, 3, 3)
    for text in ("prompt-submitted/0/7-3", "prompt-submitted/0/-3", "nothing/0/1"):
        with pytest.raises(ConsoleError):
            read_range(text)
    with pytest.raises(ConsoleError, match="a range"):
        read_address("prompt-submitted/0/3-7")


async def test_a_range_holds_the_letters_that_are_there(in_memory: InMemoryBus) -> None:
    for n in range(4):
        await gone(in_memory, body(f"p-{n}"))
    found = [r.offset async for r in dead_letters.fetch_range(in_memory, Range("prompt-submitted-dlq", 0, 2, 9))]
    assert found == [2, 3]


async def test_what_to_do_is_said_in_words(in_memory: InMemoryBus) -> None:
    letter: DeadLetter = describe(await gone(in_memory, body(temprature=1)))
    wrong = problem("prompt-submitted", body(temprature=1))
    outcome = Answered("refused", "invalid_request", Address("response-ready", 1, 4))
    said = " ".join(advice(letter, wrong, outcome, mendable=True))
    assert "--unset PATH" in said
    assert "refused (invalid_request) at response-ready/1/4" in said
    assert f"replay {letter.address} --as-new" in said
    mend_ours = " ".join(advice(letter, wrong, None, mendable=False))
    assert "mend the service" in mend_ours
    assert f"replay {letter.address}" in " ".join(advice(letter, None, None, mendable=True))
