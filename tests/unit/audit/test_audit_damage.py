"""Each kind of damage, done to a sound log: the checker finds it, and only it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from libs.audit import Report, Scope, check_records
from libs.bus import StoredRecord
from schemas.base import Lane
from schemas.prompts import PromptFailed
from tests.support.audit_log import Asked, Log, answer, carried, outcome, sound_log

P1 = Asked("p-1", conversation="c-1")
P2 = Asked("p-2", conversation="c-1")
OTHER = Asked("p-9", tenant="acme")
REFUSED = Asked("p-5", ends="refused")
FAILED = Asked("p-6", ends="failed")
BATCH = Asked("p-7", lane=Lane.BATCH, partition=1)
EVERYONE = (P1, P2, OTHER, REFUSED, FAILED, BATCH)


@pytest.fixture
def log() -> Log:
    return sound_log(EVERYONE)


def found(log: Log) -> dict[str, list[str]]:
    """Prompts by the kind of what was found about them."""
    report = check_records(log.records)
    return {kind: [f.prompt_id for f in report.of(kind)] for kind in report.counts if report.counts[kind]}


def of(log: Log, topic: str, prompt_id: str, partition: int = 0) -> StoredRecord:
    """A prompt's record on a topic."""
    return next(r for r in log.of(topic, partition) if json.loads(r.value or b"")["prompt_id"] == prompt_id)


def saying(record: StoredRecord, **fields: Any) -> bytes:
    return json.dumps(json.loads(record.value or b"") | fields, separators=(",", ":")).encode()


def renamed(record: StoredRecord, **headers: str) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, headers[name].encode() if name in headers else value) for name, value in record.headers)


def test_a_sound_log_is_sound(log: Log) -> None:
    report = check_records(log.records)
    assert report.sound
    prompts = report.prompts
    assert (prompts.judged, prompts.answered, prompts.refused, prompts.failed) == (6, 4, 1, 1)


@pytest.mark.parametrize("asked", EVERYONE, ids=lambda asked: asked.prompt_id)
def test_a_missing_outcome_is_a_lost_prompt(log: Log, asked: Asked) -> None:
    lane = "-batch" if asked.lane is Lane.BATCH else ""
    log.drop(of(log, f"response-ready{lane}", asked.prompt_id, asked.partition))
    assert found(log) == {"lost": [asked.prompt_id]}


def test_a_prompt_that_nobody_took_up_is_lost(log: Log) -> None:
    log.submit(Asked("p-10"))
    assert found(log) == {"lost": ["p-10"]}


def test_a_prompt_that_went_missing_on_its_way_is_lost(log: Log) -> None:
    log.drop(of(log, "response-ready", "p-2"))
    log.drop(of(log, "completion-cleared", "p-2"))
    assert found(log) == {"lost": ["p-2"]}


def test_a_second_outcome_with_another_id_is_doubled(log: Log) -> None:
    first = of(log, "response-ready", "p-1")
    log.again(first, headers=renamed(first, ce_id="another"))
    assert found(log) == {"doubled": ["p-1"]}


def test_a_second_outcome_that_came_of_another_decision_is_doubled(log: Log) -> None:
    reason = {"code": "cancelled", "message": "too late", "stage": "inference"}
    failed = log.say(PromptFailed.model_validate({**carried(P1), "reason": reason}), of(log, "prompt-cleared", "p-1"))
    log.say(outcome(P1, "failed"), failed)
    assert found(log) == {"doubled": ["p-1"]}


def test_an_outcome_that_comes_again_with_other_words_under_its_id_is_doubled_and_altered(log: Log) -> None:
    first = of(log, "response-ready", "p-1")
    log.again(first, value=saying(first, text="Up to 15 days [1]."))
    assert found(log) == {"doubled": ["p-1"], "altered": ["p-1"]}


def test_one_changed_word_is_an_altered_answer(log: Log) -> None:
    record = of(log, "response-ready", "p-1")
    log.replace(record, value=saying(record, text="Up to 15 days [1]."))
    assert found(log) == {"altered": ["p-1"]}


def test_a_clearance_of_another_text_than_the_generated_one_is_altered(log: Log) -> None:
    for topic in ("completion-cleared", "response-ready"):
        record = of(log, topic, "p-1")
        log.replace(record, value=saying(record, text="Whatever [1]."))
    assert found(log) == {"altered": ["p-1"]}


