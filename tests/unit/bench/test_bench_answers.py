import asyncio
from collections.abc import Callable

import pytest

from tests.bench.answers import Answer, Spent, ask_over_time, evenly, latencies, poisson, rate


class Machine:
    """Answers with three tokens, one a second of its own clock, which moves only while it computes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[tuple[str, float]] = []

    def clock(self) -> float:
        return self.now

    async def ask(self, text: str, hear: Callable[[], None]) -> int:
        self.asked.append((text, self.now))
        for _ in range(3):
            await asyncio.sleep(0)
            self.now += 1
            hear()
        return 3


async def test_a_prompt_that_nobody_computes_for_comes_at_once() -> None:
    machine = Machine()
    async with asyncio.timeout(5):
        spent = await ask_over_time(machine.ask, ["a", "b"], [0, 100], machine.clock)
    assert [text for text, _ in machine.asked] == ["a", "b"]
    assert machine.asked[1][1] == 3
    assert spent.seconds == 6
    assert spent.per_second == 1


async def test_prompts_due_at_the_same_time_run_side_by_side() -> None:
    machine = Machine()
    spent = await ask_over_time(machine.ask, ["a", "b"], [0, 0], machine.clock)
    assert [asked for _, asked in machine.asked] == [0, 0]
    assert [answer.tokens for answer in spent.answers] == [3, 3]


def test_the_first_token_counts_the_wait_for_its_turn() -> None:
    answer = Answer(asked=1.0, heard=(3.0, 3.5, 5.0), tokens=3)
    assert answer.first == 2.0
    assert answer.gaps == [0.5, 1.5]


def test_one_answer_alone_has_latencies() -> None:
    found = latencies([Spent([Answer(0, (1.0, 1.1, 1.2), 3)], 1.2, 1.2)])
    assert found["first token p50 ms"] == found["p95 ms"] == 1000
    assert found["between tokens p50 ms"] == pytest.approx(100)


def test_the_rate_is_the_median_round() -> None:
    rounds = [Spent([Answer(0, (1.0,), 10)], seconds, 9) for seconds in (1, 2, 100)]
    assert rate(rounds) == 5


def test_arrivals_are_even_or_memoryless_and_repeat_by_their_seed() -> None:
    assert evenly(3, 0.5) == [0, 0.5, 1]
    assert poisson(50, 0.1, 1) == poisson(50, 0.1, 1)
    assert poisson(50, 0.1, 1) != poisson(50, 0.1, 2)
    assert poisson(2000, 0.1, 3)[-1] == pytest.approx(200, rel=0.1)
