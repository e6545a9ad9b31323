"""Those who call an OpenAI-compatible address and wait: one at a time or many at once, with the same client for all.

Every question is another one, so that no cache answers it, and what comes back must be what the echo engine says.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import aiohttp

_WORDS = ("how", "far", "behind", "may", "a", "group", "fall", "before", "anyone", "is", "told", "of", "it")
_LENGTH = 20


@dataclass(frozen=True)
class Door:
    """An address, who may enter, and what a body needs there beside the question."""

    url: str
    key: str
    model: str
    more: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Heard:
    """Milliseconds from asking to the first text and to the end."""

    first: float
    whole: float


@dataclass(frozen=True)
class Round:
    """What a number of callers heard together, and in how many seconds."""

    heard: Sequence[Heard]
    seconds: float

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.heard) / self.seconds


def questions(seed: int) -> Iterator[str]:
    """Without end, twenty words each."""
    source = random.Random(seed)
    while True:
        yield " ".join(source.choices(_WORDS, k=_LENGTH))


async def call(
    client: aiohttp.ClientSession, door: Door, asked: Iterator[str], *, callers: int, count: int, stream: bool = False
) -> Round:
    """So many callers ask until `count` answers have come. Raises RuntimeError for an answer that is not an echo."""
    left = iter(range(count))

    async def caller() -> list[Heard]:
        return [await ask(client, door, next(asked), stream=stream) for _ in left]

    began = time.perf_counter()
    heard = await asyncio.gather(*[caller() for _ in range(callers)])
    return Round(list(chain.from_iterable(heard)), time.perf_counter() - began)


async def ask(client: aiohttp.ClientSession, door: Door, question: str, *, stream: bool) -> Heard:
    """One question."""
    body = {"model": door.model, "messages": [{"role": "user", "content": question}], "stream": stream, **door.more}
    headers = {"authorization": f"Bearer {door.key}"}
    pieces: list[str] = []
    began, first = time.perf_counter(), 0.0
    async with client.post(f"{door.url}/chat/completions", json=body, headers=headers) as response:
        if not response.ok:
            raise RuntimeError(f"{door.url} answers HTTP {response.status}: {(await response.text())[:500]}")
        if stream:
            async for line in response.content:
                if text := told(line):
                    first = first or time.perf_counter()
                    pieces.append(text)
        else:
            pieces.append((await response.json())["choices"][0]["message"]["content"])
    ended = time.perf_counter()
    if "".join(pieces) != question:
        raise RuntimeError(f"{door.url} was asked {question!r} and echoed {''.join(pieces)!r}")
    return Heard(((first or ended) - began) * 1000, (ended - began) * 1000)


def told(line: bytes) -> str:
    """The text in a line of a stream of server-sent events; empty where there is none."""
    if not line.startswith(b"data: {"):
        return ""
    choices: list[dict[str, dict[str, str]]] = json.loads(line[6:]).get("choices") or []
    return "".join(choice.get("delta", {}).get("content") or "" for choice in choices)
