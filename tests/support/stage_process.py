"""A process of one stage, to be killed: `python -m tests.support.stage_process BOOTSTRAP_SERVERS TOPIC_PREFIX`."""

import asyncio
import sys

from libs.bus import Stage
from libs.bus.kafka import KafkaBus
from libs.settings import BusSettings
from schemas.prompts import PromptRefused, PromptRepeated
from tests.support.bus_bench import answer, on


async def handle(event: PromptRefused) -> PromptRepeated:
    """Takes a few turns of the loop, so that many are in flight."""
    for _ in range(20):
        await asyncio.sleep(0)
    return answer(event)


async def main(bootstrap_servers: str, prefix: str) -> None:
    """Until it is killed."""
    bus = KafkaBus(BusSettings(bootstrap_servers=bootstrap_servers, topic_prefix=prefix), client_id="child")
    await Stage("tested", bus, [on(handle)], instance="child-0").run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
