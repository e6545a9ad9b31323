"""Part e: what stands between a caller and the engine: our gateway and its path, LiteLLM's proxy, none.

All call the same echo endpoint, a process of its own, with the same client, in turn.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from statistics import median

import aiohttp

from tests.bench.callers import Door, Round, call, questions
from tests.bench.frame import Bench, Finding, Goal, Part, Row, in_turn, percentiles
from tests.bench.litellm_peer import KEY, MODEL, VERSION, NotInstalled, installed, litellm_proxy
from tests.bench.parts.service_path import stack

OURS, PEER, FLOOR = "Tailrace", "LiteLLM proxy", "bare endpoint"
BLOCK, BLOCKS = 10, 30
ROUNDS, ANSWERS = 3, 200
CALLERS = (8, 32)
_WARM_UP = 200

_OUR_MODEL = "smollm2-135m-instruct"
_NOTES = (
    "Tailrace: grounding and answer cache off; a prompt is some eight records in the log of one broker.",
    "Tailrace: prompts are screened (personal data, secrets, injection, topics), and so are answers.",
    "LiteLLM: parses, checks the key, routes, counts tokens and cost; nothing is kept and nothing screened.",
    f"{BLOCKS} blocks of {BLOCK} answers one at a time, {ROUNDS} rounds of {ANSWERS} answers of many callers.",
)

Found = Mapping[str, Sequence[Round]]


async def run(bench: Bench) -> Finding:
    """One at a time, whole and as a stream; then many at a time."""
    async with AsyncExitStack() as opened:
        doors, notes = await _doors(bench, opened)
        client = await opened.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        asked = questions(seed=7)

        async def measured(rounds: int, callers: int, count: int, *, stream: bool = False) -> Found:
            bench.say(f"{callers} at a time{', streams' if stream else ''}")
            return await in_turn(
                rounds, {name: _side(client, door, asked, callers, count, stream) for name, door in doors.items()}
            )

        await measured(1, max(CALLERS), _WARM_UP)
        single = await measured(bench.times(BLOCKS), 1, BLOCK)
        streams = await measured(bench.times(BLOCKS), 1, BLOCK, stream=True)
        many = {n: await measured(ROUNDS, n, max(2 * n, bench.times(ANSWERS))) for n in CALLERS}
    rows = [
        *table("1", "whole", single),
        *table("1", "stream, to its first text", streams, "first"),
        *table("1", "stream, to its end", streams),
        *(row for n, found in many.items() for row in table(str(n), "whole", found)),
    ]
    return Finding(rows, goals({"1 at a time": single, **{f"{n} at a time": many[n] for n in CALLERS}}), notes)


def _side(
    client: aiohttp.ClientSession, door: Door, asked: Iterator[str], callers: int, count: int, stream: bool
) -> Callable[[int], Awaitable[Round]]:
    return lambda _: call(client, door, asked, callers=callers, count=count, stream=stream)


async def _doors(bench: Bench, opened: AsyncExitStack) -> tuple[Mapping[str, Door], list[str]]:
    """Everything is started, and what is to be said about it."""
    endpoint = opened.enter_context(echo_endpoint())
    environ = {
        "TAILRACE_INFERENCE_ENDPOINTS": json.dumps([endpoint]),
        "TAILRACE_INFERENCE_CACHE_ENTRIES": "0",
    }
    up = opened.enter_context(stack(bench.folder, "openai", environ))
    open_ended = {"tailrace": {"grounding": {"mode": "off"}}}
    ours = Door(f"{up['gateway']}/v1", up["api_key"], _OUR_MODEL, open_ended)
    doors, notes = {OURS: ours}, list(_NOTES)
    workers = os.cpu_count() or 1
    try:
        command = await asyncio.to_thread(installed)
    except NotInstalled as error:
        notes.append(f"{error}. Its rows are missing, and the goals with them.")
    else:
        url = await opened.enter_async_context(litellm_proxy(command, endpoint, workers, bench.folder))
        doors[PEER] = Door(url, KEY, MODEL)
        notes.append(f"LiteLLM {VERSION}: {workers} workers, no database, callbacks, guardrails or retries.")
    return {**doors, FLOOR: Door(endpoint, "none", MODEL)}, notes


@contextmanager
def echo_endpoint() -> Iterator[str]:
    """The engine both stand before, as a process of its own; its base URL."""
    command = [sys.executable, "-m", "tests.bench.echo_endpoint"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


def table(callers: str, answer: str, found: Found, time: str = "whole") -> list[Row]:
    """A row per side: milliseconds, and how many more than without anything between."""
    sides = {name: cuts(rounds, time) for name, rounds in found.items()}
    floor = sides[FLOOR]
    return [
        {
            "callers": callers,
            "answer": answer,
            "side": name,
            **{f"{cut} ms": value for cut, value in sides[name].items()},
            **{f"{cut} added": value - floor[cut] for cut, value in sides[name].items()},
            "answers/s": median(one.per_second for one in rounds),
        }
        for name, rounds in found.items()
    ]


def cuts(rounds: Sequence[Round], time: str = "whole") -> dict[str, float]:
    """Percentiles of all answers of all rounds, in milliseconds; `time`: to the `first` text, or the `whole`."""
    return percentiles([getattr(heard, time) for one in rounds for heard in one.heard])


def goals(measured: Mapping[str, Found]) -> list[Goal]:
    """Ours to the peer's, added time; none where the peer is not there."""
    return [
        Goal(f"added {cut} to LiteLLM's, {name}", _added(found, OURS, cut) / _added(found, PEER, cut), at_most=1)
        for name, found in measured.items()
        if PEER in found
        for cut in ("p50", "p99")
    ]


def _added(found: Found, side: str, cut: str) -> float:
    return cuts(found[side])[cut] - cuts(found[FLOOR])[cut]


PARTS = (Part("e", "The gateway and the path behind it, beside LiteLLM's proxy, before one echo endpoint", run),)
