"""Parts a2 and a3: what the whole path adds with the echo engine, without and with retrieval.

Floor: a hand-written aiokafka relay of as many hops on the same broker. Retrieval is also shown beside the same path
without it.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.frame import Bench, Finding, Goal, Part
from tests.bench.latency import HOPS, Way, bare_relay, compare, rows

ROOT = Path(__file__).parents[3]
_QUESTION = "How far behind may a consumer group fall before anyone is told?"


def tailrace(home: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
    """Runs the command against a stack of the benchmark's own."""
    environment = {**os.environ, "TAILRACE_HOME": str(home), "HF_HUB_OFFLINE": "1", **(environ or {})}
    return subprocess.run(
        [sys.executable, "-m", "services.console", *arguments],
        env=environment, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


@contextmanager
def stack(home: Path, engine: str = "echo", environ: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """A local stack; yields its status: `bootstrap_servers`, `gateway`, `api_key`. `environ` is its services'."""
    try:
        tailrace(home, "up", "--engine", engine, environ=environ)
        yield json.loads(tailrace(home, "status", "--json"))
    finally:
        tailrace(home, "down")


def way_with(mode: str) -> Way:
    """The whole path, for prompts of that `grounding.mode`, as an upstream publishes them."""

    def body(prompt_id: str) -> bytes:
        messages = [{"role": "user", "content": _QUESTION}]
        return json.dumps({"prompt_id": prompt_id, "messages": messages, "grounding": {"mode": mode}}).encode()

    return Way("prompt-submitted", "response-ready", body)


async def whole_path(bench: Bench, ways: Mapping[str, Way], prompts: int, folder: Path | None = None) -> Finding:
    """Milliseconds from publish to outcome, beside the relay; with the documents of `folder` indexed."""
    first = next(iter(ways.values()))
    with stack(bench.folder) as up:
        if folder is not None:
            bench.say(f"indexing the documents in {folder.name}")
            await asyncio.to_thread(tailrace, bench.folder, "documents", "add", str(folder))
        servers = up["bootstrap_servers"]
        async with bare_relay(servers, first.body) as floor:
            bench.say("both paths are up")
            found = await compare(servers, {**ways, "bare relay": floor}, prompts)
    count = len(found["bare relay"])
    return Finding(rows(found), [], [f"{count} prompts each, one at a time, echo engine; the relay has {HOPS} hops."])


async def without_retrieval(bench: Bench) -> Finding:
    """`grounding.mode: off`."""
    found = await whole_path(bench, {"Tailrace": way_with("off")}, bench.times(500))
    p50 = float(found.rows[-1]["p50"])
    return Finding(found.rows, [Goal("p50 to the relay's", p50, at_most=3)], found.notes)


async def with_retrieval(bench: Bench) -> Finding:
    """`grounding.mode: required` over the documents of this repository, and the same path without."""
    ways = {"Tailrace with retrieval": way_with("required"), "Tailrace without": way_with("off")}
    return await whole_path(bench, ways, bench.times(300), ROOT / "docs")


PARTS = (
    Part("a2", "Added latency of the whole path without retrieval", without_retrieval),
    Part("a3", "Added latency of the whole path with retrieval", with_retrieval),
)
