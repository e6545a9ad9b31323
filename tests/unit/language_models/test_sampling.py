import pytest
import torch

from libs.language_models.engine.sampling import Sampler, penalised

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0])


def draws(seed: int, *, temperature: float = 1.0, top_p: float = 1.0, count: int = 200) -> list[int]:
    sampler = Sampler(temperature, top_p, seed)
    return [sampler.choose(LOGITS) for _ in range(count)]


def test_temperature_zero_takes_the_most_likely_token() -> None:
    assert set(draws(1, temperature=0)) == {0}


def test_the_same_seed_draws_the_same_tokens_and_another_seed_others() -> None:
    assert draws(7) == draws(7)
    assert draws(7) != draws(8)


def test_tokens_come_as_often_as_they_are_likely() -> None:
    drawn = torch.bincount(torch.tensor(draws(3, count=4000)), minlength=4) / 4000
    assert torch.allclose(drawn, LOGITS.softmax(-1), atol=0.03)


def test_the_nucleus_is_the_smallest_set_that_holds_top_p() -> None:
    # Probabilities: .644, .237, .087, .032
    assert set(draws(5, top_p=0.6)) == {0}
    assert set(draws(5, top_p=0.7)) == {0, 1}
    assert set(draws(5, top_p=0.9)) == {0, 1, 2}


def test_a_nucleus_wider_than_the_shortcut_is_complete() -> None:
    sampler = Sampler(1.0, 0.9, 1)
    flat = torch.zeros(4096)
    assert len({sampler.choose(flat) for _ in range(3000)}) > 1024


def test_logits_that_are_not_numbers_are_an_error() -> None:
    with pytest.raises(ValueError, match="not numbers"):
        Sampler(1.0, 1.0, 1).choose(torch.tensor([float("nan"), 0.0]))


def test_the_repetition_penalty_makes_what_was_written_less_likely_and_nothing_else() -> None:
    logits = torch.tensor([2.0, 1.9, -1.0, -3.0])
    assert penalised(logits, [0, 2, 2], 2.0).tolist() == pytest.approx([1.0, 1.9, -2.0, -3.0])
    greedy = Sampler(0.0, 1.0, 1, repetition_penalty=1.5)
    assert [greedy.choose(logits), greedy.choose(logits, [0])] == [0, 1]
    assert not greedy.is_plain
