"""Memory and speed of the feedback service: `python -m tests.bench.feedback_memory 1000000 [FOLDER]`.

Half of the feedback comes before its answer, half after; four judgements to an answer. Handlers' facts go through the
shared transactions into SQLite, the recorder writes examples into a log that forgets. Prints one JSON line.
"""

import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from libs.bus import Outgoing
from libs.clock import utc_now
from schemas.responses import response_id_of
from services.feedback.adapters.group_commit import GroupCommit
from services.feedback.adapters.in_memory import InMemoryStore
from services.feedback.adapters.recorder import record
from services.feedback.adapters.sql_store import SqlStore
from services.feedback.ports import Store
from tests.unit.feedback.parts import Arrival, Desk, answered, feedback

_IN_FLIGHT = 512
_PER_ANSWER = 4


class Forgetful:
    """A producer whose log only counts."""

    def __init__(self) -> None:
        self.records = 0

    async def send(self, outgoing: Outgoing) -> "asyncio.Future[object]":
        self.records += 1
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        future.set_result(outgoing.topic)
        return future

    async def flush(self) -> None:
        return None

    async def stop(self) -> None:
        return None


def arrivals(count: int) -> Iterator[Arrival]:
    """So many judgements, and the answers they are about."""
    for number in range(count // _PER_ANSWER):
        prompt_id = f"p-{number}"
        judgements = [_judgement(prompt_id, number * _PER_ANSWER + k) for k in range(_PER_ANSWER)]
        yield from judgements[: _PER_ANSWER // 2]
        yield from answered("acme", prompt_id, offset=number)
        yield from judgements[_PER_ANSWER // 2 :]


def _judgement(prompt_id: str, number: int) -> Arrival:
    kind, value = ("edit", f"A better answer, number {number}.") if number % 10 == 0 else ("rating", number % 5 + 1)
    event = feedback(
        kind,
        value,
        feedback_id=f"f-{number}",
        response_id=response_id_of("acme", prompt_id),
        subject=f"person-{number % 20_000}",
        comment="It could be shorter." if number % 4 == 0 else None,
        consent={"training": True},
    )
    return Arrival(event, number)


async def measure(count: int, folder: Path) -> dict[str, object]:
    """Seconds and the most memory held, in MB; milliseconds of one fact alone."""
    before = _peak()
    store = SqlStore(f"sqlite:///{folder / 'feedback.db'}")
    store.open()
    desk = Desk(InMemoryStore())
    desk.tools = replace(desk.tools, store=store)
    log = Forgetful()
    began, used = time.perf_counter(), time.process_time()
    async with GroupCommit(store, utc_now, most=_IN_FLIGHT, written=lambda: None) as intake:
        held: list[Arrival] = []
        for arrival in arrivals(count):
            held.append(arrival)
            if len(held) == _IN_FLIGHT:
                await asyncio.gather(*(intake.keep(fact) for fact in await desk.facts(held)))
                held.clear()
                while await record(desk.tools, log):
                    pass
        await asyncio.gather(*(intake.keep(fact) for fact in await desk.facts(held)))
    while await record(desk.tools, log):
        pass
    seconds = time.perf_counter() - began
    size = sum(file.stat().st_size for file in folder.iterdir())
    alone = await _alone(desk, store)
    store.close()
    return {
        "feedback": count,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(time.process_time() - used, 1),
        "per_second": round(count / seconds),
        "examples": log.records,
        "rss_mb": _peak(),
        "rss_before_mb": before,
        "store_mb": size // 2**20,
        "one_fact_ms": alone,
    }


async def _alone(desk: Desk, store: Store, times: int = 50) -> float:
    """The median of facts that each have a transaction of their own."""
    spent = []
    for number in range(times):
        facts = await desk.facts([_judgement("p-0", -1 - number)])
        began = time.perf_counter()
        store.note(facts, utc_now())
        spent.append((time.perf_counter() - began) * 1000)
    return round(sorted(spent)[times // 2], 3)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Measures once."""
    count, *place = sys.argv[1:] or ["10000"]
    with tempfile.TemporaryDirectory(dir=place[0] if place else None) as folder:
        print(json.dumps(asyncio.run(measure(int(count), Path(folder)))), flush=True)


if __name__ == "__main__":
    main()
