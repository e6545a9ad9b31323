"""Which damage is done how often, and what a record is made of."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.support.hostile.bodies import damaged
from tests.support.hostile.documents import content
from tests.support.hostile.envelopes import Headers, headers, key
from tests.support.hostile.prompts import twisted
from tests.support.hostile.texts import broken

EXAMPLES = Path(__file__).parents[3] / "schemas" / "examples"
ID_OF = {
    "prompt-submitted": "prompt_id",
    "prompt-cancelled": "prompt_id",
    "document-submitted": "document_id",
    "feedback-submitted": "feedback_id",
    "subject-erased": "subject",
    "training-requested": "request_id",
    "evaluation-requested": "request_id",
    "promotion-requested": "request_id",
}
_LARGE_EVERY = 150
"""A body of megabytes now and then: more would measure the disk."""


@dataclass(frozen=True)
class Case:
    """One record, and what was done to it."""

    kind: str
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def cases(topic: str, count: int, seed: int, *, partitions: int = 2) -> Iterator[Case]:
    """Hostile records for one public topic, spread over its partitions."""
    random = Random(f"{seed}/{topic}")
    event = topic.removesuffix("-batch")
    examples = [json.loads(path.read_text()) for path in sorted((EXAMPLES / event).glob("*.json"))]
    for number in range(count):
        name = f"{topic}-{seed}-{number}"
        body = {**random.choice(examples), ID_OF[event]: name}
        body.pop("deadline", None)
        kind, value = _value(event, body, number, random)
        told, found = headers(event, random) if random.random() < 0.3 else ("", [])
        # A key that is not the contract's only now and then: then all records of it wait for one another.
        chosen = key(name, random) if random.random() < 0.2 else name.encode()
        yield Case(f"{kind} {told}".strip(), topic, number % partitions, chosen, value, found)


def _value(event: str, body: dict[str, Any], number: int, random: Random) -> tuple[str, bytes | None]:
    if number % _LARGE_EVERY == 7:
        return _large(body, random)
    way = random.random()
    if way < 0.35:
        return broken(json.dumps(body).encode(), random)
    if event == "prompt-submitted" and way < 0.7:
        kind, body = twisted(body, random)
    elif event == "document-submitted" and way < 0.6:
        kind, body = content(body, random)
    else:
        kind, body = damaged(body, random)
    return kind, json.dumps(body).encode()


def _large(body: dict[str, Any], random: Random) -> tuple[str, bytes]:
    size = random.randint(1_000_000, 3_900_000)
    text = json.dumps(body).encode()
    if random.random() < 0.5:
        return "white space of megabytes", text[:-1] + b" " * size + b"}"
    return "a field of megabytes", json.dumps({**body, "metadata": {"x": "y" * size}}).encode()
