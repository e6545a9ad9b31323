"""Finding outcomes of prompts on the topics they are published on."""

import json
from collections.abc import Collection

from libs.bus import Bus
from schemas.responses import ResponseReady, ResponseShadow
from schemas.topics import topics_of
from services.console.domain.addresses import Address
from services.console.domain.outcomes import Answered, Identity
from services.console.handlers.following import recent

_TOPICS = tuple(topic.name for event in (ResponseReady, ResponseShadow) for topic in topics_of(event))


async def outcomes_of(bus: Bus, wanted: Collection[Identity], since_ms: int) -> dict[Identity, Answered]:
    """The first outcome of each of these prompts that has one, of those published since then."""
    found: dict[Identity, Answered] = {}
    for topic in _TOPICS if wanted else ():
        async for record in recent(bus, topic, since_ms):
            body = _body(record.value)
            identity = (str(body.get("tenant")), str(body.get("prompt_id")))
            if identity in wanted and identity not in found:
                place = Address(record.topic, record.partition, record.offset)
                found[identity] = Answered(str(body.get("status")), _code(body.get("reason")), place)
    return found


def _code(reason: object) -> str | None:
    return str(reason.get("code")) if isinstance(reason, dict) else None


def _body(value: bytes | None) -> dict[str, object]:
    try:
        found = json.loads(value or b"")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
