"""What a real-time prompt waits for beside batch work: one bounded piece, and never for a batch prompt that waits."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from libs.language_models import TokenCounter
from libs.language_models.engine import Engine, EngineSettings
from libs.language_models.engine.batch import BATCH_TURN, Batch
from libs.language_models.engine.runner import Runner
from libs.language_models.engine.sampling import Sampler
from libs.language_models.engine.sequence import Sequence
from libs.language_models.engine.waiting import WaitingRoom
from libs.language_models.generation import Finished, GenerationRequest
from schemas.base import Lane, Message

PIECE = 16


@pytest.fixture(scope="module")
def model() -> Any:
    """Small, with random weights and the real vocabulary."""
    return _llama(49152)


@pytest.fixture(scope="module")
def tiny() -> Any:
    """The same for token ids below 1024."""
    return _llama(1024)


def _llama(vocabulary: int) -> Any:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=512, eos_token_id=2, initializer_range=0.5,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).eval()  # type: ignore[no-untyped-call]


@dataclass
class Room:
    """A batch of four slots, one of them reserved, stepped by hand."""

    model: Any
    counter: TokenCounter
    waiting: WaitingRoom[Sequence] = field(default_factory=lambda: WaitingRoom(4, 1))

    def __post_init__(self) -> None:
        self.batch = Batch(Runner(self.model, 4, 512), self.waiting, read_tokens=128, batch_read_tokens=PIECE)

    def add(self, lane: Lane, tokens: int, answer: int = 8) -> Sequence:
        sequence = Sequence(
            prompt=[5 + n % 900 for n in range(tokens)], max_tokens=answer, sampler=Sampler(0.0, 1.0, 0), stops=(),
            lane=lane, listener=lambda _: None, tokenizer=self.counter.tokenizer, end_tokens=frozenset({2}),
        )  # fmt: skip
        self.waiting.add(sequence, lane)
        return sequence

    def finish(self) -> None:
        while not self.batch.idle:
            self.batch.step()


@pytest.fixture
def room(tiny: Any, counter: TokenCounter) -> Room:
    return Room(tiny, counter)


def test_a_real_time_prompt_is_admitted_before_every_waiting_batch_prompt(room: Room) -> None:
    flood = [room.add(Lane.BATCH, 40, answer=400) for _ in range(100)]
    for _ in range(20):
        room.batch.step()
    assert [len(s.written) > 0 for s in flood].count(True) == 3
    late = room.add(Lane.REAL_TIME, 100)
    room.batch.step()
    assert late.written
    assert [s.read > 0 for s in flood].count(True) == 3


def test_a_real_time_prompt_does_not_wait_for_the_rest_of_a_batch_prompt_being_read(room: Room) -> None:
    long = room.add(Lane.BATCH, 300)
    room.batch.step()
    assert long.read == PIECE
    late = room.add(Lane.REAL_TIME, 100)
    room.batch.step()
    assert late.written
    assert long.read == PIECE


def test_a_step_reads_no_more_than_one_piece_of_batch_prompts(room: Room) -> None:
    flood = [room.add(Lane.BATCH, 10 + 25 * n, answer=3) for n in range(5)]
    while not room.batch.idle:
        before = sum(s.read for s in flood)
        room.batch.step()
        assert sum(s.read for s in flood) - before <= PIECE
    assert all(s.read == len(s.prompt) for s in flood)


def test_beside_a_real_time_answer_batch_prompts_are_read_in_few_steps_but_are_read(room: Room) -> None:
    room.add(Lane.REAL_TIME, 10, answer=60)
    long = room.add(Lane.BATCH, 300)
    for _ in range(BATCH_TURN * 5):
        room.batch.step()
    assert long.read == PIECE * 5


def test_beside_a_real_time_answer_batch_answers_are_written_in_few_steps_but_are_written(room: Room) -> None:
    slow = [room.add(Lane.BATCH, 10, answer=200) for _ in range(2)]
    for _ in range(3):
        room.batch.step()
    quick, before = room.add(Lane.REAL_TIME, 10, answer=100), [len(s.written) for s in slow]
    for _ in range(BATCH_TURN * 5):
        room.batch.step()
    assert len(quick.written) == BATCH_TURN * 5
    assert [len(s.written) - count for s, count in zip(slow, before, strict=True)] == [5, 5]


def test_rows_of_both_lanes_change_places_and_write_what_they_would_have_written_alone(room: Room, tiny: Any) -> None:
    answers = [room.add(Lane.BATCH, 20 + n, answer=30 - 9 * n) for n in range(3)]
    for n in range(30):
        if n % 4 == 0:
            answers.append(room.add(Lane.REAL_TIME, 30 + 7 * n, answer=2 + n % 7))
        room.batch.step()
    answers.append(room.add(Lane.BATCH, 100, answer=12))
    room.finish()
    assert [s.written for s in answers] == [_alone(tiny, s) for s in answers]


def test_those_who_make_way_write_what_they_would_have_written_alone(room: Room, tiny: Any) -> None:
    """Rows move when a real-time prompt goes first, when it ends, and when it is cancelled while being read."""
    long = room.add(Lane.BATCH, 150)
    room.batch.step()
    first = room.add(Lane.REAL_TIME, 300, answer=3)
    room.batch.step()
    gone = room.add(Lane.REAL_TIME, 400)
    for _ in range(3):
        room.batch.step()
    gone.cancel()
    second = room.add(Lane.REAL_TIME, 90, answer=30)
    room.finish()
    for sequence in (long, first, second):
        assert sequence.written == _alone(tiny, sequence)


def test_a_batch_prompt_that_is_cancelled_while_it_makes_way_leaves_the_others_alone(room: Room, tiny: Any) -> None:
    long = room.add(Lane.BATCH, 150)
    room.batch.step()
    first = room.add(Lane.REAL_TIME, 300)
    room.batch.step()
    long.cancel()
    other = room.add(Lane.BATCH, 70)
    room.finish()
    for sequence in (first, other):
        assert sequence.written == _alone(tiny, sequence)


def _alone(model: Any, sequence: Sequence) -> list[int]:
    ids = torch.tensor([list(sequence.prompt)])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=sequence.max_tokens, do_sample=False, pad_token_id=2
    )
    tokens: list[int] = out[0, ids.shape[1] :].tolist()
    return tokens


@pytest.fixture
def engine(model: Any, counter: TokenCounter) -> Iterator[Engine]:
    engine = Engine(model, counter, EngineSettings(slots=4, reserved_slots=1, read_tokens=64, batch_read_tokens=PIECE))
    engine.start()
    yield engine
    engine.close()


async def test_both_lanes_together_write_what_generate_writes(
    engine: Engine, model: Any, counter: TokenCounter
) -> None:
    texts = [f"Tell me of the sea, part {n}. " * (1 + n % 5) for n in range(8)]

    async def answer(number: int, text: str) -> str:
        lane = Lane.REAL_TIME if number % 3 == 0 else Lane.BATCH
        asked = GenerationRequest([Message(role="user", content=text)], max_tokens=6 + number, lane=lane)
        return "".join([event.text async for event in engine.generate(asked) if not isinstance(event, Finished)])

    answers = await asyncio.gather(*(answer(n, text) for n, text in enumerate(texts)))
    for number, text in enumerate(texts):
        prompt = counter.encode_messages([Message(role="user", content=text)])
        out = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=6 + number, do_sample=False, pad_token_id=2,
        )  # fmt: skip
        assert answers[number] == counter.tokenizer.decode(out[0, len(prompt) :].tolist()).rstrip("\ufffd")
