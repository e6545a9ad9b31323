"""Continuous batching: each step reads pieces of new prompts and writes one token for every generation under way.

Iteration-level scheduling after Orca (Yu et al. 2022), prompts read beside those who write after Sarathi (Agrawal et
al. 2023). A generation leaves the step it ends, and the next takes its place. Knows no threads and no clients.
"""

import torch

from libs.language_models.engine.rows import Rows
from libs.language_models.engine.runner import Piece, Runner
from libs.language_models.engine.sequence import Sequence
from libs.language_models.engine.waiting import WaitingRoom
from libs.language_models.generation import GenerationFailed
from schemas.base import Lane

BATCH_TURN = 4
"""While real-time work is in a slot, batch work is read and written in every so many steps only."""


class Batch:
    """Generations in their slots, one forward pass of the model a step.

    At most two stay being read: a real-time prompt goes before the batch prompt whose reading it found under way. A
    step reads `read_tokens` of real-time prompts, or one piece of `batch_read_tokens` of a batch prompt: a real-time
    prompt that comes waits for no more than that and one token of each row.
    """

    def __init__(
        self, runner: Runner, waiting: WaitingRoom[Sequence], *, read_tokens: int, batch_read_tokens: int
    ) -> None:
        self._runner = runner
        self._waiting = waiting
        self._rows = Rows(runner)
        self._pieces = {Lane.REAL_TIME: read_tokens, Lane.BATCH: batch_read_tokens}
        self._steps = 0

    @property
    def in_slots(self) -> int:
        """Slots in use."""
        return self._rows.in_use

    @property
    def idle(self) -> bool:
        """Nothing to do until someone is added to the waiting room."""
        return self.in_slots == 0 and len(self._waiting) == 0

    def everyone(self) -> list[Sequence]:
        """All who expect an answer, emptying batch and waiting room."""
        return [*self._rows.clear(), *self._waiting.remove_if(lambda _: True)]

    def step(self) -> None:
        """One iteration. Raises what broke the model for all rows; a single row's trouble ends that row only."""
        self._steps += 1
        self._waiting.remove_if(lambda sequence: sequence.over)
        self._rows.leave()
        readers = self._readers()
        writers = self._writers()
        if readers or writers:
            self._run(writers, readers)

    def _readers(self) -> list[Sequence]:
        """Who is read in this step: the first of those being read."""
        chosen: list[Sequence] = []
        budget = self._pieces[Lane.REAL_TIME]
        while budget > 0 and (sequence := self._next_real_time(len(chosen))) is not None:
            chosen.append(sequence)
            budget -= len(self._rest(sequence))
        if chosen or not self._is_batchs_turn():
            return chosen
        if not self._rows.reading and (found := self._waiting.next(self.in_slots)) is not None:
            self._rows.admit(found)
        return self._rows.reading[:1]

    def _next_real_time(self, index: int) -> Sequence | None:
        under_way = self._rows.reading[index : index + 1]
        if under_way and under_way[0].lane is Lane.REAL_TIME:
            return under_way[0]
        found = self._waiting.next_real_time(self.in_slots)
        if found is not None:
            self._rows.admit(found)
        return found

    def _writers(self) -> list[Sequence]:
        writing = self._rows.writing
        return writing[:] if self._is_batchs_turn() else writing[: self._rows.real_time_writing]

    def _is_batchs_turn(self) -> bool:
        return self._steps % BATCH_TURN == 0 or not self._rows.has_real_time

    def _rest(self, sequence: Sequence) -> list[int]:
        """What is read of it next: pieces of fixed size, so that where it is cut does not depend on its mates."""
        return list(sequence.prompt[sequence.read : sequence.read + self._pieces[sequence.lane]])

    def _run(self, writers: list[Sequence], readers: list[Sequence]) -> None:
        first = len(self._rows.writing)
        pieces = [Piece(first + index, self._rest(s), s.read, s.adapter) for index, s in enumerate(readers)]
        tokens, positions = [s.written[-1] for s in writers], [s.position for s in writers]
        decoded, read = self._runner.step(tokens, positions, pieces, [s.adapter for s in writers])
        greedy: list[int] = decoded.argmax(-1).tolist()
        for row, sequence in enumerate(writers):
            self._accept(sequence, decoded[row], greedy[row])
        for sequence, piece in zip(readers, pieces, strict=True):
            # All of them before the first row moves: a row moves with as much as was read.
            sequence.read += len(piece.tokens)
        for sequence, outcome in zip(readers, read, strict=True):
            self._has_read(sequence, outcome)

    def _has_read(self, sequence: Sequence, outcome: torch.Tensor | torch.OutOfMemoryError) -> None:
        if isinstance(outcome, torch.OutOfMemoryError):
            sequence.fail(GenerationFailed(f"no memory for a prompt of {len(sequence.prompt)} tokens: {outcome}"))
            self._rows.stop_reading(sequence)
            return
        if sequence.read == len(sequence.prompt):
            self._rows.begin_writing()
            self._accept(sequence, outcome, None)

    def _accept(self, sequence: Sequence, logits: torch.Tensor, greedy: int | None) -> None:
        try:
            sequence.accept(logits, greedy)
        except Exception as error:
            sequence.fail(GenerationFailed(f"{type(error).__name__}: {error}"))
