"""The delivery core: one stage of the path, from fetched records to committed offsets.

Promise: at least once on the wire, effectively once in effect, in order per key, with many in flight. Records are
drained at once into a bounded window; only the contiguous finished run is committed, after its outputs are in the
log; a failure blocks its own key and nothing else. Knows no Kafka: it works through the ports of `transport`.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

from libs.bus._attempts import Attempts
from libs.bus._memories import Memories
from libs.bus._partition import Partition
from libs.bus._publisher import Ordinals, Publisher
from libs.bus._work import Work
from libs.bus.envelope import Envelope, decode, read_envelope
from libs.bus.errors import Rejected, TooManyFailures
from libs.bus.failures import Failure, dead_letter, outcomes
from libs.bus.memory import Memory
from libs.bus.observer import Observer, SilentObserver
from libs.bus.records import Outgoing, Record, TopicPartition
from libs.bus.routes import Output, Outputs, Route, as_list
from libs.bus.transport import Bus, CommitRefused, Producer
from libs.bus.window import KeyedWindow
from libs.clock import Clock, utc_now
from schemas.base import Lane
from schemas.topics import topic_named

_FETCH = 500


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
        closing: timedelta = timedelta(seconds=5),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`grace` is for work in flight when asked to stop; `closing` bounds each last word with a broker that is away.

        `jitter` in [0, 1) spreads retries.
        """
        self.name = name
        self._bus = bus
        self._routes = {topic.name: route for route in routes for topic in route.topics}
        self._memories = Memories(bus, memories, clock)
        self._observer = observer or SilentObserver()
        self._clock = clock
        self._grace = grace
        self._commit_every = commit_every.total_seconds()
        self._closing = closing.total_seconds()
        self._jitter = jitter
        self._window: KeyedWindow[Work] = KeyedWindow({name: self._limit(name) for name in self._routes})
        linger = min((route.delivery.linger for route in routes), default=timedelta(0))
        self._consumer = bus.consumer(f"tailrace-{name}", tuple(self._routes), instance, linger)
        self._partitions: dict[TopicPartition, Partition] = {}
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

    @property
    def held(self) -> int:
        """Records fetched that wait for room."""
        return sum(len(partition.held) for partition in self._partitions.values())

    def stop(self) -> None:
        """Asks `run` to finish what is in flight, commit, leave the group and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`. Raises what broke the stage: TooManyFailures, or the log's own error."""
        producer = await self._bus.producer()
        self._begin(producer)
        loops: list[asyncio.Task[None]] = []
        try:
            loops = [asyncio.create_task(loop()) for loop in (self._fetch, self._pump, self._commit_often)]
            await self._until_told(loops)
            await self._drain()
        finally:
            await self._end(loops, producer)

    def _begin(self, producer: Producer) -> None:
        self._producer = producer
        self._publisher = Publisher(self.name, producer, self._memories, self._clock)
        self._attempts = Attempts(self.name, self._observer, self._clock, self._jitter)
        self._broken = asyncio.get_running_loop().create_future()

    async def _until_told(self, loops: list[asyncio.Task[None]]) -> None:
        assert self._broken is not None
        told = asyncio.create_task(self._told(self._stopping))
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
            partition.drop_held()
        self._attempts.stop_waiting()
        if self.in_flight:
            await self._until_idle()

    async def _until_idle(self) -> None:
        assert self._broken is not None
        self._idle.clear()
        idle = asyncio.create_task(self._told(self._idle))
        try:
            await asyncio.wait(
                [idle, self._broken], timeout=self._grace.total_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            idle.cancel()
        if self._broken.done():
            self._broken.result()

    async def _end(self, loops: list[asyncio.Task[None]], producer: Producer) -> None:
        await self._cancelled([*loops, *self._loading, *self._tasks])
        try:
            await producer.stop()
            # The last acknowledgements are callbacks of the next turn of the loop.
            await asyncio.sleep(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._closing):
                    await self._commit()
        finally:
            await self._consumer.stop()
            if self._broken is not None:
                self._broken.cancel()

    async def _cancelled(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Returns when the tasks have ended; one that will not end is left behind."""
        for task in tasks:
            task.cancel()
        if tasks:
            ended, _ = await asyncio.wait(tasks, timeout=self._closing)
            for task in ended:
                # Retrieved, so that asyncio does not report it a second time.
                _ = task.cancelled() or task.exception()

    async def _told(self, event: asyncio.Event) -> None:
        await event.wait()

    def _break(self, error: BaseException) -> None:
        if self._broken is not None and not self._broken.done():
            self._broken.set_exception(error)

    # -- group --------------------------------------------------------------------------------------------------

    async def on_revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Work in flight goes on: the partitions often come straight back. What waits will be fetched anew.

        Nothing more is written for them, and what was written is in the log before the group goes on: their next
        owner reads our tail to learn what is done.
        """
        self._observer.event("revoked", partitions=len(partitions))
        self._stop_loading()
        for tp in partitions:
            if (partition := self._partitions.get(tp)) is not None:
                partition.revoke()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._closing):
                await self._producer.flush()
                await asyncio.sleep(0)
        await self._commit()

    async def on_assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Abandons work of partitions that went elsewhere, and reads memories back for those that came."""
        self._observer.event("assigned", partitions=len(partitions))
        self._stop_loading()
        for tp in set(self._partitions) - set(partitions):
            self._abandon(self._partitions.pop(tp))
        for tp in partitions:
            self._partition(tp).settle()
        numbers = {tp.partition for tp in partitions}
        self._memories.keep_only(numbers)
        self._load(numbers)
        self._assigned = True

    def _partition(self, tp: TopicPartition) -> Partition:
        if (partition := self._partitions.get(tp)) is None:
            partition = Partition(tp)
            ranked = sorted((*self._partitions.values(), partition), key=self._rank)
            self._partitions = {each.tp: each for each in ranked}
        return partition

    def _rank(self, partition: Partition) -> tuple[bool, bool]:
        """Its place in the pump's turns: streams before what ends them, real-time before batch."""
        topic = partition.tp.topic
        return not self._routes[topic].delivery.goes_first, topic_named(topic).lane is Lane.BATCH

    def _abandon(self, partition: Partition) -> None:
        partition.lose()
        for work in self._window.abandon(lambda work: work.partition is partition):
            self._close(work)
        for task, work in list(self._tasks.items()):
            if work.partition is partition:
                task.cancel()

    def _load(self, numbers: set[int]) -> None:
        task = asyncio.create_task(self._read_back(numbers))
        self._loading.add(task)
        task.add_done_callback(self._loaded)

    def _stop_loading(self) -> None:
        for task in self._loading:
            task.cancel()

    def _loaded(self, task: "asyncio.Task[None]") -> None:
        self._loading.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._break(error)

    async def _read_back(self, numbers: set[int]) -> None:
        await self._memories.read_back(numbers)
        for partition in self._partitions.values():
            partition.ready = not self._stopping.is_set()
        self._wake.set()

    # -- fetch and admit ----------------------------------------------------------------------------------------

    async def _fetch(self) -> None:
        await self._consumer.start(self)
        while not self._stopping.is_set():
            records = await self._consumer.poll(_FETCH, 0.5)
            for record in records:
                # A record may come before `on_assigned` has run: it waits until its partition is ready.
                self._partition(TopicPartition(record.topic, record.partition)).hold(record)
            if records:
                self._hold_back()
                self._wake.set()

    def _hold_back(self) -> None:
        for partition in self._partitions.values():
            if not partition.paused and partition.full:
                partition.paused = True
                self._consumer.pause([partition.tp])

    def _let_come(self, partition: Partition) -> None:
        if partition.paused and partition.low:
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
            await self._admit(partition, partition.take_held())
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
        emitted: Ordinals = {}
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
        current = self._tasks.pop(task)
        self._wake.set()
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            # Here and not in the task: one that is cancelled before its first step never runs any of its own code.
            self._leave(current)
        if error is not None:
            self._break(error)

    async def _run_key(self, work: Work, failed: Exception | None) -> None:
        """One key's records, one after the other, until none is queued."""
        key = work.key
        current: Work | None = work
        while current is not None:
            await self._run(current, failed)
            failed = None
            current = self._window.next(key)
            if current is not None:
                self._follow(current)

    def _follow(self, work: Work) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = work

    def _leave(self, work: Work) -> None:
        """After a cancellation: the key is free again, and those behind it are given up with it."""
        current: Work | None = work
        while current is not None:
            self._close(current)
            current = self._window.next(work.key)

    async def _run(self, work: Work, failed: Exception | None) -> None:
        emitted: Ordinals = {}
        sent: list[asyncio.Future[object]] = []

        async def emit(output: Output, envelope: Envelope) -> None:
            outgoing = self._publisher.prepare(work, output, emitted, envelope)
            await work.partition.settled.wait()
            if work.partition.lost:
                raise asyncio.CancelledError
            sent.append(await self._publisher.send(outgoing, work))

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
        emitted: Ordinals,
        envelope: Envelope,
        sent: Sequence["asyncio.Future[object]"] = (),
    ) -> None:
        try:
            outgoing = [self._publisher.prepare(work, output, emitted, envelope) for output in as_list(outputs)]
            written = await self._write(work, outgoing, sent)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # An output that cannot be written: too large, no event, for no topic or partition. Ours to mend.
            await self._give_up(work, self._attempts.bug(work, error))
            return
        self._attempts.note(work, "handled" if written else "abandoned")
        work.partition.gauge.note(failed=False)

    async def _write(
        self, work: Work, outgoing: Sequence[Outgoing], sent: Sequence["asyncio.Future[object]"] = ()
    ) -> bool:
        """Hands outputs to the log; the record is finished once the log has them all. False: it is ours no more."""
        futures = list(sent)
        for output in outgoing:
            await work.partition.settled.wait()
            if work.partition.lost:
                self._close(work)
                return False
            futures.append(await self._publisher.send(output, work))
        self._when_acknowledged(work, futures)
        return True

    async def _give_up(self, work: Work, failure: Failure) -> None:
        """Dead letter, outcome, and on: the record is finished."""
        self._observer.gave_up(work.record, failure.code, failure.message, failure.error)
        letter = dead_letter(work.record, failure, now=self._clock())
        await self._write(work, [letter, *self._outcomes(work, failure)])
        self._attempts.note(work, "rejected" if failure.rejected else "failed")
        self._judge(work, failure)

    def _outcomes(self, work: Work, failure: Failure) -> Sequence[Outgoing]:
        if work.route.overhears:
            return ()
        envelope = work.envelope or Envelope(f"{work.record.topic}/{work.record.partition}/{work.record.offset}")
        ordinals: Ordinals = {}
        try:
            return [
                self._publisher.prepare(work, event, ordinals, envelope)
                for event in outcomes(work.record, work.event, work.route.event, failure)
            ]
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # The dead letter must be written whatever comes: else this record stops the stage for ever.
            self._observer.gave_up(work.record, "internal_error", "no outcome could be made of it", error)
            return ()

    def _judge(self, work: Work, failure: Failure) -> None:
        """Anyone may ask for what we refuse, at whatever stage that shows; nonsense within means that we are broken.

        A refusal does not count as handled either: else a flood of them would hide a bug.
        """
        public = topic_named(work.record.topic).access == "public-input"
        readable = work.event is not None
        if failure.rejected and failure.code != "internal_error" and (public or readable):
            return
        work.partition.gauge.note(failed=True)
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
