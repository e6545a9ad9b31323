"""The delivery core: one stage of the path, from fetched records to committed offsets.

Promise: at least once on the wire, effectively once in effect, in order per key, with many in flight. Records are
drained at once into a bounded window; only the contiguous finished run is committed, after its outputs are in the
log; a failure blocks its own key and nothing else. Knows no Kafka: it works through the ports of `transport`.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import timedelta

from libs.bus._attempts import Attempts
from libs.bus._partition import Partition
from libs.bus._publisher import Publisher
from libs.bus._work import Work
from libs.bus.envelope import Envelope, decode, read_envelope
from libs.bus.errors import Rejected, TooManyFailures
from libs.bus.failures import Failure, dead_letter, outcomes
from libs.bus.memory import Memory
from libs.bus.observer import Observer, SilentObserver
from libs.bus.records import Record, TopicPartition
from libs.bus.routes import Outputs, Route, as_list
from libs.bus.transport import Bus, CommitRefused, Producer
from libs.bus.window import KeyedWindow
from libs.clock import Clock, utc_now
from schemas.base import Event, Lane
from schemas.topics import topic_named

_FETCH = 500
_HELD_HIGH = 1000
_HELD_LOW = 200


class Stage:
    """Runs a service's routes as one member of its consumer group. `run` returns after `stop`, or raises."""

    def __init__(
        self,
        name: str,
        bus: Bus,
        routes: Sequence[Route],
        *,
        memories: Sequence[Memory] = (),
        instance: str | None = None,
        observer: Observer | None = None,
        clock: Clock = utc_now,
        grace: timedelta = timedelta(seconds=10),
        commit_every: timedelta = timedelta(milliseconds=200),
    ) -> None:
        self.name = name
        self._bus = bus
        self._routes = {topic.name: route for route in routes for topic in route.topics}
        self._memories = tuple(memories)
        self._observer = observer or SilentObserver()
        self._clock = clock
        self._grace = grace
        self._commit_every = commit_every.total_seconds()
        self._window: KeyedWindow[Work] = KeyedWindow({name: self._limit(name) for name in self._routes})
        self._consumer = bus.consumer(f"tailrace-{name}", tuple(self._routes), instance)
        self._partitions: dict[TopicPartition, Partition] = {}
        self._remembered: set[int] = set()
        self._tasks: dict[asyncio.Task[None], Work] = {}
        self._loading: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._stopping = asyncio.Event()
        self._assigned = False
        self._broken: asyncio.Future[None] | None = None

    def _limit(self, topic: str) -> int:
        delivery = self._routes[topic].delivery
        return delivery.batch_in_flight if topic_named(topic).lane is Lane.BATCH else delivery.in_flight

    # -- life ---------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the group has taken this member in and its memories are read back."""
        return self._assigned and all(partition.ready for partition in self._partitions.values())

    @property
    def in_flight(self) -> int:
        """Records under work or queued behind their key."""
        return self._window.in_flight

    def stop(self) -> None:
        """Asks `run` to finish what is in flight, commit, leave the group and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`. Raises what broke the stage: TooManyFailures, or the log's own error."""
        producer = await self._bus.producer()
        self._begin(producer)
        loops: list[asyncio.Task[None]] = []
        try:
            await self._consumer.start(self)
            loops = [asyncio.create_task(loop()) for loop in (self._fetch, self._pump, self._commit_often)]
            await self._until_told(loops)
            await self._drain()
        finally:
            await self._end(loops, producer)

    def _begin(self, producer: Producer) -> None:
        self._publisher = Publisher(self.name, producer, self._memories, self._clock)
        self._attempts = Attempts(self.name, self._observer, self._clock)
        self._broken = asyncio.get_running_loop().create_future()

    async def _until_told(self, loops: list[asyncio.Task[None]]) -> None:
        assert self._broken is not None
        told = asyncio.create_task(self._told())
        try:
            done, _ = await asyncio.wait([told, self._broken, *loops], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            told.cancel()

    async def _drain(self) -> None:
        """Nothing new is admitted; what is in flight may finish, but for what only waits for its next attempt."""
        self._observer.event("stopping", in_flight=self.in_flight)
        for partition in self._partitions.values():
            partition.ready = False
            partition.held.clear()
        self._attempts.stop_waiting()
        self._idle.clear()
        if self.in_flight:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._grace.total_seconds()):
                    await self._idle.wait()

    async def _end(self, loops: list[asyncio.Task[None]], producer: Producer) -> None:
        ending = [*loops, *self._loading, *self._tasks]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await producer.stop()
        # The last acknowledgements are callbacks of the next turn of the loop.
        await asyncio.sleep(0)
        await self._commit()
        await self._consumer.stop()
        if self._broken is not None:
            self._broken.cancel()

    async def _told(self) -> None:
        await self._stopping.wait()

    def _break(self, error: BaseException) -> None:
        if self._broken is not None and not self._broken.done():
            self._broken.set_exception(error)

    # -- group --------------------------------------------------------------------------------------------------

    async def on_revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Work in flight goes on: the partitions often come straight back. What waits will be fetched anew."""
        self._observer.event("revoked", partitions=len(partitions))
        for tp in partitions:
            if (partition := self._partitions.get(tp)) is not None:
                partition.ready = False
                partition.held.clear()
                partition.paused = False
        await self._commit()

    async def on_assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Abandons work of partitions that went elsewhere, and reads memories back for those that came."""
        self._observer.event("assigned", partitions=len(partitions))
        for tp in set(self._partitions) - set(partitions):
            self._abandon(tp)
        for tp in partitions:
            # The broker may have handed out an older commit than ours; what is known is skipped by the tracker.
            self._partitions.setdefault(tp, Partition(tp)).committed = None
        numbers = {tp.partition for tp in partitions}
        for number in self._remembered - numbers:
            self._forget(number)
        self._load(numbers)
        self._assigned = True

    def _abandon(self, tp: TopicPartition) -> None:
        del self._partitions[tp]
        for work in self._window.abandon(lambda work: work.tp == tp):
            self._close(work)
        for task, work in list(self._tasks.items()):
            if work.tp == tp:
                task.cancel()

    def _forget(self, number: int) -> None:
        self._remembered.discard(number)
        for memory in self._memories:
            memory.forget(number)

    def _load(self, numbers: set[int]) -> None:
        task = asyncio.create_task(self._read_back(numbers - self._remembered, numbers))
        self._loading.add(task)
        task.add_done_callback(self._loaded)

    def _loaded(self, task: "asyncio.Task[None]") -> None:
        self._loading.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._break(error)

    async def _read_back(self, fresh: set[int], all_numbers: set[int]) -> None:
        for number in sorted(fresh):
            for memory in self._memories:
                await self._read_tail(memory, number)
            self._remembered.add(number)
        for partition in self._partitions.values():
            partition.ready = partition.ready or partition.tp.partition in all_numbers
        self._wake.set()

    async def _read_tail(self, memory: Memory, number: int) -> None:
        since = int((self._clock() - memory.window).timestamp() * 1000)
        for topic in memory.topics:
            async for record in self._bus.read(topic, number, since_ms=since):
                memory.recall(record)

    # -- fetch and admit ----------------------------------------------------------------------------------------

    async def _fetch(self) -> None:
        while not self._stopping.is_set():
            records = await self._consumer.poll(_FETCH, 0.5)
            for record in records:
                tp = TopicPartition(record.topic, record.partition)
                # A record may come before `on_assigned` has run: it waits until its partition is ready.
                self._partitions.setdefault(tp, Partition(tp)).held.append(record)
            if records:
                self._hold_back()
                self._wake.set()

    def _hold_back(self) -> None:
        for partition in self._partitions.values():
            if not partition.paused and len(partition.held) >= _HELD_HIGH:
                partition.paused = True
                self._consumer.pause([partition.tp])

    def _let_come(self, partition: Partition) -> None:
        if partition.paused and len(partition.held) <= _HELD_LOW:
            partition.paused = False
            self._consumer.resume([partition.tp])

    async def _pump(self) -> None:
        """Admits held records while there is room, a few of each partition in turn."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if any([await self._admit_some(partition) for partition in list(self._partitions.values())]):
                # Another round, after acknowledgements and handlers had the loop.
                self._wake.set()
                await asyncio.sleep(0)

    async def _admit_some(self, partition: Partition) -> bool:
        admitted = 0
        while admitted < 64 and partition.ready and partition.held and self._window.has_room(partition.tp.topic):
            await self._admit(partition, partition.held.popleft())
            admitted += 1
        if admitted:
            self._let_come(partition)
        return admitted > 0

    async def _admit(self, partition: Partition, record: Record) -> None:
        if not partition.tracker.start(record.offset):
            return
        work = Work(record, self._routes[record.topic], partition)
        self._window.take_slot(record.topic)
        try:
            work.envelope = read_envelope(record)
            work.event = decode(record, work.route.event)
        except Rejected as rejection:
            await self._give_up(work, self._attempts.rejection(rejection))
            return
        if self._window.queue_behind(work.key, work):
            return
        if work.route.is_async:
            self._start(work)
        else:
            await self._run_inline(work, work.envelope)

    async def _run_inline(self, work: Work, envelope: Envelope) -> None:
        """A sync handler on a free key: no task is needed unless it fails or has failed before."""
        emitted: Counter[type[Event]] = Counter()
        try:
            outputs, onward = self._attempts.inline(work, envelope)
        except Exception as error:
            self._start(work, failed=error)
            return
        await self._complete(work, outputs, emitted, onward)

    def _start(self, work: Work, failed: Exception | None = None) -> None:
        self._window.occupy(work.key)
        task = asyncio.create_task(self._run_key(work, failed))
        self._tasks[task] = work
        task.add_done_callback(self._key_ended)

    def _key_ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(task, None)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._break(error)

    async def _run_key(self, work: Work, failed: Exception | None) -> None:
        """One key's records, one after the other, until none is queued."""
        key = work.key
        current: Work | None = work
        try:
            while current is not None:
                await self._run(current, failed)
                failed = None
                current = self._window.next(key)
                if current is not None:
                    self._follow(current)
        finally:
            self._leave(key, current)

    def _follow(self, work: Work) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = work

    def _leave(self, key: object, current: Work | None) -> None:
        """After a cancellation: the key is free again, and those behind it are given up with it."""
        while current is not None:
            self._close(current)
            current = self._window.next(key)

    async def _run(self, work: Work, failed: Exception | None) -> None:
        emitted: Counter[type[Event]] = Counter()
        sent: list[asyncio.Future[object]] = []

        async def emit(output: object, envelope: Envelope) -> None:
            sent.append(await self._publisher.publish(work, output, emitted, envelope))  # type: ignore[arg-type]

        result = await self._attempts.until_decided(work, emit, emitted, failed)
        if isinstance(result, Failure):
            await self._give_up(work, result)
        else:
            outputs, onward = result
            await self._complete(work, outputs, emitted, onward, sent)

    # -- finish -------------------------------------------------------------------------------------------------

    async def _complete(
        self,
        work: Work,
        outputs: Outputs,
        emitted: Counter[type[Event]],
        envelope: Envelope,
        sent: Sequence["asyncio.Future[object]"] = (),
    ) -> None:
        try:
            futures = [
                *sent,
                *[await self._publisher.publish(work, out, emitted, envelope) for out in as_list(outputs)],
            ]
        except (ValueError, TypeError, KeyError) as error:
            # An output that cannot be written: too large, or of a type without a topic. Ours to mend, not the log's.
            await self._give_up(work, self._attempts.bug(work, error))
            return
        self._attempts.note(work, "handled")
        work.partition.gauge.note(failed=False)
        self._when_acknowledged(work, futures)

    async def _give_up(self, work: Work, failure: Failure) -> None:
        """Dead letter, outcome, and on: the record is finished."""
        self._observer.gave_up(work.record, failure.code, failure.message, failure.error)
        envelope = work.envelope or Envelope(f"{work.record.topic}/{work.record.partition}/{work.record.offset}")
        ordinals: Counter[type[Event]] = Counter()
        futures = [await self._publisher.send(dead_letter(work.record, failure, now=self._clock()))]
        for event in outcomes(work.record, work.event, work.route.event, failure):
            futures.append(await self._publisher.publish(work, event, ordinals, envelope))  # noqa: PERF401
        self._attempts.note(work, "rejected" if failure.rejected else "failed")
        self._judge(work, failure)
        self._when_acknowledged(work, futures)

    def _judge(self, work: Work, failure: Failure) -> None:
        """Anyone may write nonsense to a public topic; elsewhere nonsense means that we are broken."""
        public = topic_named(work.record.topic).access == "public-input"
        work.partition.gauge.note(failed=not (failure.rejected and public))
        if work.partition.gauge.tripped:
            self._break(
                TooManyFailures(
                    f"most records of {work.record.topic}/{work.record.partition} fail in {self.name} "
                    f"(last: {failure.code}: {failure.message}); stopped before more of them become dead letters"
                )
            )

    def _when_acknowledged(self, work: Work, futures: Sequence["asyncio.Future[object]"]) -> None:
        waiting = len(futures)
        if waiting == 0:
            self._finish(work)
            return

        def acknowledged(future: "asyncio.Future[object]") -> None:
            nonlocal waiting
            waiting -= 1
            if future.cancelled():
                return
            if (error := future.exception()) is not None:
                self._break(error)
            elif waiting == 0:
                self._finish(work)

        for future in futures:
            future.add_done_callback(acknowledged)

    def _finish(self, work: Work) -> None:
        if not work.closed:
            work.partition.tracker.finish(work.record.offset)
            self._close(work)

    def _close(self, work: Work) -> None:
        """Frees the record's slot, once."""
        if work.closed:
            return
        work.closed = True
        self._window.free_slot(work.record.topic)
        if self._window.in_flight == 0:
            self._idle.set()
        self._wake.set()

    # -- commit -------------------------------------------------------------------------------------------------

    async def _commit_often(self) -> None:
        while True:
            await asyncio.sleep(self._commit_every)
            self._observer.in_flight(self.in_flight)
            await self._commit()

    async def _commit(self) -> None:
        offsets = {tp: offset for tp, p in self._partitions.items() if (offset := p.uncommitted) is not None}
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
        except CommitRefused as refusal:
            # A rebalance came first: the new owner does the work again, with the same ids.
            self._observer.event("commit refused", reason=str(refusal))
            return
        for tp, offset in offsets.items():
            if (partition := self._partitions.get(tp)) is not None:
                partition.committed = offset
