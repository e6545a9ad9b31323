"""The checker's memory and speed on a synthetic log that is never held: `python -m tests.bench.audit_memory 1000000`.

Records are made as they are read, so that what grows is the checker. Prints one JSON line.
"""

import json
import resource
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace

from libs.audit import check
from libs.audit._path import TOPICS
from libs.bus import InMemoryBus, Record, StoredRecord
from libs.clock import utc_now
from tests.support.audit_log import START_MS, Asked, sound_log

_PARTITIONS = 4


class Made(InMemoryBus):
    """A log of so many prompts, each like the first but for its ids, made anew whenever it is read."""

    def __init__(self, prompts: int) -> None:
        super().__init__(dict.fromkeys(TOPICS, _PARTITIONS))
        self._each = prompts // _PARTITIONS
        asked = Asked("P" * 16, conversation="C" * 12, text="Up to 14 days, <EMAIL_ADDRESS_1>. " * 12)
        self._patterns = {record.topic: record for record in sound_log([asked]).records}

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        return dict.fromkeys(range(_PARTITIONS), self._each if topic in self._patterns else 0)

    async def read(
        self,
        topic: str,
        partition: int,
        *,
        start: int | None = None,
        since_ms: int | None = None,
        end: int | None = None,
    ) -> AsyncGenerator[Record, None]:
        for offset in range(self._each):
            yield self._made(self._patterns[topic], partition, offset)

    def _made(self, pattern: StoredRecord, partition: int, offset: int) -> StoredRecord:
        prompt = f"{partition}-{offset:014d}".encode()
        conversation = f"{partition}-{offset // 5:010d}".encode()
        value = (pattern.value or b"").replace(b"P" * 16, prompt).replace(b"C" * 12, conversation)
        headers = tuple((name, self._header(name, it, partition, offset)) for name, it in pattern.headers)
        return replace(
            pattern, partition=partition, offset=offset, key=conversation, value=value, headers=headers,
            timestamp=START_MS + offset,
        )  # fmt: skip

    def _header(self, name: str, value: bytes, partition: int, offset: int) -> bytes:
        if name == "tailrace_input":
            return b"%s/%d/%d" % (value.split(b"/")[0], partition, offset)
        return value + b"%d-%d" % (partition, offset) if name == "ce_id" else value


async def measure(prompts: int) -> dict[str, object]:
    """Seconds, and the most memory the process has held, in MB."""
    before = _peak()
    started = time.perf_counter()
    report = await check(Made(prompts), clock=utc_now)
    assert report.sound, report.findings[:3]
    assert report.prompts.answered == prompts
    seconds = time.perf_counter() - started
    return {"prompts": prompts, "seconds": round(seconds, 1), "rss_mb": _peak(), "rss_before_mb": before}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    import asyncio

    for count in map(int, sys.argv[1:] or ["10000"]):
        print(json.dumps(asyncio.run(measure(count))), flush=True)
