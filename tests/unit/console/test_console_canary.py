"""What was told last of a candidate on its share, and how that is shown."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.bus import InMemoryBus, Outgoing, say
from schemas.evaluation import CanaryProgressed
from services.console.commands.models import _show_canary
from services.console.handlers.canary import last_progress

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def told(minute: int, model: str = "dpo-9b21c44e07aa", **fields: Any) -> CanaryProgressed:
    facts = {
        "model": model, "plan": "default@1-0a1b2c3d4e5f", "revision": 4, "share": 0.05, "next": "wait",
        "reason": "12 of 50 conversations at 0.05", "conversations": 12, "checks": (),
        "at": NOON + timedelta(minutes=minute),
    }  # fmt: skip
    return CanaryProgressed.model_validate({**facts, **fields})


async def test_the_newest_word_is_found_whatever_partition_it_is_in(in_memory: InMemoryBus) -> None:
    assert await last_progress(in_memory) is None
    for minute, model in ((3, "b"), (5, "a"), (4, "c"), (1, "d")):
        await say(in_memory, told(minute, model), f"e-{minute}", "evaluation", NOON)
    for partition in range(2):
        await in_memory.append(Outgoing("canary-progressed", b"k", b"{", (), partition))
    found = await last_progress(in_memory)
    assert found == told(5, "a")


async def test_long_after_its_beginning_only_the_end_of_the_topic_is_read(in_memory: InMemoryBus) -> None:
    # Were it all read, this would be the newest word.
    for minute in (9999, *range(450)):
        await say(in_memory, told(minute), f"e-{minute}", "evaluation", NOON)
    assert await last_progress(in_memory) == told(449)


def test_it_is_shown_with_what_was_seen_and_what_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    checks = (
        {"measure": "refused", "state": "held", "by": 0.05, "candidate": 0.01, "champion": 0.012, "low": -0.02,
         "high": 0.03, "items": 120},
        {"measure": "disliked", "state": "open", "by": 0.1},
    )  # fmt: skip
    _show_canary(told(2, checks=checks, next="roll_back", reason="more [of] them"))
    first, _, refused, disliked = capsys.readouterr().out.splitlines()
    assert first == (
        "dpo-9b21c44e07aa at 5% by default@1-0a1b2c3d4e5f, 2026-03-02 12:02:00 UTC: roll back (more [of] them)"
    )
    assert refused.split() == ["refused", "held", "1.0%", "1.2%", "120", "-2.0%", "to", "+3.0%", "5.0%"]
    assert disliked.split() == ["disliked", "open", "0", "10.0%"]
