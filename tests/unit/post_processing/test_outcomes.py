"""One prompt, one outcome: what it says, in which form, and that a second decision changes nothing."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.bus import Context, StoredRecord, To
from libs.sealing import Sealer, generate_key_pair, rotate_key_file
from schemas.prompts import PromptRepeated, Source
from schemas.responses import Reply, ResponseReady, response_id_of
from services.post_processing.adapters.key_ring import KeyRing
from services.post_processing.domain.citations import cited
from services.post_processing.domain.json_output import InvalidOutput, check, parse
from services.post_processing.domain.outcomes import failed, refused
from services.post_processing.domain.restoration import restore, restore_json_text
from services.post_processing.domain.text import clean_text, clean_window
from services.post_processing.handlers import finish, pass_on, repeat
from services.post_processing.memory import FinishedPrompts
from tests.unit.post_processing.conftest import ADDRESS, Make, clock

MAIL = {"<EMAIL_ADDRESS_1>": "ada@example.org"}
SOURCES = tuple(Source(number=n, document_id=f"d{n}", score=1) for n in (1, 2, 3, 4))
At = Callable[..., Context]


@pytest.fixture
def outcome(at: At, finished: FinishedPrompts, seals: KeyRing) -> Callable[..., ResponseReady]:
    """The outcome of one decision about a prompt that has none."""

    def run(event: Any) -> ResponseReady:
        first = finish(event, context=at(), finished=finished, seals=seals, clock=clock)[0]
        assert isinstance(first, ResponseReady)
        return first

    return run


def replies(outputs: Any) -> list[tuple[int, Reply]]:
    return [(o.partition, o.event) for o in outputs if isinstance(o, To) and isinstance(o.event, Reply)]


def test_an_answer_becomes_an_outcome_with_all_that_is_known(outcome: Make, completion: Make) -> None:
    ready = outcome(completion("Hello.", masked={"IBAN": 1}, timings_ms={"safety": 1.5}))
    assert ready.response_id.startswith("resp_")
    assert (ready.status, ready.text, ready.output, ready.reason) == ("answered", "Hello.", None, None)
    assert (ready.masked, ready.template, ready.timings_ms) == ({"IBAN": 1}, "answer@1", {"safety": 1.5})
    assert ready.created_at == clock()
    assert ready.usage is not None
    assert ready.model is not None


def test_refusals_and_failures_keep_their_reason(at: At, seals: KeyRing, refusal: Make, failure: Make) -> None:
    for event, status, code in ((refusal(), "refused", "unsafe_prompt"), (failure(), "failed", "cancelled")):
        finished = FinishedPrompts(window=timedelta(1), limit=9, max_bytes=9999)
        (ready,) = finish(event, context=at(), finished=finished, seals=seals, clock=clock)
        assert isinstance(ready, ResponseReady)
        assert ready.reason is not None
        assert (ready.status, ready.reason.code, ready.text) == (status, code, None)


def test_an_outcome_without_an_answer_names_the_model_where_there_was_one(
    outcome: Callable[..., ResponseReady], refusal: Make, failure: Make
) -> None:
    used = {"name": "m", "adapter": "dpo-1", "version": None, "dataset": "d-1"}
    for number, make in enumerate((refusal, failure)):
        ready = outcome(make(prompt_id=f"p-{number}", model=used))
        assert ready.model is not None
        assert ready.model.model_dump() == used
        assert outcome(make(prompt_id=f"without-{number}")).model is None


@pytest.mark.parametrize("cached", [True, False])
def test_an_outcome_says_whether_the_cache_answered(
    outcome: Callable[..., ResponseReady], completion: Make, cached: bool
) -> None:
    found = (
        outcome(completion(cached=cached)),
        outcome(completion("no JSON", JSON_OBJECT, prompt_id="2", cached=cached)),
    )
    assert [(it.status, it.cached) for it in found] == [("answered", cached), ("failed", cached)]


def test_the_response_id_depends_on_tenant_and_prompt_alone(refusal: Make, failure: Make) -> None:
    first = failed(failure(), clock()).response_id
    assert first == response_id_of("acme", "p-1")
    assert first == refused(refusal(conversation_id="other"), clock()).response_id
    assert first != failed(failure(prompt_id="p-2"), clock()).response_id
    assert first != failed(failure(tenant="globex"), clock()).response_id


def test_masked_values_come_back_in_text_and_sources(outcome: Make, completion: Make, seal: Make) -> None:
    source = Source(number=1, document_id="<EMAIL_ADDRESS_1>", title="By <EMAIL_ADDRESS_1>", score=1)
    text = "Write to <EMAIL_ADDRESS_1> or <EMAIL_ADDRESS_2> or <EMAIL_ADDRESS>."
    ready = outcome(completion(text, sources=(source,), **seal(MAIL)))
    assert ready.text == "Write to ada@example.org or <EMAIL_ADDRESS_2> or <EMAIL_ADDRESS>."
    assert (ready.sources[0].document_id, ready.sources[0].title) == ("ada@example.org", "By ada@example.org")


def test_a_restored_value_that_looks_like_a_placeholder_is_not_restored_again() -> None:
    assert restore("<AA_1> <BB_1>", {"<AA_1>": "<BB_1>", "<BB_1>": "secret"}) == "<BB_1> secret"


@given(st.text(), st.text())
def test_a_value_restored_in_json_text_is_the_value(value: str, other: str) -> None:
    text = json.dumps({"a": "x <IBAN_1> y", other: "<IBAN_1>"}, ensure_ascii=False)
    restored = json.loads(restore_json_text(text, {"<IBAN_1>": value}))
    assert restored == {"a": f"x {value} y", other: value}


def test_a_box_to_an_unknown_key_leaves_the_placeholders_and_is_reported(
    outcome: Make, completion: Make, reports: list[str]
) -> None:
    box, key_id = Sealer(generate_key_pair()[0]).seal(MAIL)
    ready = outcome(completion("To <EMAIL_ADDRESS_1>.", sealed=box, seal_key_id=key_id))
    assert (ready.status, ready.text) == ("answered", "To <EMAIL_ADDRESS_1>.")
    assert len(reports) == 1
    assert key_id in reports[0]


def test_a_rotated_key_is_picked_up_without_a_restart(
    outcome: Make, completion: Make, key_file: Path, seals: KeyRing
) -> None:
    assert seals.values(None, None) == {}
    box, key_id = Sealer(rotate_key_file(key_file)).seal(MAIL)
    assert outcome(completion("To <EMAIL_ADDRESS_1>.", sealed=box, seal_key_id=key_id)).text == "To ada@example.org."


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("See [2].", [2]),
        ("See [3][1].", [1, 3]),
        ("See [1, 3] and [Source 4].", [1, 3, 4]),
        ("See [2-4].", [2, 3, 4]),
        ("See 【2】.", [2]),
        ("None is cited.", [1, 2, 3, 4]),
        ("Unknown [9].", [1, 2, 3, 4]),
        ("See [1] and [9].", [1]),
    ],
)
def test_cited_sources_are_listed_under_the_numbers_the_model_saw(text: str, numbers: list[int]) -> None:
    assert [source.number for source in cited(text, SOURCES)] == numbers


JSON_OBJECT = {"type": "json_object"}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "s",
        "schema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
    },
}


@pytest.mark.parametrize("text", ['{"n": 1}', ' {"n": 1}\n', '```json\n{"n": 1}\n```', '```\n{"n": 1}```'])
@pytest.mark.parametrize("wanted", [JSON_OBJECT, SCHEMA])
def test_json_is_parsed_also_out_of_a_code_fence(
    outcome: Make, completion: Make, text: str, wanted: dict[str, Any]
) -> None:
    ready = outcome(completion(text, wanted))
    assert (ready.status, ready.text, ready.output) == ("answered", '{"n": 1}', {"n": 1})


@pytest.mark.parametrize(
    ("text", "wanted", "complaint"),
    [
        ("no JSON", JSON_OBJECT, "not JSON"),
        ("[1]", JSON_OBJECT, "not an object"),
        ('{"n": NaN}', JSON_OBJECT, "not usable as JSON"),
        ('{"n": "\\ud800"}', JSON_OBJECT, "not usable as JSON"),
        ('{"n": "one"}', SCHEMA, "n breaks the schema's rule 'type'"),
        ("{}", SCHEMA, "the whole value breaks the schema's rule 'required'"),
        ("[" * 5000 + "]" * 5000, JSON_OBJECT, "not usable as JSON|nested deeper"),
    ],
)
def test_output_that_is_not_what_was_asked_for_fails_with_the_reason(
    outcome: Make, completion: Make, text: str, wanted: dict[str, Any], complaint: str
) -> None:
    ready = outcome(completion(text, wanted))
    assert (ready.status, ready.text, ready.output) == ("failed", None, None)
    assert ready.reason is not None
    assert ready.reason.code == "invalid_output"
    assert any(part in ready.reason.message for part in complaint.split("|"))


def test_json_that_was_cut_off_says_so(outcome: Make, completion: Make) -> None:
    ready = outcome(completion('{"n": ', JSON_OBJECT, finish_reason="length"))
    assert "raise it" in ready.reason.message


def test_a_schema_that_names_a_masked_value_is_met_by_the_value(outcome: Make, completion: Make, seal: Make) -> None:
    wanted = {"type": "json_schema", "json_schema": {"schema": {"properties": {"to": {"enum": ["<EMAIL_ADDRESS_1>"]}}}}}
    ready = outcome(completion('{"to": "<EMAIL_ADDRESS_1>"}', wanted, **seal(MAIL)))
    assert ready.output == {"to": "ada@example.org"}


@pytest.mark.parametrize(
    "schema", [{"type": 7}, {"$ref": "https://example.org/s.json"}, {"$ref": "#/none"}, {"pattern": "("}]
)
def test_a_schema_that_cannot_be_used_is_reported_and_never_fetched(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidOutput, match="JSON Schema cannot be used"):
        check("text", schema)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the library's, when it does fetch: that must not save us
def test_a_schema_elsewhere_is_never_read(tmp_path: Path) -> None:
    elsewhere = tmp_path / "schema.json"
    elsewhere.write_text("{}")
    with pytest.raises(InvalidOutput, match="JSON Schema cannot be used"):
        check("text", {"$ref": elsewhere.as_uri()})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_any_json_value_is_read_as_it_is(value: Any) -> None:
    assert parse(json.dumps(value)) == value


words = st.lists(st.text(st.sampled_from("ab \n\t\r\x00`~1."), max_size=6), max_size=8)


@given(words, st.sampled_from(["stop", "length"]))
def test_what_was_streamed_is_a_prefix_of_the_final_text(windows: list[str], finish_reason: Any) -> None:
    streamed = ""
    for index, window in enumerate(windows):
        shown = clean_window(window, first=index == 0)
        if index == 0 and not shown:
            break
        streamed += shown
    assert clean_text("".join(windows), finish_reason).startswith(streamed)


def test_a_code_fence_that_the_limit_cut_off_is_closed() -> None:
    assert clean_text("Do:\n```sh\nls", "length") == "Do:\n```sh\nls\n```"
    assert clean_text("Do:\n```sh\nls", "stop") == "Do:\n```sh\nls"
    assert clean_text("```a\n```\n~~~~\n~~~", "length") == "```a\n```\n~~~~\n~~~\n~~~~"


def test_a_second_different_decision_gives_no_second_outcome(
    at: At, finished: FinishedPrompts, seals: KeyRing, completion: Make, failure: Make
) -> None:
    first = finish(completion(reply_to=1), context=at(offset=1), finished=finished, seals=seals, clock=clock)
    second = finish(failure(reply_to=1), context=at("prompt-failed"), finished=finished, seals=seals, clock=clock)
    assert [type(output) for output in first] == [ResponseReady, To]
    assert second == []


def test_a_second_attempt_at_the_same_record_gives_the_same_outcome_again(
    at: At, finished: FinishedPrompts, seals: KeyRing, completion: Make
) -> None:
    runs = [finish(completion(reply_to=1), context=at(), finished=finished, seals=seals, clock=clock) for _ in "ab"]
    assert runs[0] == runs[1]


def test_after_a_crash_the_log_knows_and_only_the_copy_is_sent_again(
    at: At, finished: FinishedPrompts, seals: KeyRing, completion: Make, failure: Make
) -> None:
    (ready, _) = finish(completion(reply_to=1), context=at(offset=7), finished=finished, seals=seals, clock=clock)
    assert isinstance(ready, ResponseReady)
    after = FinishedPrompts(window=timedelta(1), limit=9, max_bytes=9999)
    headers = (("tailrace_input", b"completion-cleared/0/7"),)
    after.recall(StoredRecord("response-ready", 0, 0, 0, b"c-1", ready.model_dump_json().encode(), headers))
    again = finish(completion(reply_to=1), context=at(offset=7), finished=after, seals=seals, clock=clock)
    other = finish(failure(reply_to=1), context=at("prompt-failed", 7), finished=after, seals=seals, clock=clock)
    assert [(place, reply.outcome) for place, reply in replies(again)] == [(1, ready)]
    assert len(again) == 1
    assert other == []


def test_another_tenants_prompt_of_the_same_id_has_its_own_outcome(
    at: At, finished: FinishedPrompts, seals: KeyRing, completion: Make
) -> None:
    for offset, tenant in enumerate(("acme", "globex")):
        event = completion(tenant=tenant)
        assert finish(event, context=at(offset=offset), finished=finished, seals=seals, clock=clock) != []


def repeated(reply_to: int | None = 5, **fields: Any) -> PromptRepeated:
    return PromptRepeated.model_validate(ADDRESS | {"reply_to": reply_to} | fields)


def test_a_caller_who_repeats_a_finished_prompt_gets_a_copy(
    at: At, finished: FinishedPrompts, seals: KeyRing, completion: Make
) -> None:
    (ready,) = finish(completion(), context=at(), finished=finished, seals=seals, clock=clock)
    copy = repeat(repeated(), context=at("prompt-repeated"), finished=finished, clock=clock)
    assert [(place, reply.outcome) for place, reply in replies([copy])] == [(5, ready)]


def test_a_caller_who_repeats_an_unfinished_prompt_gets_his_copy_when_it_ends(
    at: At, finished: FinishedPrompts, seals: KeyRing, completion: Make
) -> None:
    for place in (5, 6, 5, 1):
        assert repeat(repeated(place), context=at("prompt-repeated"), finished=finished, clock=clock) is None
    outputs = finish(completion(reply_to=1), context=at(), finished=finished, seals=seals, clock=clock)
    assert sorted(place for place, _ in replies(outputs)) == [1, 5, 6]


def test_who_waits_is_known_again_after_a_crash(
    at: At, finished: FinishedPrompts, seals: KeyRing, completion: Make
) -> None:
    value = repeated().model_dump_json().encode()
    finished.recall(StoredRecord("prompt-repeated-batch", 0, 0, 0, b"c-1", value))
    outputs = finish(completion(), context=at(), finished=finished, seals=seals, clock=clock)
    assert [place for place, _ in replies(outputs)] == [5]


def test_a_conflicting_repetition_is_told_so_and_nobody_else(
    at: At, finished: FinishedPrompts, seals: KeyRing, completion: Make
) -> None:
    (ready,) = finish(completion(), context=at(), finished=finished, seals=seals, clock=clock)
    copy = repeat(repeated(conflict=True), context=at("prompt-repeated"), finished=finished, clock=clock)
    ((place, reply),) = replies([copy])
    assert isinstance(ready, ResponseReady)
    assert reply.outcome is not None
    assert reply.outcome.reason is not None
    assert (place, reply.outcome.status, reply.outcome.reason.code) == (5, "refused", "idempotency_conflict")
    assert reply.outcome.response_id != ready.response_id


def test_an_outcome_no_longer_held_is_named_where_it_can_be_read(at: At, seals: KeyRing, completion: Make) -> None:
    small = FinishedPrompts(window=timedelta(1), limit=9, max_bytes=1)
    for offset, prompt in enumerate(("p-1", "p-2")):
        finish(completion(prompt_id=prompt), context=at(offset=offset), finished=small, seals=seals, clock=clock)
    copy = repeat(repeated(), context=at("prompt-repeated"), finished=small, clock=clock)
    ((_, reply),) = replies([copy])
    assert reply.outcome is not None
    assert reply.outcome.reason is not None
    assert "response-ready" in reply.outcome.reason.message


def test_memory_is_bounded_and_forgets_a_partition_that_is_gone(at: At, seals: KeyRing, completion: Make) -> None:
    memory = FinishedPrompts(window=timedelta(1), limit=2, max_bytes=9999)
    for offset in range(3):
        finish(
            completion(prompt_id=f"p-{offset}"), context=at(offset=offset), finished=memory, seals=seals, clock=clock
        )
    known = [memory.find(("acme", f"p-{n}")) is not None for n in range(3)]
    memory.forget(0)
    assert (known, memory.find(("acme", "p-2"))) == ([False, True, True], None)


def test_a_damaged_record_in_the_log_is_passed_over(finished: FinishedPrompts) -> None:
    for value in (None, b"{", b"\xff", b"{}"):
        finished.recall(StoredRecord("response-ready", 0, 0, 0, b"c-1", value))
    assert finished.find(("acme", "p-1")) is None


def test_a_window_reaches_the_caller_with_his_own_values(
    finished: FinishedPrompts, seals: KeyRing, chunk: Make, seal: Make
) -> None:
    reply = pass_on(chunk("\n To <EMAIL_ADDRESS_1>. ", **seal(MAIL)), finished=finished, seals=seals)
    ((place, event),) = replies([reply])
    assert (place, event.kind, event.index, event.text) == (3, "text", 0, "To ada@example.org. ")


def test_windows_of_nobody_of_finished_prompts_and_of_nothing_are_dropped(
    at: At, finished: FinishedPrompts, seals: KeyRing, chunk: Make, completion: Make
) -> None:
    assert pass_on(chunk("Hi.", reply_to=None), finished=finished, seals=seals) is None
    assert pass_on(chunk(" \n"), finished=finished, seals=seals) is None
    finish(completion(), context=at(), finished=finished, seals=seals, clock=clock)
    assert pass_on(chunk("Hi."), finished=finished, seals=seals) is None
