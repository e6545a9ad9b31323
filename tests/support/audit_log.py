"""A synthetic log of the prompt path, sound until it is damaged: for the checker's tests and its measurements.

Written with the event types, ids and headers of the real one. Time goes on by a millisecond with each record.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from libs.bus import Envelope, Record, StoredRecord, encode, header, headers_for
from libs.bus._ids import input_id, output_id
from libs.bus.failures import Failure, dead_letter
from schemas.base import Event, Lane, Message, ModelUsed, PathEvent, Reason, Usage
from schemas.completions import CompletionCleared, CompletionGenerated
from schemas.prompts import (
    PromptAccepted,
    PromptCleared,
    PromptFailed,
    PromptGrounded,
    PromptRefused,
    PromptSubmitted,
)
from schemas.responses import ResponseReady
from schemas.topics import topic_of

START_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
WRITERS = {
    PromptAccepted: "ingestion",
    PromptGrounded: "grounding",
    PromptCleared: "safety",
    CompletionGenerated: "inference",
    CompletionCleared: "safety",
    PromptRefused: "safety",
    PromptFailed: "inference",
    ResponseReady: "post_processing",
}


@dataclass(frozen=True)
class Asked:
    """One prompt of the log, and how it shall end."""

    prompt_id: str
    tenant: str = "default"
    conversation: str | None = None
    ends: str = "answered"
    """answered, refused or failed"""
    text: str = "Up to 14 days [1]."
    said: str | None = None
    """The answer where it differs from the cleared text: with its values restored."""
    lane: Lane = Lane.REAL_TIME
    partition: int = 0
    fields: tuple[tuple[str, Any], ...] = ()
    """Of the completions, e.g. parameters or a finish reason."""
    output: Any = None


class Log:
    """Records by topic and partition; `records` is all of them."""

    def __init__(self) -> None:
        self._log: dict[tuple[str, int], list[StoredRecord]] = defaultdict(list)
        self._now = START_MS

    @property
    def records(self) -> list[StoredRecord]:
        return [record for of in self._log.values() for record in of]

    def of(self, topic: str, partition: int = 0) -> list[StoredRecord]:
        return self._log[topic, partition]

    # -- writing ------------------------------------------------------------------------------------------------

    def put(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = b"k",
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int = 0,
    ) -> StoredRecord:
        """Any bytes, at the end."""
        self._now += 1
        at = self._log[topic, partition]
        record = StoredRecord(topic, partition, len(at), self._now, key, value, tuple(headers))
        at.append(record)
        return record

    def say(
        self, event: Event, cause: Record, *, writer: str | None = None, event_id: str | None = None
    ) -> StoredRecord:
        """An event as the delivery core writes it because of `cause`."""
        stage = writer or WRITERS[type(event)]
        came = header(cause, "ce_id")
        envelope = Envelope(input_id(cause, came.decode() if came else None))
        name = event_id or output_id(envelope.id, stage, event.TYPE, 0)
        now = datetime.fromtimestamp(self._now / 1000, UTC)
        headers = headers_for(event, name, stage, now=now, envelope=envelope, cause=cause)
        lane = Lane.BATCH if cause.topic.endswith("-batch") else Lane.REAL_TIME
        topic = topic_of(type(event), lane).name
        return self.put(topic, encode(event), key=event.key.encode(), headers=headers, partition=cause.partition)

    def again(self, record: StoredRecord, **changes: Any) -> StoredRecord:
        """The record once more at the end of its partition, changed or not."""
        at = self._log[record.topic, record.partition]
        self._now += 1
        at.append(replace(record, offset=len(at), timestamp=self._now, **changes))
        return at[-1]

    def submit(self, asked: Asked) -> StoredRecord:
        event = PromptSubmitted(
            prompt_id=asked.prompt_id,
            tenant=asked.tenant,
            conversation_id=asked.conversation,
            messages=(Message(role="user", content="How long may a return take?"),),
        )
        topic = topic_of(PromptSubmitted, asked.lane).name
        return self.put(topic, encode(event), key=event.key.encode(), partition=asked.partition)

    def dead(self, record: StoredRecord, stage: str = "ingestion") -> StoredRecord:
        """Its dead letter."""
        failure = Failure("invalid_request", "it is wrong", stage, rejected=True)
        out = dead_letter(record, failure, now=datetime.fromtimestamp(self._now / 1000, UTC))
        return self.put(out.topic, out.value, key=out.key, headers=out.headers)

    def bury(self, record: StoredRecord, asked: Asked, stage: str = "ingestion") -> StoredRecord:
        """A dead letter with the refusal and the outcome that follow."""
        self.dead(record, stage)
        refused = self.say(_refused(asked), record, writer=stage)
        return self.say(outcome(asked, "refused"), refused)

    # -- damage -------------------------------------------------------------------------------------------------

    def drop(self, record: StoredRecord) -> None:
        """As if it had never been written: later offsets close up, and so do the headers that name them."""
        at = self._log[record.topic, record.partition]
        at.remove(record)
        moved = {was.offset: now for now, was in enumerate(at)}
        self._log[record.topic, record.partition] = [replace(r, offset=moved[r.offset]) for r in at]
        for place, of in self._log.items():
            self._log[place] = [_renamed(r, record, moved) for r in of]

    def replace(self, record: StoredRecord, **changes: Any) -> StoredRecord:
        """Another record in its place."""
        at = self._log[record.topic, record.partition]
        at[record.offset] = replace(record, **changes)
        return at[record.offset]

    def swap(self, one: StoredRecord, other: StoredRecord) -> None:
        """Each in the other's place of the same partition, and what rests on them with them."""
        moved = {r.offset: r.offset for r in self._log[one.topic, one.partition]}
        moved |= {one.offset: other.offset, other.offset: one.offset}
        at = self._log[one.topic, one.partition]
        at[one.offset], at[other.offset] = replace(other, offset=one.offset), replace(one, offset=other.offset)
        gone = replace(one, offset=-1)
        for place, of in self._log.items():
            self._log[place] = [_renamed(r, gone, moved) for r in of]


