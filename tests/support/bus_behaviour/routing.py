"""Where outputs go, and how much is under work at once."""

from libs.bus import (
    Delivery,
    Outgoing,
    To,
)
from schemas.base import Lane
from schemas.prompts import PromptRefused
from tests.support.bus_bench import (
    Bench,
    Gates,
    answer,
    answered,
    eventually,
    on,
    question,
)


class Routing:
    """Where outputs go."""

    async def test_outputs_follow_their_inputs_partition_and_lane(self, bench: Bench) -> None:
        for partition in (0, 1):
            for lane in Lane:
                await bench.put(question(f"{partition}{lane}", "same key"), partition=partition, lane=lane)
        async with bench.running(on(answer)):
            await bench.notes.until("handled", 4)
        for topic, lane in (("prompt-repeated", Lane.REAL_TIME), ("prompt-repeated-batch", Lane.BATCH)):
            records = await bench.read(topic)
            assert [(r.partition, name) for r, name in zip(records, answered(records), strict=True)] == [
                (0, f"0{lane}"),
                (1, f"1{lane}"),
            ]
            assert {record.key for record in records} == {b"same key"}

    async def test_outputs_of_an_unkeyed_input_go_by_their_keys_hash(self, bench: Bench) -> None:
        for partition in (0, 1):
            body = question(f"p{partition}", "same key").model_dump_json().encode()
            await bench.put_raw(Outgoing("prompt-refused", None, body, partition=partition))
        async with bench.running(on(answer)):
            await bench.notes.until("handled", 2)
        records = await bench.read("prompt-repeated")
        assert sorted(answered(records)) == ["p0", "p1"]
        assert len({record.partition for record in records}) == 1

    async def test_an_output_to_a_named_partition_goes_there(self, bench: Bench) -> None:
        def away(event: PromptRefused) -> list[To]:
            return [To(1, answer(event))]

        await bench.put(question("a"), partition=0)
        async with bench.running(on(away)):
            await bench.notes.until("handled", 1)
        assert [record.partition for record in await bench.read("prompt-repeated")] == [1]

    async def test_a_flood_of_batch_work_leaves_room_for_real_time_work(self, bench: Bench) -> None:
        gates = Gates()
        limits = Delivery(in_flight=4, batch_in_flight=2)
        await bench.put(*[question(f"batch{i}", f"k{i}") for i in range(50)], lane=Lane.BATCH)
        async with bench.running(on(gates.handle, limits)):
            await gates.started.holds(2)
            await bench.put(question("now"))
            await gates.started.until("now")
            assert [n for n in gates.started.items if n != "now"] == ["batch0", "batch1"]
            gates.open_all()
            await gates.finished.holds(51)

    async def test_fetching_pauses_when_handlers_fall_behind_and_nothing_is_lost(self, bench: Bench) -> None:
        gates = Gates()
        names = [f"p{i}" for i in range(4000)]
        await bench.put(*[question(n, "one key") for n in names])
        async with bench.running(on(gates.handle, Delivery(in_flight=4))) as stage:
            await eventually(lambda: stage.held >= 900)
            for i in range(10):
                # Other partitions go on: ten more rounds of fetching.
                await bench.put(question(f"batch{i}"), lane=Lane.BATCH)
                gates.open(f"batch{i}")
                await gates.finished.until(f"batch{i}")
            assert stage.held <= 1500
            assert stage.in_flight <= 5
            gates.open_all()
            await gates.finished.holds(len(names) + 10)
        assert await bench.answers() == names

    async def test_a_few_large_records_pause_the_fetching_as_well(self, bench: Bench) -> None:
        gates = Gates()
        large = "x" * 900_000
        records = [question(f"p{i}", masked={large: i}) for i in range(48)]
        await bench.put(*records)
        async with bench.running(on(gates.handle, Delivery(in_flight=1))) as stage:
            await eventually(lambda: stage.held >= 16)
            for i in range(10):
                await bench.put(question(f"batch{i}"), lane=Lane.BATCH)
                gates.open(f"batch{i}")
                await gates.finished.until(f"batch{i}")
            assert stage.held < 40
            gates.open_all()
            await gates.finished.holds(58)
