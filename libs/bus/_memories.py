"""A stage's memories: read back for partitions that come, forgotten for those that go, told of every output."""

from collections.abc import Sequence

from libs.bus.memory import Memory
from libs.bus.records import StoredRecord
from libs.bus.transport import Bus
from libs.clock import Clock


class Memories:
    """Knows which partition numbers have been read to their end; one whose reading was cut short counts as unread."""

    def __init__(self, bus: Bus, memories: Sequence[Memory], clock: Clock) -> None:
        self._bus = bus
        self._memories = tuple(memories)
        self._clock = clock
        self._by_topic = {topic: [m for m in memories if topic in m.topics] for m in memories for topic in m.topics}
        self._begun: set[int] = set()
        self._read: set[int] = set()

    def keep_only(self, numbers: set[int]) -> None:
        """Forgets all partitions but these."""
        for number in self._begun - numbers:
            for memory in self._memories:
                memory.forget(number)
        self._begun &= numbers
        self._read &= numbers

    async def read_back(self, numbers: set[int]) -> None:
        """Reads the tails of those partitions that are not known yet."""
        for number in sorted(numbers - self._read):
            self._begun.add(number)
            for memory in self._memories:
                await self._read_tail(memory, number)
            self._read.add(number)

    async def _read_tail(self, memory: Memory, number: int) -> None:
        since = int((self._clock() - memory.window).timestamp() * 1000)
        for topic in memory.topics:
            async for record in self._bus.read(topic, number, since_ms=since):
                memory.recall(record)

    def concern(self, topic: str) -> bool:
        """Whether any memory wants records of this topic."""
        return topic in self._by_topic

    def recall(self, record: StoredRecord) -> None:
        """Takes in an output as it is written."""
        for memory in self._by_topic[record.topic]:
            memory.recall(record)
