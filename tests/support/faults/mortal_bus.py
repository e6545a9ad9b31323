"""A real bus whose process dies at a chosen boundary of a step. It decorates the ports."""

import asyncio
import os
import signal
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from libs.bus import Outgoing, Producer, Record, TopicPartition
from libs.bus.kafka import KafkaBus
from libs.bus.transport import GroupConsumer, RebalanceListener
from libs.settings import BusSettings
from tests.support.faults.fate import Boundary, Fate


class Reaper:
    """Counts how often each boundary was reached, and kills this very process when its time has come."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self._reached = 0

    def reached(self, boundary: Boundary) -> None:
        if boundary == self._fate.dies:
            self._reached += 1
            if self._reached == self._fate.at:
                os.kill(os.getpid(), signal.SIGKILL)


class MortalBus(KafkaBus):
    """Consumers and producers of a Kafka bus, watched."""

    def __init__(self, settings: BusSettings, *, client_id: str, fate: Fate) -> None:
        super().__init__(settings, client_id=client_id)
        self._fate = fate
        self._reaper = Reaper(fate)

    def consumer(
        self, group: str, topics: Collection[str], instance: str | None, linger: timedelta = timedelta(0)
    ) -> GroupConsumer:
        return _MortalConsumer(super().consumer(group, topics, instance, linger), self._reaper, self._fate.poll_pause)

    async def producer(self) -> Producer:
        return _MortalProducer(await super().producer(), self._reaper, self._fate.produce_lag)


class _MortalProducer:
    def __init__(self, producer: Producer, reaper: Reaper, lag: float) -> None:
        self._producer = producer
        self._reaper = reaper
        self._lag = lag
        self._turn = asyncio.Lock()
        self._late: set[asyncio.Task[object]] = set()

    async def send(self, outgoing: Outgoing) -> "asyncio.Future[object]":
        self._reaper.reached("before produce")
        future: asyncio.Future[object]
        if self._lag:
            future = task = asyncio.create_task(self._send_late(outgoing))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        else:
            future = await self._producer.send(outgoing)
        future.add_done_callback(lambda _: self._reaper.reached("after produce"))
        return future

    async def _send_late(self, outgoing: Outgoing) -> object:
        due = asyncio.get_running_loop().time() + self._lag
        # The port promises the order of the calls: a lock is handed on in the order in which it was asked for.
        async with self._turn:
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            acknowledged = await self._producer.send(outgoing)
        return await acknowledged

    async def flush(self) -> None:
        await asyncio.gather(*self._late)
        await self._producer.flush()

    async def stop(self) -> None:
        await asyncio.gather(*self._late)
        await self._producer.stop()


class _MortalConsumer:
    def __init__(self, consumer: GroupConsumer, reaper: Reaper, poll_pause: float) -> None:
        self._consumer = consumer
        self._reaper = reaper
        self._poll_pause = poll_pause

    async def start(self, listener: RebalanceListener) -> None:
        await self._consumer.start(listener)

    async def stop(self) -> None:
        await self._consumer.stop()

    async def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        if self._poll_pause:
            await asyncio.sleep(self._poll_pause)
            max_records = 1
        return await self._consumer.poll(max_records, timeout_seconds)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._reaper.reached("before commit")
        await self._consumer.commit(offsets)
        self._reaper.reached("after commit")

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        self._consumer.pause(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        self._consumer.resume(partitions)