@pytest.mark.parametrize("topic", ["completion-cleared", "completion-generated", "prompt-cleared"])
def test_without_a_link_of_its_chain_an_answer_is_uncleared(log: Log, topic: str) -> None:
    log.drop(of(log, topic, "p-1"))
    assert found(log) == {"uncleared": ["p-1"]}


@pytest.mark.parametrize("topic", ["response-ready", "completion-cleared", "completion-generated"])
def test_the_clearance_of_another_prompt_clears_nothing(log: Log, topic: str) -> None:
    record, others = of(log, topic, "p-1"), of(log, topic, "p-9")
    cause = next(value for name, value in others.headers if name == "tailrace_input")
    log.replace(record, headers=renamed(record, tailrace_input=cause.decode()))
    assert found(log) == {"uncleared": ["p-1"]}


@pytest.mark.parametrize("topic", ["completion-cleared", "prompt-cleared"])
def test_a_clearance_that_safety_did_not_write_clears_nothing(log: Log, topic: str) -> None:
    record = of(log, topic, "p-1")
    log.replace(record, headers=renamed(record, ce_source="/tailrace/inference"))
    assert found(log) == {"uncleared": ["p-1"]}


def test_an_answer_that_names_no_clearance_is_uncleared(log: Log) -> None:
    record = of(log, "response-ready", "p-1")
    log.replace(record, headers=())
    assert found(log) == {"uncleared": ["p-1"]}


def test_an_answer_for_another_tenant_is_uncleared_and_the_prompt_lost(log: Log) -> None:
    record = of(log, "response-ready", "p-9")
    log.replace(record, value=saying(record, tenant="globex"))
    report = check_records(log.records)
    assert {(f.kind, f.tenant) for f in report.findings} == {("lost", "acme"), ("uncleared", "globex")}


def test_an_answer_to_a_prompt_that_nobody_asked_is_uncleared(log: Log) -> None:
    record = of(log, "response-ready", "p-1")
    log.again(record, value=saying(record, prompt_id="p-x"), headers=renamed(record, ce_id="x"))
    assert found(log) == {"uncleared": ["p-x"]}


def test_a_way_that_begins_with_nothing_is_orphaned(log: Log) -> None:
    log.drop(of(log, "prompt-submitted", "p-9"))
    assert found(log) == {"orphaned": ["p-9"]}


def test_a_refusal_that_rests_on_another_prompt_is_orphaned(log: Log) -> None:
    record = of(log, "prompt-refused", "p-5")
    log.replace(record, headers=renamed(record, tailrace_input="prompt-grounded/0/0"))
    assert found(log) == {"orphaned": ["p-5"]}


@pytest.mark.parametrize(
    "topic", ["prompt-accepted", "prompt-grounded", "prompt-cleared", "completion-generated", "completion-cleared"]
)
def test_whoever_is_overtaken_at_a_stage_is_out_of_order(log: Log, topic: str) -> None:
    log.swap(of(log, topic, "p-1"), of(log, topic, "p-2"))
    assert found(log) == {"out_of_order": ["p-2"]}


def test_answers_in_another_order_than_their_prompts_are_out_of_order(log: Log) -> None:
    log.swap(of(log, "response-ready", "p-1"), of(log, "response-ready", "p-2"))
    assert found(log) == {"out_of_order": ["p-2"]}


def test_conversations_owe_each_other_no_order(log: Log) -> None:
    log.swap(of(log, "response-ready", "p-2"), of(log, "response-ready", "p-9"))
    assert found(log) == {}


def test_a_refusal_may_overtake_an_answer(log: Log) -> None:
    refused = Asked("p-11", conversation="c-1", ends="refused")
    answer(log, refused)
    log.swap(of(log, "response-ready", "p-2"), of(log, "response-ready", "p-11"))
    assert found(log) == {}


def test_a_second_generation_is_counted_and_no_damage(log: Log) -> None:
    first = of(log, "completion-generated", "p-1")
    log.again(first, value=saying(first, timings_ms={"inference": 9.0}))
    report = check_records(log.records)
    assert report.sound
    assert report.prompts.paid_twice == 1
    assert report.topics["completion-generated"].redone == 1


