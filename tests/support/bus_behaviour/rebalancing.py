"""Two instances: nothing is lost, nothing is out of order, what stays is not done twice."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

from libs.bus import (
    header,
)
from schemas.prompts import PromptRefused, PromptRepeated
from tests.support.bus_bench import (
    Bench,
    Gates,
    Log,
    answer,
    answered,
    eventually,
    on,
    question,
)


class Rebalancing:
    """Two instances: nothing is lost, nothing is out of order, what stays is not done twice."""

    async def test_work_in_flight_on_a_kept_partition_is_not_done_twice(self, bench: Bench) -> None:
        first, second = Gates(), Gates()
        for partition in (0, 1):
            await bench.put(*[question(f"{key}{n}-{partition}", f"{key}{partition}") for n in (1, 2) for key in "ab"],
                            partition=partition)  # fmt: skip
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(bench.running(on(first.handle)))
            await first.started.holds(4)
            two = await stack.enter_async_context(bench.running(on(second.handle)))
            await second.started.holds(2)
            await eventually(lambda: one.ready and two.ready)
            first.open_all()
            second.open_all()
            await eventually(lambda: one.in_flight + two.in_flight == 0)
        names = [f"{key}{n}-{p}" for p in "01" for key in "ab" for n in (1, 2)]
        done = await bench.answers()
        assert sorted(done) == sorted(names)
        kept = {name[-1] for name in first.finished.items}
        taken = {name[-1] for name in second.finished.items}
        assert len(kept) == len(taken) == 1
        assert kept != taken
        assert all(first.started.items.count(name) == 1 for name in names if name[-1] in kept)
        for key in ("a0", "a1", "b0", "b1"):
            order = [n for n in done if n[0] == key[0] and n[-1] == key[1]]
            assert order == [f"{key[0]}{n}-{key[1]}" for n in (1, 2)]

    async def test_nothing_more_is_written_for_a_partition_that_was_lost(self, bench: Bench) -> None:
        started_here, cancelled = Log(), Log()

        async def stubborn(event: PromptRefused) -> PromptRepeated:
            started_here.add(event.prompt_id)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.add(event.prompt_id)
            return answer(event)

        for partition in (0, 1):
            await bench.put(question(f"p{partition}"), partition=partition)
        async with bench.running(on(stubborn), grace=timedelta(0)):
            await started_here.holds(2)
            async with bench.running(on(answer)):
                await cancelled.holds(1)
                await bench.notes.until("handled", 1)
            lost = cancelled.items[0]
            assert await bench.answers() == [lost]
        assert sorted(await bench.answers()) == ["p0", "p1"]

    async def test_nothing_is_lost_or_disordered_while_instances_come_and_go(self, bench: Bench) -> None:
        names = [f"{i:04}" for i in range(1200)]

        async def handle(event: PromptRefused) -> PromptRepeated:
            for _ in range(int(event.prompt_id[-1])):
                await asyncio.sleep(0)
            return answer(event)

        async with bench.running(on(handle)):
            feeding = asyncio.create_task(feed(bench, names))
            for _ in range(3):
                async with bench.running(on(handle)) as other:
                    await eventually(lambda other=other: other.ready)  # type: ignore[misc]
            await feeding
            while len(set(await bench.answers())) < len(names):
                pass
        first_of: dict[bytes | None, str] = {}
        records = await bench.read("prompt-repeated")
        for record, name in zip(records, answered(records), strict=True):
            first_of.setdefault(header(record, "ce_id"), name)
        assert sorted(first_of.values()) == names
        for digit in "0123456789":
            order = [name for name in first_of.values() if name[-1] == digit]
            assert order == sorted(order)


async def feed(bench: Bench, names: list[str]) -> None:
    """Ten keys, told by the last digit; odd ones on partition 1."""
    for at in range(0, len(names), 60):
        for partition in (0, 1):
            chosen = [name for name in names[at : at + 60] if int(name[-1]) % 2 == partition]
            await bench.put(*[question(name, f"k{name[-1]}") for name in chosen], partition=partition)
