"""What was told last of a candidate on its share of the conversations."""

from contextlib import aclosing

from libs.bus import Bus, Rejected, decode
from schemas.evaluation import CanaryProgressed
from schemas.topics import topic_of

_TOPIC = topic_of(CanaryProgressed).name
_TAIL = 200
"""Records of each partition that are looked at, from its end."""


async def last_progress(bus: Bus) -> CanaryProgressed | None:
    """The newest; None: nothing was ever told."""
    found: CanaryProgressed | None = None
    for partition, end in (await bus.end_offsets(_TOPIC)).items():
        async with aclosing(bus.read(_TOPIC, partition, start=max(0, end - _TAIL), end=end)) as records:
            async for record in records:
                try:
                    told = decode(record, CanaryProgressed)
                except Rejected:
                    continue
                if found is None or told.at >= found.at:
                    found = told
    return found