def test_what_the_cache_answers_is_not_paid_twice(log: Log) -> None:
    first = of(log, "completion-generated", "p-1")
    log.again(first, value=saying(first, cached=True))
    assert check_records(log.records).prompts.paid_twice == 0


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (lambda record: record.value, "copies"),
        (lambda record: saying(record, timings_ms={"safety": 4.2}), "redone"),
        (lambda record: saying(record, template="answer@2"), "redone_otherwise"),
    ],
)
def test_a_record_that_comes_again_is_harmless_and_counted(
    log: Log, change: Callable[[StoredRecord], bytes], count: str
) -> None:
    for topic in ("prompt-accepted", "prompt-cleared", "completion-cleared"):
        log.again(of(log, topic, "p-1"), value=change(of(log, topic, "p-1")))
    report = check_records(log.records)
    assert report.sound
    assert [getattr(report.topics[topic], count) for topic in ("prompt-cleared", "completion-cleared")] == [1, 1]


def test_an_outcome_that_comes_again_as_it_was_is_harmless(log: Log) -> None:
    record = of(log, "response-ready", "p-1")
    log.again(record)
    log.again(record, value=saying(record, timings_ms={"safety": 4.2}))
    report = check_records(log.records)
    assert report.sound
    assert (report.topics["response-ready"].copies, report.topics["response-ready"].redone) == (1, 1)


def test_a_repeated_prompt_has_one_outcome(log: Log) -> None:
    log.submit(P1)
    report = check_records(log.records)
    assert report.sound
    assert (report.prompts.judged, report.prompts.repeated) == (6, 1)


def test_a_malformed_prompt_is_accounted_for_by_its_dead_letter_and_its_refusal(log: Log) -> None:
    bad = log.put("prompt-submitted", b'{"prompt_id": "p-20", "mesages": []}')
    log.bury(bad, Asked("p-20"))
    nameless = log.put("prompt-submitted", b"\xff\x00 garbage")
    log.dead(nameless)
    report = check_records(log.records)
    assert report.sound
    assert report.topics["prompt-submitted"].dead_lettered == 2


def test_a_dead_lettered_prompt_without_an_outcome_is_lost(log: Log) -> None:
    log.dead(log.put("prompt-submitted", b'{"prompt_id": "p-20", "mesages": []}'))
    assert found(log) == {"lost": ["p-20"]}


def test_garbage_without_a_dead_letter_is_unaccounted(log: Log) -> None:
    log.put("prompt-submitted", b"\xff\x00 garbage")
    log.put("prompt-submitted-batch", None)
    assert found(log) == {"unaccounted": ["", ""]}


def test_garbage_on_an_internal_topic_is_unaccounted_too(log: Log) -> None:
    log.put("completion-generated", b"[]")
    assert found(log) == {"unaccounted": [""]}


@pytest.mark.parametrize("value", [b"\xff", b'{"prompt_id": "p-1"}'])
@pytest.mark.parametrize(
    "origin", ["prompt-submitted/0/999", "prompt-accepted/0/0", "nonsense/0/0", "prompt-submitted/x/0"]
)
def test_a_dead_letter_of_nothing_is_unaccounted(log: Log, value: bytes, origin: str) -> None:
    letter = log.dead(log.put("prompt-submitted", b"\xff"))
    topic, partition, offset = origin.split("/")
    headers = renamed(letter, dlq_topic=topic, dlq_partition=partition, dlq_offset=offset)
    log.again(letter, value=value, headers=headers)
    report = check_records(log.records)
    assert [f.place.topic for f in report.findings] == ["prompt-submitted-dlq"]
    assert report.counts["unaccounted"] == 1


def test_findings_are_held_up_to_a_number_and_all_counted(log: Log) -> None:
    for number in range(150):
        log.submit(Asked(f"q-{number}"))
    report = check_records(log.records)
    assert (report.counts["lost"], len(report.of("lost"))) == (150, 100)


def test_one_tenant_is_judged_alone(log: Log) -> None:
    log.drop(of(log, "response-ready", "p-1"))
    log.put("prompt-submitted", b"\xff")
    report: Report = check_records(log.records, scope=None)
    assert report.counts["lost"] == 1
    assert check_records(log.records, scope=Scope(tenant="acme")).sound
    assert check_records(log.records, scope=Scope(tenant="default")).counts["lost"] == 1


def test_the_report_never_quotes_content(log: Log) -> None:
    record = of(log, "response-ready", "p-1")
    log.replace(record, value=saying(record, text="My secret"))
    assert "secret" not in json.dumps(check_records(log.records).as_json())


def test_another_lane_clears_nothing(log: Log) -> None:
    batch = of(log, "response-ready-batch", "p-7", partition=1)
    moved = replace(batch, topic="response-ready", partition=1, offset=0)
    log.drop(batch)
    log.of("response-ready", 1).append(moved)
    assert found(log) == {"uncleared": ["p-7"]}
