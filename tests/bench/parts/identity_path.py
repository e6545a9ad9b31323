"""Part a1: what the delivery core alone adds, per path of six hops: identity handlers through our stage.

Floor: a hand-written aiokafka relay of as many hops. Both with one process per hop.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from libs.bus import encode
from schemas.base import Message
from schemas.prompts import PromptAccepted
from tests.bench.frame import Bench, Finding, Goal, Part
from tests.bench.latency import HOPS, PARTITIONS, Way, all_ready, bare_relay, compare, create_topics, processes, rows

_QUESTION = "How far behind may a consumer group fall before anyone is told?"


def body(prompt_id: str) -> bytes:
    """An event of the prompt path, some 400 bytes."""
    return encode(
        PromptAccepted(
            prompt_id=prompt_id,
            tenant="default",
            conversation_id=prompt_id,
            submitted_at=datetime(2026, 1, 1, tzinfo=UTC),
            messages=(Message(role="user", content=_QUESTION),),
            fingerprint="0" * 64,
        )
    )


@asynccontextmanager
async def identity_path(servers: str) -> AsyncIterator[Way]:
    """Six services of ours that hand on what they get."""
    prefixes = [f"hop-{uuid.uuid4().hex[:8]}-{hop}-" for hop in range(HOPS + 1)]
    await create_topics(servers, [f"{prefix}prompt-accepted{lane}" for prefix in prefixes for lane in ("", "-batch")])
    commands = [["tests.bench.hop", servers, *prefixes[hop : hop + 2]] for hop in range(HOPS)]
    with processes(commands) as running:
        await all_ready(running)
        yield Way(f"{prefixes[0]}prompt-accepted", f"{prefixes[-1]}prompt-accepted", body)


async def run(bench: Bench) -> Finding:
    """Milliseconds from publish to the last topic."""
    async with bench.broker(PARTITIONS) as settings:
        servers = settings.bootstrap_servers
        async with identity_path(servers) as ours, bare_relay(servers, body) as floor:
            bench.say("both paths are up")
            found = await compare(servers, {"Tailrace": ours, "bare relay": floor}, bench.times(1000))
    table = rows(found)
    p50, p99 = float(table[-1]["p50"]), float(table[-1]["p99"])
    return Finding(
        table,
        [Goal("p50 to the relay's", p50, at_most=1.5), Goal("p99 to the relay's", p99, at_most=3)],
        [f"{len(found['Tailrace'])} prompts each, one at a time, {HOPS} hops, one process per hop."],
    )


PARTS = (Part("a1", "Added latency of the delivery core: six hops of identity handlers", run),)
