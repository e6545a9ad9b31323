"""A stop finishes what is in flight, abandons what only waits, and always ends."""

import asyncio
from datetime import timedelta

from libs.bus import (
    Delivery,
    Retryable,
)
from schemas.prompts import PromptRefused
from tests.support.bus_bench import (
    PATIENCE,
    Bench,
    Gates,
    Log,
    answer,
    eventually,
    on,
    question,
    started,
)


class Stopping:
    """A stop finishes what is in flight, abandons what only waits, and always ends."""

    async def test_a_stop_finishes_and_commits_what_is_in_flight(self, bench: Bench) -> None:
        gates, again = Gates(), Log()
        await bench.put(question("a1", "a"), question("a2", "a"), question("b1", "b"))
        stage = bench.stage(on(gates.handle))
        async with started(stage) as task:
            await gates.started.until("a1", "b1")
            stage.stop()
            await eventually(lambda: "stopping" in bench.notes.events)
            gates.open_all()
            async with asyncio.timeout(PATIENCE):
                await task
        assert sorted(await bench.answers()) == ["a1", "a2", "b1"]
        await bench.put(question("c"))

        def repeat(event: PromptRefused) -> None:
            again.add(event.prompt_id)

        async with bench.running(on(repeat)):
            await again.until("c")
        assert again.items == ["c"]

    async def test_a_stop_abandons_what_waits_for_its_next_attempt(self, bench: Bench) -> None:
        def never(event: PromptRefused) -> None:
            raise Retryable("the store is away")

        await bench.put(question("a1", "a"), question("a2", "a"))
        stage = bench.stage(on(never, Delivery(backoff=timedelta(hours=1), max_backoff=timedelta(hours=1),
                                               retry_for=timedelta(days=1))))  # fmt: skip
        async with started(stage) as task:
            await bench.notes.until("retried", 1)
            stage.stop()
            async with asyncio.timeout(10):
                await task
        assert stage.in_flight == 0
        async with bench.running(on(answer)):
            await bench.notes.until("handled", 2)
        assert await bench.answers() == ["a1", "a2"]

    async def test_a_stop_abandons_what_does_not_end_within_the_grace(self, bench: Bench) -> None:
        gates = Gates()
        await bench.put(question("a"))
        stage = bench.stage(on(gates.handle), grace=timedelta(milliseconds=20))
        async with started(stage) as task:
            await gates.started.until("a")
            stage.stop()
            async with asyncio.timeout(10):
                await task
        async with bench.running(on(answer)):
            await bench.notes.until("handled", 1)
        assert await bench.answers() == ["a"]

    async def test_a_handler_that_will_not_be_cancelled_cannot_hold_the_stop(self, bench: Bench) -> None:
        stubborn, free = Log(), asyncio.Event()

        async def hold(event: PromptRefused) -> None:
            stubborn.add("started")
            while not free.is_set():
                try:
                    await free.wait()
                except asyncio.CancelledError:
                    stubborn.add("cancelled")

        await bench.put(question("a"))
        stage = bench.stage(on(hold), grace=timedelta(0), closing=timedelta(milliseconds=50))
        async with started(stage) as task:
            await stubborn.until("started")
            stage.stop()
            async with asyncio.timeout(10):
                await task
        await stubborn.until("cancelled")
        free.set()

    async def test_a_stop_before_the_group_has_formed_ends_at_once(self, bench: Bench) -> None:
        stage = bench.stage(on(answer))
        stage.stop()
        async with asyncio.timeout(PATIENCE):
            await stage.run()
