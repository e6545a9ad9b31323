"""Rows as TRL reads them, in both of its forms, and where each came from. Knows no policy and no store.

Conversational: `prompt` and the completions are lists of `{"role", "content"}`. Plain: they are strings.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from libs.datasets._names import Kind, Origin
from schemas.base import Message
from schemas.feedback import ExampleRecorded

Chat = list[dict[str, str]]
Body = dict[str, Any]

COLUMNS: dict[Kind, dict[str, str]] = {
    "dpo": {"prompt": "messages", "chosen": "messages", "rejected": "messages"},
    "kto": {"prompt": "messages", "completion": "messages", "label": "boolean"},
    "sft": {"prompt": "messages", "completion": "messages"},
}
"""Columns of the conversational form; in the plain one `messages` are strings."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_SPEAKERS = {"system": "System", "user": "User", "assistant": "Assistant"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that may be written, with its lineage."""

    kind: Kind
    body: Body
    origin: Origin
    answers: tuple[ExampleRecorded, ...]
    """One, or the chosen and the rejected one."""
    feedback: tuple[str, ...]
    """Ids of the judgements it rests on."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Its completions."""
        return completions(self.body)


def chat(messages: Iterable[Message]) -> Chat:
    """As chat templates know it: OpenAI's newer word for `system` is known to no open model's."""
    return [
        {"role": "system" if message.role == "developer" else message.role, "content": message.content}
        for message in messages
    ]


def said(text: str) -> Chat:
    """A completion."""
    return [{"role": "assistant", "content": text}]


def completions(body: Body) -> tuple[str, ...]:
    """The row's completions: one, or the chosen and the rejected one."""
    names = ("chosen", "rejected") if "chosen" in body else ("completion",)
    return tuple(body[name][0]["content"] for name in names)


def question(body: Body) -> str:
    """The last message of the prompt."""
    return str(body["prompt"][-1]["content"])


def as_text(body: Any) -> str:
    """One line of JSON, the same for the same row."""
    return _ENCODER.encode(body)


def row_id(kind: Kind, text: str) -> str:
    """A row's id: 32 hex digits of SHA-256 over its kind and its line in the conversational form."""
    return hashlib.sha256(f"{kind}\n{text}".encode()).hexdigest()[:32]


def case_of(kind: Kind, body: Body) -> bytes:
    """What a row decides, whichever way: rows of one case that differ contradict each other."""
    parts = (kind, as_text(body["prompt"]), *sorted(completions(body)))
    return hashlib.sha256("\0".join(parts).encode()).digest()[:16]


def plain(body: Body) -> Body:
    """The row's plain form: who says what, a blank line between, and completions that begin with a space."""
    told = [f"{_SPEAKERS[message['role']]}: {message['content']}" for message in body["prompt"]]
    rest = {name: value if name == "label" else f" {value[0]['content']}" for name, value in body.items()}
    return {**rest, "prompt": "\n\n".join([*told, "Assistant:"])}


def origin_of(candidate: Candidate) -> Body:
    """The row's lineage, to be merged with that of its copies."""
    answers = [
        {
            "response_id": answer.response_id,
            "prompt_id": answer.prompt_id,
            "conversation_id": answer.conversation_id,
            "model": answer.model.model_dump(exclude_none=True),
            "template": answer.template,
        }
        for answer in candidate.answers
    ]
    return {
        "tenant": candidate.answers[0].tenant,
        "from": [candidate.origin],
        "answers": answers,
        "feedback": sorted(candidate.feedback),
    }


def merged(one: Body, other: Body) -> Body:
    """Of two copies of a row, the lineage of those answers that come first; both feedbacks where they are the same.

    Commutative and associative, so that the order of copies does not matter.
    """
    first, second = sorted((one, other), key=lambda it: as_text([it["tenant"], it["answers"]]))
    if (first["tenant"], first["answers"]) != (second["tenant"], second["answers"]):
        return first
    both = {name: sorted({*first[name], *second[name]}) for name in ("from", "feedback")}
    return {**first, **both}
