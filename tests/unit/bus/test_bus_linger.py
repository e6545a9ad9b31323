"""A service waits for company at the broker only where none of its routes is in a hurry."""

from collections.abc import Collection
from datetime import timedelta

import pytest

from libs.bus import Delivery, InMemoryBus, Route, Stage
from libs.bus.kafka import _fetching
from libs.bus.transport import GroupConsumer
from schemas.prompts import PromptRefused, PromptRepeated
from tests.support.bus_bench import answer

HALF = timedelta(milliseconds=500)


class Noting(InMemoryBus):
    linger: timedelta | None = None

    def consumer(
        self, group: str, topics: Collection[str], instance: str | None, linger: timedelta = timedelta(0)
    ) -> GroupConsumer:
        self.linger = linger
        return super().consumer(group, topics, instance, linger)


@pytest.mark.parametrize(("other", "expected"), [(HALF, HALF), (timedelta(0), timedelta(0))])
def test_the_route_in_the_greatest_hurry_decides(other: timedelta, expected: timedelta) -> None:
    bus = Noting({"prompt-refused": 1, "prompt-repeated": 1})
    routes = [
        Route(PromptRefused, answer, delivery=Delivery(linger=HALF)),
        Route(PromptRepeated, answer, delivery=Delivery(linger=other)),
    ]
    Stage("bench", bus, routes)
    assert bus.linger == expected


def test_without_linger_one_byte_ends_a_fetch_and_with_it_the_time_does() -> None:
    assert _fetching(timedelta(0))["fetch_min_bytes"] == 1
    patient = _fetching(HALF)
    assert patient["fetch_max_wait_ms"] == 500
    assert patient["fetch_min_bytes"] > 100_000
