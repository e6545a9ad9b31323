"""A complete upstream: publishes one prompt to Kafka and waits for its one outcome.

It needs aiokafka and the published contract (docs/contract.md), nothing of Tailrace:

    pip install aiokafka
    python docs/examples/upstream.py "How long may a return take?" --bootstrap-servers 127.0.0.1:9092
    python docs/examples/upstream.py "Summarise this." --stream 15
"""

import argparse
import asyncio
import json
import sys
import uuid
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition


async def ask(
    bootstrap_servers: str,
    prompt: dict[str, Any],
    *,
    batch: bool = False,
    reply_partition: int | None = None,
    topic_prefix: str = "",
    timeout: float = 120.0,
) -> dict[str, Any]:
    """The outcome of a prompt. With a reply partition, text is printed as it comes. Raises TimeoutError."""
    lane = "-batch" if batch else ""
    outcomes = topic_prefix + ("reply" if reply_partition is not None else f"response-ready{lane}")
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
    async with producer, consumer:
        # Stand at the end of the topic before publishing, so that the outcome cannot be missed.
        partitions = await producer.partitions_for(outcomes) if reply_partition is None else {reply_partition}
        consumer.assign([TopicPartition(outcomes, number) for number in partitions])
        await consumer.seek_to_end()
        await producer.send_and_wait(
            f"{topic_prefix}prompt-submitted{lane}",
            value=json.dumps(prompt).encode(),
            key=prompt.get("conversation_id", prompt["prompt_id"]).encode(),
            headers=[("reply_to", str(reply_partition).encode())] if reply_partition is not None else [],
        )
        async with asyncio.timeout(timeout):
            return await outcome_of(prompt, consumer)


async def outcome_of(prompt: dict[str, Any], consumer: AIOKafkaConsumer) -> dict[str, Any]:
    """Reads until the prompt's outcome comes; others' records pass by."""
    wanted = (prompt.get("tenant", "default"), prompt["prompt_id"])
    expected = 0
    async for record in consumer:
        event = json.loads(record.value)
        if (event["tenant"], event["prompt_id"]) != wanted:
            continue
        if event.get("kind") == "text":
            # Screened text under way. After a gap nothing more is shown: the outcome has the whole answer.
            if event["index"] == expected:
                print(event["text"], end="", flush=True)
                expected += 1
            continue
        outcome: dict[str, Any] = event["outcome"] if event.get("kind") == "outcome" else event
        return outcome
    raise RuntimeError("the consumer was stopped")


def main() -> int:
    """Ask from the command line; 0 if there is an answer."""
    parser = argparse.ArgumentParser(description="Publish a prompt and print its outcome.")
    parser.add_argument("question")
    parser.add_argument("--bootstrap-servers", default="127.0.0.1:9092")
    parser.add_argument("--batch", action="store_true", help="use the batch lane")
    parser.add_argument("--stream", type=int, metavar="PARTITION", help="your partition of the topic reply")
    options = parser.parse_args()
    prompt = {
        # Choose an id that means the same on a retry, such as an order number: it is the idempotency key.
        "prompt_id": f"upstream-{uuid.uuid4()}",
        "messages": [{"role": "user", "content": options.question}],
        "stream": options.stream is not None,
    }
    outcome = asyncio.run(ask(options.bootstrap_servers, prompt, batch=options.batch, reply_partition=options.stream))
    print()
    print(json.dumps(outcome, indent=2, ensure_ascii=False))
    return 0 if outcome["status"] == "answered" else 1


if __name__ == "__main__":
    sys.exit(main())
