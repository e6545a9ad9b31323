"""The in-memory bus passes the suite of the real one."""

import pytest

from libs.bus import Delivery, InMemoryBus, Route
from schemas.base import Lane
from schemas.prompts import PromptRefused, PromptRepeated
from tests.support.bus_behaviour import BusBehaviour
from tests.support.bus_bench import Bench, answer, question


@pytest.fixture
def bench(in_memory: InMemoryBus) -> Bench:
    return Bench(in_memory)


class TestInMemoryBus(BusBehaviour):
    pass


async def test_where_several_routes_wait_what_streams_goes_first_and_batch_work_last(bench: Bench) -> None:
    order: list[str] = []

    def take(event: PromptRefused | PromptRepeated) -> None:
        order.append(event.prompt_id)

    await bench.put(question("batch"), lane=Lane.BATCH)
    await bench.put(question("end"))
    await bench.put(answer(question("piece")))
    pieces = Route(PromptRepeated, take, delivery=Delivery(goes_first=True))
    async with bench.running(Route(PromptRefused, take), pieces):
        await bench.notes.until("handled", 3)
    assert order == ["piece", "end", "batch"]
