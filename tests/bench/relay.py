"""The floor: one hop of a hand-written relay in plain aiokafka. `python -m tests.bench.relay SERVERS FROM TO`.

Consumes, publishes the same bytes, commits on a timer; no validation, no ids, no order per key beyond the partition.
"""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer


async def relay(servers: str, source: str, target: str) -> None:
    """For ever; says `ready` on stdout once it is in its group."""
    consumer = AIOKafkaConsumer(
        source,
        bootstrap_servers=servers,
        group_id=f"relay-{source}",
        auto_offset_reset="earliest",
        auto_commit_interval_ms=200,
        fetch_max_wait_ms=20,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", enable_idempotence=True, max_batch_size=256 * 1024
    )
    await producer.start()
    await consumer.start()
    while not consumer.assignment():
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    while True:
        found = await consumer.getmany(timeout_ms=500, max_records=500)
        for records in found.values():
            for record in records:
                await producer.send(target, record.value, key=record.key)


if __name__ == "__main__":
    asyncio.run(relay(*sys.argv[1:4]))
