"""The document itself: channels from the catalogue, operations from the services, messages from the events.

AsyncAPI 3.0.0 with the Kafka bindings 0.5.0. Knows no service.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic.json_schema import models_json_schema

from infra.asyncapi._headers import CLOUD_EVENTS, DEAD_LETTER, REPLY_ADDRESS
from infra.asyncapi._services import Operation, operations
from libs.service import VERSION
from libs.settings import BusSettings
from schemas import publish
from schemas.base import Event
from schemas.topics import CATALOGUE, Topic, dead_letter_topic

PATH = Path(publish.__file__).parent / "asyncapi.yaml"
BINDING = "0.5.0"
DEAD_LETTER_MESSAGE = "dead-letter"

Object = dict[str, Any]


def document(found: Iterable[Operation] | None = None) -> Object:
    """The whole document. `found`: operations already known, else every service is asked."""
    known = sorted(operations() if found is None else found)
    return {
        "asyncapi": "3.0.0",
        "id": "urn:tailrace",
        "info": _info(),
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {"host": "127.0.0.1:9092", "protocol": "kafka", "description": "A broker of the cluster."}
        },
        "channels": {topic.name: _channel(topic) for topic in CATALOGUE},
        "operations": {_operation_id(o): _operation(o) for o in (*known, *_dead_letters(known))},
        "components": {
            "messages": {**{e.TYPE: _message(e) for e in publish.events()}, DEAD_LETTER_MESSAGE: _dead_letter()},
            "schemas": {**_payloads(), "CloudEventsHeaders": CLOUD_EVENTS, "DeadLetterHeaders": DEAD_LETTER},
        },
    }


def as_text(content: Object) -> str:
    """The document as it is committed."""
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    return f"# Generated from the running code by `python -m infra.asyncapi`; a test compares.\n{text}"


def _info() -> Object:
    return {
        "title": "Tailrace",
        "version": VERSION,
        "description": (
            "Large language models as event-driven services on Apache Kafka. Upstreams write to the channels tagged "
            "public-input and read those tagged public-output; everything else is internal. docs/contract.md shows how."
        ),
        "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
    }


def _channel(topic: Topic) -> Object:
    message = topic.event.TYPE if topic.event is not None else DEAD_LETTER_MESSAGE
    tags = [topic.access, *([topic.lane.value] if topic.lane else []), *(["dead-letters"] if not topic.event else [])]
    return {
        "address": topic.name,
        "title": topic.name,
        "summary": topic.summary,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "tags": [{"name": tag} for tag in [*tags, *(["clear-text"] if topic.before_the_gate else [])]],
        "bindings": {"kafka": _kafka_topic(topic)},
    }


def _kafka_topic(topic: Topic) -> Object:
    settings = {name: int(value) if value.isdigit() else [value] for name, value in topic.config.items()}
    return {
        "topic": topic.name,
        # A setting of the installation where the catalogue names none; the default stands here.
        "partitions": topic.partitions or _default("topic_partitions"),
        "replicas": _default("replication_factor"),
        "topicConfiguration": settings,
        "bindingVersion": BINDING,
    }


def _default(name: str) -> int:
    return int(BusSettings.model_fields[name].default)


def _operation_id(operation: Operation) -> str:
    return f"{operation.service}.{operation.action}.{operation.topic}"


def _operation(operation: Operation) -> Object:
    event = next(topic.event for topic in CATALOGUE if topic.name == operation.topic)
    message = event.TYPE if event is not None else DEAD_LETTER_MESSAGE
    reader: Object = {"groupId": {"type": "string", "const": operation.group}} if operation.group else {}
    return {
        "action": operation.action,
        "channel": {"$ref": f"#/channels/{operation.topic}"},
        "summary": operation.description,
        "tags": [{"name": operation.service}],
        "messages": [{"$ref": f"#/channels/{operation.topic}/messages/{message}"}],
        **({"bindings": {"kafka": {**reader, "bindingVersion": BINDING}}} if reader else {}),
    }


def _dead_letters(known: Iterable[Operation]) -> list[Operation]:
    """Whoever reads with a group sets aside what it cannot handle."""
    told = "what could not be handled, as it came, with the reason in its headers"
    return [Operation(o.service, "send", dead_letter_topic(o.topic), told) for o in known if o.group is not None]


def _message(event: type[Event]) -> Object:
    headers: Object = {"$ref": "#/components/schemas/CloudEventsHeaders"}
    if event.TYPE == "prompt-submitted":
        headers = {"allOf": [headers, REPLY_ADDRESS]}
    return {
        "name": event.ce_type(),
        "title": event.__name__,
        "summary": (event.__doc__ or "").strip().splitlines()[0],
        "contentType": "application/json",
        "headers": headers,
        "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": _key(event)}, "bindingVersion": BINDING}},
    }


def _key(event: type[Event]) -> str:
    return (event.key.__doc__ or "").strip()


def _dead_letter() -> Object:
    return {
        "name": DEAD_LETTER_MESSAGE,
        "title": "Dead letter",
        "summary": "A record as it was, any bytes, with the reason and its place of origin in added headers.",
        "contentType": "application/octet-stream",
        "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
        "bindings": {"kafka": {"bindingVersion": BINDING}},
    }


def _payloads() -> Object:
    """The schemas of all events; a reader's and a writer's view of one type may differ and then have two names."""
    modes = [(event, publish.mode_of(event)) for event in publish.events()]
    names, schemas = models_json_schema(
        modes, ref_template="#/components/schemas/{model}", schema_generator=publish.Generator
    )
    defined: Object = dict(schemas["$defs"])
    for event, mode in modes:
        name = names[event, mode]["$ref"].rpartition("/")[2]
        if name != event.__name__:
            defined[event.__name__] = {"$ref": f"#/components/schemas/{name}"}
    return {name: defined[name] for name in sorted(defined)}
