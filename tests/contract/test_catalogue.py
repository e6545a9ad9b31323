"""The catalogue of topics: names, lanes, keys, retention, and nobody left without a counterpart."""

import re
from dataclasses import replace

import pytest

from schemas.base import Event, Lane, PathEvent
from schemas.publish import EXAMPLES, events
from schemas.topics import CATALOGUE, DAY_MS, Topic, dead_letter_topic, topic_of, topics_of

TOPICS = pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)
EVENTS = pytest.mark.parametrize("event", events(), ids=lambda event: event.TYPE)
SERVICES = {
    *("gateway", "ingestion", "grounding", "safety", "inference", "post_processing"),
    *("feedback", "retraining", "evaluation"),
}
PARTIES = SERVICES | {"upstream", "console"}
ONE_LANE = ("prompt-cancelled", "completion-chunk", "completion-chunk-cleared", "reply")
BY_NAME = {topic.name: topic for topic in CATALOGUE}


def test_topic_names_are_unique() -> None:
    assert len(BY_NAME) == len(CATALOGUE)


@TOPICS
def test_a_topic_is_named_in_lower_case_with_hyphens(topic: Topic) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", topic.name)


@TOPICS
def test_a_topic_has_known_producers_and_consumers(topic: Topic) -> None:
    assert topic.producers
    assert topic.consumers
    assert set(topic.producers) | set(topic.consumers) <= PARTIES


@TOPICS
def test_a_topic_says_what_it_is_for(topic: Topic) -> None:
    assert topic.summary


@pytest.mark.parametrize("topic", [t for t in CATALOGUE if t.lane is Lane.REAL_TIME], ids=lambda topic: topic.name)
def test_the_batch_twin_differs_in_name_and_lane_only(topic: Topic) -> None:
    base = topic.dead_letters_of
    twin = BY_NAME[f"{base}-batch-dlq" if base else f"{topic.name}-batch"]
    as_ours = replace(
        twin, name=topic.name, lane=topic.lane, summary=topic.summary, dead_letters_of=topic.dead_letters_of
    )
    assert as_ours == topic
    assert twin.lane is Lane.BATCH


@EVENTS
def test_events_between_a_prompt_and_its_outcome_have_both_lanes(event: type[Event]) -> None:
    lanes = {topic.lane for topic in topics_of(event)}
    if issubclass(event, PathEvent) and event.TYPE not in ONE_LANE:
        assert lanes == {Lane.REAL_TIME, Lane.BATCH}
    else:
        assert lanes in ({None}, {Lane.REAL_TIME, Lane.BATCH})


@pytest.mark.parametrize(
    "event", [event for event in events() if issubclass(event, PathEvent)], ids=lambda event: event.TYPE
)
def test_an_event_on_the_path_is_keyed_by_its_conversation(event: type[PathEvent]) -> None:
    text = (EXAMPLES / event.TYPE / "full.json").read_text(encoding="utf-8")
    found = event.model_validate_json(text)
    assert found.key == found.conversation_id == "c-19"


@pytest.mark.parametrize(
    ("event_type", "example", "key"),
    [
        ("prompt-submitted", "full", "c-19"),
        ("prompt-submitted", "minimal", "order-7781"),
        ("prompt-cancelled", "full", "c-19"),
        ("prompt-cancelled", "minimal", "order-7781"),
        ("response-ready", "full", "c-19"),
        ("reply", "full", "order-7781"),
        ("document-submitted", "full", "handbook/returns.md"),
        ("document-accepted", "full", "handbook/returns.md"),
        ("document-indexed", "full", "acme/handbook/returns.md/0"),
        ("document-refused", "full", "handbook/terms.pdf"),
        ("feedback-submitted", "full", "resp_5a5d1f0e2b7c5d5e9a538f6f8a3f1c20"),
        ("subject-erased", "full", "person-17"),
        ("example-recorded", "full", "resp_5a5d1f0e2b7c5d5e9a538f6f8a3f1c20"),
    ],
)
def test_records_are_keyed_as_published(event_type: str, example: str, key: str) -> None:
    event = BY_NAME[event_type].event
    assert event is not None
    body = (EXAMPLES / event_type / f"{example}.json").read_text(encoding="utf-8")
    assert event.model_validate_json(body).key == key


@TOPICS
def test_topics_of_the_path_share_one_partition_count(topic: Topic) -> None:
    assert (topic.partitions is not None) == (topic.name == "reply")


@TOPICS
def test_clear_text_before_the_gate_is_kept_for_a_day_unless_it_is_the_knowledge_base(topic: Topic) -> None:
    if topic.before_the_gate and not topic.name.startswith("document-"):
        assert topic.retention_ms <= DAY_MS


def test_inference_hears_of_prompts_only_through_the_gate() -> None:
    heard = {topic.name for topic in CATALOGUE if "inference" in topic.consumers}
    changes_of_what_serves = {"model-promoted", "model-rolled-back"}
    assert heard == {"prompt-cleared", "prompt-cleared-batch", "prompt-cancelled"} | changes_of_what_serves
    assert topic_of(_event("prompt-cleared")).producers == ("safety",)


def test_outcomes_and_replies_have_one_writer() -> None:
    for name in ("response-ready", "response-ready-batch", "reply"):
        assert BY_NAME[name].producers == ("post_processing",)


@TOPICS
def test_what_a_service_consumes_has_dead_letters(topic: Topic) -> None:
    group_readers = PARTIES - {"upstream", "console", "gateway"}
    if group_readers & set(topic.consumers):
        letters = BY_NAME[dead_letter_topic(topic.name)]
        assert letters.dead_letters_of == topic.name
        assert letters.before_the_gate == topic.before_the_gate
        assert letters.event is None


def _event(name: str) -> type[Event]:
    event = BY_NAME[name].event
    assert event is not None
    return event
