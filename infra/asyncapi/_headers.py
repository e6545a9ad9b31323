"""Schemas of record headers: CloudEvents 1.0 (binary mode), trace context, a reply address, dead letters' notes."""

from typing import Any

from schemas.topics import REPLY_PARTITIONS


def _text(description: str, **more: object) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


CLOUD_EVENTS: dict[str, Any] = {
    "type": "object",
    "description": "On the public input topics every header may be missing; our own records always carry the ce_ ones.",
    "properties": {
        "ce_specversion": _text("CloudEvents version.", const="1.0"),
        "ce_id": _text(
            "Id of the event; the same step done twice writes the same id twice.", examples=["0d6f4c9e-5a53"]
        ),
        "ce_source": _text("Who wrote it.", examples=["/tailrace/safety"]),
        "ce_type": _text("Event type and version.", examples=["tailrace.prompt-submitted.v1"]),
        "ce_time": _text("When it was written.", format="date-time"),
        "ce_subject": _text("The record key."),
        "content-type": _text("Of the body.", const="application/json"),
        "traceparent": _text("W3C trace context of this hop."),
        "tracestate": _text("W3C trace context of this hop."),
        "tailrace_input": _text("topic/partition/offset of the record that caused this one."),
    },
}
REPLY_ADDRESS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reply_to": _text(
            f"Partition of the topic reply, 0 to {REPLY_PARTITIONS - 1}, that wants streamed text and a copy of the "
            "outcome.",
            pattern="^[0-9]{1,5}$",
        ),
        "shadow": _text(
            "JSON of a Shadow: the prompt is asked again to compare, and answered on response-shadow only. Written by "
            "the console."
        ),
    },
}
DEAD_LETTER: dict[str, Any] = {
    "type": "object",
    "description": "Added to the headers that the record came with.",
    "required": ["dlq_code", "dlq_reason", "dlq_stage", "dlq_topic", "dlq_partition", "dlq_offset", "dlq_time"],
    "properties": {
        "dlq_code": _text("Reason code, as in outcomes."),
        "dlq_reason": _text("What was wrong, where, and how to mend it; never the content."),
        "dlq_stage": _text("Who gave it up."),
        "dlq_attempts": _text("How often it was tried."),
        "dlq_topic": _text("Where it was read."),
        "dlq_partition": _text("Where it was read."),
        "dlq_offset": _text("Where it was read."),
        "dlq_time": _text("When it was given up.", format="date-time"),
        "replayed_from": _text("topic/partition/offset of the dead letter that was written back to be this record."),
    },
}
