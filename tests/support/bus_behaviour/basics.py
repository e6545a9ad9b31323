"""Every record is handled, in order per key, and committed only when it is done."""

import asyncio

from libs.bus import (
    Context,
    Delivery,
)
from schemas.prompts import PromptRefused, PromptRepeated
from tests.support.bus_bench import (
    PATIENCE,
    Bench,
    Gates,
    Log,
    answer,
    answered,
    ids,
    kill,
    on,
    question,
    started,
)


class Basics:
    """Every record is handled, in order per key, and committed only when it is done."""

    async def test_every_record_of_every_partition_is_handled_once(self, bench: Bench) -> None:
        names = [f"p{i}" for i in range(300)]
        for partition in (0, 1):
            await bench.put(*[question(n, n[-1]) for n in names[partition::2]], partition=partition)
        async with bench.running(on(answer)):
            await bench.notes.until("handled", len(names))
        assert sorted(await bench.answers()) == sorted(names)
        assert len(set(ids(await bench.read("prompt-repeated")))) == len(names)

    async def test_nothing_is_handled_again_after_a_clean_stop(self, bench: Bench) -> None:
        await bench.put(question("a"), question("b"))
        async with bench.running(on(answer)):
            await bench.notes.until("handled", 2)
        await bench.put(question("c"))
        async with bench.running(on(answer)):
            await bench.notes.until("handled", 3)
        assert await bench.answers() == ["a", "b", "c"]

    async def test_one_key_keeps_its_order_while_others_overtake_it(self, bench: Bench) -> None:
        gates = Gates()
        await bench.put(*[question(f"{key}{n}", key) for n in (1, 2, 3) for key in "abc"])
        async with bench.running(on(gates.handle)):
            await gates.started.until("a1", "b1", "c1")
            assert len(gates.started.items) == 3
            for name in ("c1", "c2", "c3", "b1", "a1", "b2", "a2", "a3", "b3"):
                gates.open(name)
                await gates.finished.until(name)
        done = await bench.answers()
        assert done[:3] == ["c1", "c2", "c3"]
        assert [n for n in done if n[0] == "a"] == ["a1", "a2", "a3"]
        assert [n for n in done if n[0] == "b"] == ["b1", "b2", "b3"]

    async def test_different_keys_of_one_partition_run_side_by_side(self, bench: Bench) -> None:
        barrier = asyncio.Barrier(16)

        async def meet(event: PromptRefused) -> PromptRepeated:
            async with asyncio.timeout(PATIENCE):
                await barrier.wait()
            return answer(event)

        await bench.put(*[question(f"p{i}", f"k{i}") for i in range(16)])
        async with bench.running(on(meet)):
            await bench.notes.until("handled", 16)
        assert len(await bench.answers()) == 16

    async def test_records_of_one_key_may_overtake_each_other_where_the_route_says_so(self, bench: Bench) -> None:
        gates = Gates()
        await bench.put(question("a1", "a"), question("a2", "a"))
        async with bench.running(on(gates.handle, Delivery(ordered=False))):
            await gates.started.until("a1", "a2")
            gates.open("a2")
            await gates.finished.until("a2")
            gates.open("a1")
        assert await bench.answers() == ["a2", "a1"]

    async def test_after_a_kill_the_hanging_record_and_those_behind_it_come_again(self, bench: Bench) -> None:
        gates, again = Gates(), Log()
        gates.open("a", "c", "d")
        await bench.put(*[question(n, n) for n in "abcd"])
        async with started(bench.stage(on(gates.handle))) as task:
            await gates.finished.until("a", "c", "d")
            await bench.notes.until("handled", 3)
            await kill(task)
        first = dict(zip(await bench.answers(), ids(await bench.read("prompt-repeated")), strict=True))
        assert set(first) == {"a", "c", "d"}

        def repeat(event: PromptRefused) -> PromptRepeated:
            again.add(event.prompt_id)
            return answer(event)

        async with bench.running(on(repeat)):
            await again.holds(3)
        assert again.items == ["b", "c", "d"]
        records = await bench.read("prompt-repeated")
        later = dict(zip(answered(records)[3:], ids(records)[3:], strict=True))
        assert {n: later[n] for n in "cd"} == {n: first[n] for n in "cd"}

    async def test_outputs_of_one_type_have_ids_of_their_own(self, bench: Bench) -> None:
        def thrice(event: PromptRefused) -> list[PromptRepeated]:
            return [answer(event)] * 3

        await bench.put(question("a"))
        async with bench.running(on(thrice)):
            await bench.notes.until("handled", 1)
        assert len(set(ids(await bench.read("prompt-repeated")))) == 3

    async def test_a_stream_is_written_in_order_before_the_handler_ends(self, bench: Bench) -> None:
        ended = asyncio.Event()

        async def stream(event: PromptRefused, *, context: Context) -> PromptRepeated:
            for n in range(3):
                await context.emit(answer(question(f"{event.prompt_id}{n}")))
            await ended.wait()
            return answer(event)

        await bench.put(question("a"))
        async with bench.running(on(stream)):
            found: list[str] = []
            async with asyncio.timeout(PATIENCE):
                while len(found) < 3:
                    found = await bench.answers()
            assert found == ["a0", "a1", "a2"]
            ended.set()
        assert await bench.answers() == ["a0", "a1", "a2", "a"]
        assert len(set(ids(await bench.read("prompt-repeated")))) == 4
