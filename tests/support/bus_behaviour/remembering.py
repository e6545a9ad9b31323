"""Memories and views of the log."""

import asyncio

from libs.bus import (
    Outgoing,
    OutputMemory,
    Record,
    Retryable,
    View,
    ViewReader,
)
from schemas.prompts import PromptRefused, PromptRepeated
from tests.support.bus_bench import (
    Bench,
    Log,
    answer,
    eventually,
    kill,
    on,
    question,
)


def remembered() -> OutputMemory[str, int]:
    """A memory of answers: prompt id to offset."""

    def read(record: Record) -> tuple[str, int] | None:
        return PromptRepeated.model_validate_json(record.value or b"").prompt_id, record.partition

    return OutputMemory((PromptRepeated,), read)


class Remembering:
    """Memories and views of the log."""

    async def test_a_memory_is_read_back_before_the_first_record_is_handled(self, bench: Bench) -> None:
        async with bench.running(on(answer), memories=[remembered()]):
            for partition in (0, 1):
                await bench.put(question(f"p{partition}"), partition=partition)
            await bench.notes.until("handled", 2)
        memory, known = remembered(), Log()

        def ask(event: PromptRefused) -> None:
            known.add(f"{event.prompt_id} knows {memory.find('p0')} {memory.find('p1')}")

        for partition in (0, 1):
            await bench.put(question(f"q{partition}"), partition=partition)
        async with bench.running(on(ask), memories=[memory]):
            await known.holds(2)
        assert sorted(known.items) == ["q0 knows 0 1", "q1 knows 0 1"]

    async def test_a_memory_knows_at_once_what_was_just_written(self, bench: Bench) -> None:
        memory = remembered()

        def once(event: PromptRefused) -> PromptRepeated | None:
            return None if memory.find(event.prompt_id) is not None else answer(event)

        await bench.put(*[question("same")] * 5, question("other"))
        async with bench.running(on(once), memories=[memory]):
            await bench.notes.until("handled", 6)
        assert await bench.answers() == ["same", "other"]

    async def test_a_memory_forgets_a_partition_that_leaves_and_reads_it_again_when_it_returns(
        self, bench: Bench
    ) -> None:
        first, second = remembered(), remembered()
        for partition in (0, 1):
            await bench.put(question(f"p{partition}"), partition=partition)
        async with bench.running(on(answer), memories=[first]):
            await bench.notes.until("handled", 2)
            assert len(first) == 2
            async with bench.running(on(answer), memories=[second]) as other:
                await eventually(lambda: len(first) == 1 and len(second) == 1)
                await eventually(lambda: other.ready)
                for partition in (0, 1):
                    await bench.put(question(f"q{partition}"), partition=partition)
                await bench.notes.until("handled", 4)
                assert len(first) == 2
            await eventually(lambda: len(first) == 4)

    async def test_a_view_replays_from_the_beginning_and_keeps_up(self, bench: Bench) -> None:
        got = Log()

        async def apply(event: PromptRefused, record: Record) -> None:
            got.add(event.prompt_id)

        for partition in (0, 1):
            await bench.put(question(f"p{partition}"), partition=partition)
        reader = ViewReader("viewer", bench.bus, View(PromptRefused, apply))
        assert not reader.ready
        task = asyncio.create_task(reader.run())
        try:
            await eventually(lambda: reader.ready)
            assert sorted(got.items) == ["p0", "p1"]
            await bench.put(question("later"))
            await got.until("later")
        finally:
            await kill(task)

    async def test_a_view_of_an_empty_topic_is_ready(self, bench: Bench) -> None:
        async def apply(event: PromptRefused, record: Record) -> None:
            return None

        reader = ViewReader("viewer", bench.bus, View(PromptRefused, apply))
        task = asyncio.create_task(reader.run())
        try:
            await eventually(lambda: reader.ready)
        finally:
            await kill(task)

    async def test_a_view_survives_nonsense_and_waits_for_its_store(self, bench: Bench) -> None:
        got, away = Log(), asyncio.Event()

        async def apply(event: PromptRefused, record: Record) -> None:
            got.add(event.prompt_id)
            if not away.is_set():
                away.set()
                raise Retryable("the store is away")

        await bench.put(question("a"))
        await bench.put_raw(Outgoing("prompt-refused", b"k", b"\xff", partition=0))
        await bench.put_raw(Outgoing("prompt-refused", b"k", None, partition=0))
        await bench.put(question("b"))
        reader = ViewReader("viewer", bench.bus, View(PromptRefused, apply))
        task = asyncio.create_task(reader.run())
        try:
            await got.until("b")
            await eventually(lambda: reader.ready)
        finally:
            await kill(task)
        assert got.items == ["a", "a", "b"]
        assert len(await bench.read("prompt-refused-dlq")) == 1

    async def test_a_view_goes_on_where_its_store_left_off(self, bench: Bench) -> None:
        got = Log()

        async def apply(event: PromptRefused, record: Record) -> None:
            got.add(event.prompt_id)

        await bench.put(question("a"), question("b"), question("c"))
        reader = ViewReader("viewer", bench.bus, View(PromptRefused, apply, positions=lambda: {0: 2}))
        task = asyncio.create_task(reader.run())
        try:
            await eventually(lambda: reader.ready)
        finally:
            await kill(task)
        assert got.items == ["c"]