def _renamed(record: StoredRecord, about: StoredRecord, moved: dict[int, int]) -> StoredRecord:
    """The record with its `tailrace_input` following what moved."""
    prefix = f"{about.topic}/{about.partition}/".encode()

    def follow(name: str, value: bytes) -> bytes:
        if name != "tailrace_input" or not value.startswith(prefix):
            return value
        offset = int(value.removeprefix(prefix))
        return prefix + str(moved.get(offset, 10_000)).encode()

    return replace(record, headers=tuple((n, follow(n, v)) for n, v in record.headers))


def carried(asked: Asked) -> dict[str, Any]:
    return {
        "prompt_id": asked.prompt_id,
        "tenant": asked.tenant,
        "conversation_id": asked.conversation or asked.prompt_id,
        "submitted_at": datetime.fromtimestamp(START_MS / 1000, UTC),
    }


def outcome(asked: Asked, status: str) -> ResponseReady:
    ids = {name: value for name, value in carried(asked).items() if name != "submitted_at"}
    said = asked.text if asked.said is None else asked.said
    body = {"text": said, "output": asked.output, "finish_reason": "stop"} if status == "answered" else {}
    now = datetime.fromtimestamp(START_MS / 1000, UTC)
    return ResponseReady.model_validate(
        {"response_id": f"resp_{asked.prompt_id}", **ids, "status": status, **body, "created_at": now}
    )


def _refused(asked: Asked) -> PromptRefused:
    return PromptRefused(**carried(asked), reason=Reason(code="unsafe_prompt", message="no", stage="safety"))


def _failed(asked: Asked) -> PromptFailed:
    return PromptFailed(**carried(asked), reason=Reason(code="engine_unavailable", message="away", stage="inference"))


def _body() -> dict[str, Any]:
    return {"messages": (Message(role="user", content="How long may a return take?"),)}


def _completion(asked: Asked, kind: type[CompletionGenerated | CompletionCleared]) -> PathEvent:
    rest = {"template": "answer@1", "policy": "default@0", "finish_reason": "stop", "text": asked.text}
    used = {"usage": Usage(prompt_tokens=1, completion_tokens=1), "model": ModelUsed(name="m")}
    return kind.model_validate({**carried(asked), **rest, **used, **dict(asked.fields)})


def steps(log: Log, asked: Asked) -> Iterator[StoredRecord]:
    """A prompt's way, record by record: whoever mixes several gets an interleaving."""
    record = log.submit(asked)
    yield record
    common = {**carried(asked), **_body()}
    record = log.say(PromptAccepted.model_validate({**common, "fingerprint": "f"}), record)
    yield record
    grounded = {**common, "upstream_messages": common["messages"], "template": "answer@1"}
    record = log.say(PromptGrounded.model_validate(grounded), record)
    yield record
    if asked.ends == "refused":
        record = log.say(_refused(asked), record)
        yield record
        yield log.say(outcome(asked, "refused"), record)
        return
    record = log.say(PromptCleared.model_validate({**common, "template": "answer@1", "policy": "default@0"}), record)
    yield record
    if asked.ends == "failed":
        record = log.say(_failed(asked), record)
        yield record
        yield log.say(outcome(asked, "failed"), record)
        return
    for kind in (CompletionGenerated, CompletionCleared):
        record = log.say(_completion(asked, kind), record)
        yield record
    yield log.say(outcome(asked, "answered"), record)


def answer(log: Log, asked: Asked) -> dict[str, StoredRecord]:
    """The prompt's whole way at once; its records by topic."""
    return {record.topic: record for record in steps(log, asked)}


def sound_log(prompts: Iterable[Asked]) -> Log:
    """One prompt after the other."""
    log = Log()
    for asked in prompts:
        answer(log, asked)
    return log
