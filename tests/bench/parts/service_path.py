"""Parts a2 and a3: what the whole path adds with the echo engine, without and with retrieval.

Floor: a hand-written aiokafka relay of as many hops on the same broker.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.frame import Bench, Finding, Goal, Part
from tests.bench.latency import HOPS, Body, Way, bare_relay, compare, rows

ROOT = Path(__file__).parents[3]
_QUESTION = "How far behind may a consumer group fall before anyone is told?"


def tailrace(home: Path, *arguments: str) -> str:
    """Runs the command against a stack of the benchmark's own."""
    environment = {**os.environ, "TAILRACE_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "services.console", *arguments],
        env=environment, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


@contextmanager
def stack(home: Path) -> Iterator[str]:
    """The local stack with the echo engine; yields its broker's address."""
    tailrace(home, "up", "--engine", "echo")
    try:
        yield str(json.loads(tailrace(home, "status", "--json"))["bootstrap_servers"])
    finally:
        tailrace(home, "down")


def body_with(mode: str) -> Body:
    """What an upstream publishes."""

    def body(prompt_id: str) -> bytes:
        messages = [{"role": "user", "content": _QUESTION}]
        return json.dumps({"prompt_id": prompt_id, "messages": messages, "grounding": {"mode": mode}}).encode()

    return body


async def whole_path(bench: Bench, mode: str, prompts: int) -> Finding:
    """Milliseconds from publish to outcome."""
    with stack(bench.folder) as servers:
        if mode != "off":
            bench.say("indexing the documents of this repository")
            await asyncio.to_thread(tailrace, bench.folder, "documents", "add", str(ROOT / "docs"))
        body = body_with(mode)
        ours = Way("prompt-submitted", "response-ready", body)
        async with bare_relay(servers, body) as floor:
            found = await compare(servers, {"Tailrace": ours, "bare relay": floor}, prompts)
    table = rows(found)
    notes = [f"{len(found['Tailrace'])} prompts each, one at a time, echo engine; the relay has {HOPS} hops."]
    return Finding(table, [], notes)


async def without_retrieval(bench: Bench) -> Finding:
    """`grounding.mode: off`."""
    found = await whole_path(bench, "off", bench.times(500))
    p50 = float(found.rows[-1]["p50"])
    return Finding(found.rows, [Goal("p50 to the relay's", p50, at_most=3)], found.notes)


async def with_retrieval(bench: Bench) -> Finding:
    """`grounding.mode: required` over the documents of this repository."""
    return await whole_path(bench, "required", bench.times(300))


PARTS = (
    Part("a2", "Added latency of the whole path without retrieval", without_retrieval),
    Part("a3", "Added latency of the whole path with retrieval", with_retrieval),
)
