"""Prompts that are read in the pass of those who write: same results, one pass, and models that it does not fit."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from libs.language_models import TokenCounter
from libs.language_models.engine.batch import Batch
from libs.language_models.engine.int8 import quantize
from libs.language_models.engine.runner import Piece, Runner
from libs.language_models.engine.sampling import Sampler
from libs.language_models.engine.sequence import Sequence
from libs.language_models.engine.waiting import WaitingRoom
from libs.language_models.generation import GenerationFailed
from schemas.base import Lane

PACKED = ["llama", "qwen2", "qwen3", "mistral", "gemma3_text"]
NOT_PACKED = ["falcon", "stablelm"]
"""They compute attention by themselves."""
BEGUN = [Piece(0, range(5, 75), 0), Piece(1, range(90, 96), 0), Piece(3, range(20, 50), 0)]
ROWS = ([7, 8], [70, 6])
NEW = [Piece(2, range(40, 60), 0), Piece(3, range(60, 100), 30)]
"""A whole prompt, and one that another piece has gone before."""


def small(kind: str, **rest: Any) -> Any:
    torch.manual_seed(1)
    falcon = {"new_decoder_architecture": True, "num_kv_heads": 2, "alibi": False}
    own = falcon if kind == "falcon" else {"head_dim": 8}
    config = AutoConfig.for_model(
        kind, vocab_size=256, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=512, bos_token_id=1, eos_token_id=2,
        pad_token_id=0, initializer_range=0.5, **own, **rest,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).eval()  # type: ignore[no-untyped-call]


@contextmanager
def passes(model: Any, most: int = 10_000) -> Iterator[list[int]]:
    """How many tokens each pass of the model has; those of more than `most` find no memory."""
    seen: list[int] = []

    def note(_: Any, __: Any, named: dict[str, Any]) -> None:
        seen.append(named["input_ids"].numel())
        if seen[-1] > most:
            raise torch.OutOfMemoryError("too many")

    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    yield seen
    handle.remove()


def stepped(runner: Runner) -> list[torch.Tensor]:
    for piece in BEGUN:
        runner.read(piece)
    decoded, read = runner.step(*ROWS, NEW)
    return [*decoded, *(logits for logits in read if isinstance(logits, torch.Tensor))]


def apart(runner: Runner) -> list[torch.Tensor]:
    for piece in BEGUN:
        runner.read(piece)
    return [*runner.decode(*ROWS), *map(runner.read, NEW)]


@pytest.mark.parametrize("kind", PACKED)
def test_prompts_read_beside_those_who_write_give_what_they_give_by_themselves(kind: str) -> None:
    model = small(kind)
    runner = Runner(model, 4, 512)
    with passes(model) as seen:
        together = stepped(runner)
    assert seen[len(BEGUN) :] == [2 + 20 + 40]
    torch.testing.assert_close(together, apart(Runner(model, 4, 512)), rtol=1e-4, atol=1e-4)


def test_in_int8_they_are_the_same_bits() -> None:
    model: Any = quantize(small("llama"))
    runner = Runner(model, 4, 512)
    assert runner.packs
    assert all(map(torch.equal, stepped(runner), apart(Runner(model, 4, 512))))


@pytest.mark.parametrize("kind", NOT_PACKED)
def test_where_attention_cannot_be_replaced_passes_stay_apart(kind: str) -> None:
    model = small(kind)
    runner = Runner(model, 4, 512)
    assert not runner.packs
    assert all(map(torch.equal, stepped(runner), apart(Runner(model, 4, 512))))


def test_positions_that_depend_on_the_longest_sequence_stay_apart() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    assert not Runner(small("llama", rope_parameters=rope), 4, 512).packs


def test_whoever_else_uses_the_model_finds_it_as_it_was() -> None:
    model, ids = small("llama"), torch.arange(5, 25)[None]
    before = model(ids).logits
    stepped(Runner(model, 4, 512))
    assert model.config._attn_implementation == "sdpa"
    assert torch.equal(model(ids).logits, before)


def add(waiting: WaitingRoom[Sequence], counter: TokenCounter, tokens: int, heard: list[Any]) -> Sequence:
    sequence = Sequence(
        prompt=[5 + n % 200 for n in range(tokens)], max_tokens=6, sampler=Sampler(0.0, 1.0, 0), stops=(),
        lane=Lane.REAL_TIME, listener=heard.append, tokenizer=counter.tokenizer, end_tokens=frozenset(),
    )  # fmt: skip
    waiting.add(sequence, sequence.lane)
    return sequence


@pytest.mark.parametrize("kind", ["llama", "falcon"])
def test_a_prompt_that_finds_no_memory_ends_alone(kind: str, counter: TokenCounter) -> None:
    model, heard = small(kind), list[Any]()
    waiting: WaitingRoom[Sequence] = WaitingRoom(8)
    batch = Batch(Runner(model, 8, 512), waiting, read_tokens=200, batch_read_tokens=64)
    # Read in one step: too many together, and the second by itself as well.
    lengths = [20, 90, 30, 40]
    sequences = [add(waiting, counter, tokens, heard if tokens == 90 else []) for tokens in lengths]
    with passes(model, most=60):
        while not batch.idle:
            batch.step()
    assert isinstance(heard[0], GenerationFailed)
    assert [len(sequence.written) for sequence in sequences] == [6, 0, 6, 6]
    for sequence in (sequences[0], *sequences[2:]):
        ids = torch.tensor([list(sequence.prompt)])
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, pad_token_id=0, eos_token_id=-1
        )
        assert sequence.written == out[0, ids.shape[1] :].tolist()


def test_a_step_is_one_pass_however_many_prompts_came(counter: TokenCounter) -> None:
    model = small("llama")
    waiting: WaitingRoom[Sequence] = WaitingRoom(8)
    batch = Batch(Runner(model, 8, 512), waiting, read_tokens=100, batch_read_tokens=64)
    with passes(model) as seen:
        for tokens in (30, 40, 250, 20):
            add(waiting, counter, tokens, [])
        for _ in range(4):
            batch.step()
    # Whole pieces until the budget is spent; then the rest of the long prompt beside those who write.
    assert seen == [30 + 40 + 100, 2 + 100, 2 + 50 + 20, 4]
