"""The AsyncAPI document: committed as the running code has it, and in agreement with the catalogue."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml

from infra.asyncapi import PATH, Operation, as_text, document, operations
from schemas.topics import CATALOGUE, Service

SERVICES = set(get_args(Service))


@pytest.fixture(scope="module")
def found() -> list[Operation]:
    """What all services hear and say, by their own routes."""
    return operations()


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    """The document in the tree."""
    content: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return content


def test_the_committed_document_is_the_one_that_the_code_makes(found: list[Operation]) -> None:
    assert PATH.read_text(encoding="utf-8") == as_text(document(found)), "write it anew: python -m infra.asyncapi"


def test_services_say_what_the_catalogue_says_and_nothing_else(found: list[Operation]) -> None:
    catalogue = {(name, t.name) for t in CATALOGUE if t.event for name in t.producers if name in SERVICES}
    assert {(o.service, o.topic) for o in found if o.action == "send"} == catalogue


def test_services_hear_what_the_catalogue_says_and_nothing_else(found: list[Operation]) -> None:
    catalogue = {(name, t.name) for t in CATALOGUE if t.event for name in t.consumers if name in SERVICES}
    assert {(o.service, o.topic) for o in found if o.action == "receive"} == catalogue


def test_both_lanes_are_heard_alike(found: list[Operation]) -> None:
    heard = {(o.service, o.topic) for o in found if o.action == "receive"}
    twins = {t.name for t in CATALOGUE if f"{t.name}-batch" in {other.name for other in CATALOGUE}}
    assert all((service, f"{topic}-batch") in heard for service, topic in heard if topic in twins)


def test_every_topic_is_a_channel_with_its_settings(committed: dict[str, Any]) -> None:
    assert set(committed["channels"]) == {topic.name for topic in CATALOGUE}
    for topic in CATALOGUE:
        binding = committed["channels"][topic.name]["bindings"]["kafka"]
        assert binding["bindingVersion"] == "0.5.0"
        written = binding["topicConfiguration"]
        assert {n: str(v[0] if isinstance(v, list) else v) for n, v in written.items()} == topic.config


def test_public_channels_are_marked(committed: dict[str, Any]) -> None:
    for topic in CATALOGUE:
        tags = {tag["name"] for tag in committed["channels"][topic.name]["tags"]}
        assert topic.access in tags
        assert ("clear-text" in tags) == topic.before_the_gate


def test_every_channel_has_a_message_with_cloud_events_headers(committed: dict[str, Any]) -> None:
    messages = committed["components"]["messages"]
    headers = committed["components"]["schemas"]["CloudEventsHeaders"]["properties"]
    assert set(headers) >= {"ce_id", "ce_source", "ce_type", "ce_specversion", "ce_time", "traceparent"}
    assert all("headers" in message for message in messages.values())


def test_every_reference_leads_somewhere(committed: dict[str, Any]) -> None:
    references = list(_references(committed))
    assert references
    for reference in references:
        node: Any = committed
        for part in reference.removeprefix("#/").split("/"):
            node = node[part.replace("~1", "/")]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
