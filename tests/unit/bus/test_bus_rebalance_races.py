"""Rebalances at awkward moments, told to a stage directly."""

import asyncio

import pytest

from libs.bus import InMemoryBus, Outgoing, Producer, TopicPartition
from schemas.prompts import PromptRefused, PromptRepeated
from schemas.topics import CATALOGUE
from tests.support.bus_bench import Bench, Gates, Log, answer, eventually, on, question

INPUTS = [TopicPartition(f"prompt-refused{lane}", p) for lane in ("", "-batch") for p in (0, 1)]
WITHOUT_0 = [tp for tp in INPUTS if tp.partition == 1]


class LateAcknowledgements:
    """A producer whose log acknowledges nothing until it is flushed."""

    def __init__(self, inner: Producer) -> None:
        self._inner = inner
        self._open: list[asyncio.Future[object]] = []

    async def send(self, outgoing: Outgoing) -> "asyncio.Future[object]":
        await self._inner.send(outgoing)
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._open.append(future)
        return future

    async def flush(self) -> None:
        for future in self._open:
            future.set_result(None)
        self._open.clear()

    async def stop(self) -> None:
        await self.flush()


class LateBus(InMemoryBus):
    async def producer(self) -> Producer:
        return LateAcknowledgements(await super().producer())


@pytest.fixture
def bench(in_memory: InMemoryBus) -> Bench:
    return Bench(in_memory)


async def test_nothing_is_written_while_a_rebalance_decides(bench: Bench) -> None:
    gates = Gates()
    await bench.put(question("a", "a"), question("b", "b"))
    async with bench.running(on(gates.handle)) as stage:
        await gates.started.until("a", "b")
        await stage.on_revoked(INPUTS)
        gates.open_all()
        await gates.finished.until("a", "b")
        for _ in range(20):
            await asyncio.sleep(0)
        assert await bench.answers() == []
        await stage.on_assigned(INPUTS)
        await bench.notes.until("handled", 2)
    assert sorted(await bench.answers()) == ["a", "b"]


async def test_what_was_written_is_acknowledged_before_the_group_goes_on() -> None:
    bus = LateBus({topic.name: topic.partitions or 2 for topic in CATALOGUE})
    bench = Bench(bus)
    await bus.append(Outgoing("prompt-refused", b"k", question("a").model_dump_json().encode(), (), 0))
    async with bench.running(on(answer)) as stage:
        await bench.notes.until("handled", 1)
        assert stage.in_flight == 1
        await stage.on_revoked(INPUTS)
        assert stage.in_flight == 0
        await stage.on_assigned(INPUTS)


async def test_work_of_a_lost_partition_does_not_hold_up_its_key_when_the_partition_returns(bench: Bench) -> None:
    started, free = Log(), asyncio.Event()

    async def handle(event: PromptRefused) -> PromptRepeated:
        started.add(event.prompt_id)
        while event.prompt_id == "stubborn" and not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                started.add("cancelled")
        return answer(event)

    await bench.put(question("stubborn"))
    async with bench.running(on(handle)) as stage:
        await started.until("stubborn")
        await stage.on_assigned(WITHOUT_0)
        await stage.on_assigned(INPUTS)
        await started.until("cancelled")
        await bench.put(question("next"))
        await started.until("next")
        await eventually(lambda: bench.notes.results["handled"] == 1)
        free.set()
    assert await bench.answers() == ["next"]


async def test_a_task_cancelled_before_its_first_step_frees_its_slot_and_key(bench: Bench) -> None:
    gates = Gates()
    async with bench.running(on(gates.handle)) as stage:
        await bench.put(question("a"))
        await eventually(lambda: stage.in_flight == 1)
        await stage.on_assigned(WITHOUT_0)
        await eventually(lambda: stage.in_flight == 0)
        await stage.on_assigned(INPUTS)
        gates.open_all()
        await bench.put(question("b"))
        await gates.finished.until("b")
