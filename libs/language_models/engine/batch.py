"""Continuous batching: each step reads a piece of a new prompt and writes one token for every generation under way.

Iteration-level scheduling after Orca (Yu et al. 2022). A generation leaves the step it ends, and the next takes its
place. Knows no threads and no clients.
"""

import torch

from libs.language_models.engine.runner import Runner
from libs.language_models.engine.sequence import Sequence
from libs.language_models.engine.waiting import WaitingRoom
from libs.language_models.generation import GenerationFailed
from schemas.base import Lane

BATCH_TURN = 4
"""While real-time work is in a slot, batch work is read and written in every so many steps only."""


class Batch:
    """Generations in their slots. Rows 0 to n-1 write, real-time work first; those being read sit behind them.

    At most two are being read: a real-time prompt goes before the batch prompt whose reading it found under way. A
    step reads `read_tokens` of real-time prompts, or one piece of `batch_read_tokens` of a batch prompt: a real-time
    prompt that comes waits for no more than that and one token of each row.
    """

    def __init__(
        self, runner: Runner, waiting: WaitingRoom[Sequence], *, read_tokens: int, batch_read_tokens: int
    ) -> None:
        self._runner = runner
        self._waiting = waiting
        self._pieces = {Lane.REAL_TIME: read_tokens, Lane.BATCH: batch_read_tokens}
        self._writing: list[Sequence] = []
        self._reading: list[Sequence] = []
        self._steps = 0

    @property
    def in_slots(self) -> int:
        """Slots in use."""
        return len(self._writing) + len(self._reading)

    @property
    def idle(self) -> bool:
        """Nothing to do until someone is added to the waiting room."""
        return self.in_slots == 0 and len(self._waiting) == 0

    def everyone(self) -> list[Sequence]:
        """All who expect an answer, emptying batch and waiting room."""
        found = [*self._writing, *self._reading]
        found += self._waiting.remove_if(lambda _: True)
        self._writing, self._reading = [], []
        return found

    def step(self) -> None:
        """One iteration. Raises what broke the model for all rows; a single row's trouble ends that row only."""
        self._steps += 1
        self._waiting.remove_if(lambda sequence: sequence.over)
        self._leave()
        self._read_some()
        self._leave()
        self._write_all()

    def _read_some(self) -> None:
        """Whole pieces of fixed size, so that where a prompt is cut does not depend on its mates."""
        budget = self._pieces[Lane.REAL_TIME]
        while budget > 0 and (sequence := self._next_real_time()) is not None:
            budget -= self._read_piece(sequence)
        if budget == self._pieces[Lane.REAL_TIME] and self._is_batchs_turn():
            if not self._reading and (found := self._waiting.next(self.in_slots)) is not None:
                self._reading.append(found)
            if self._reading:
                self._read_piece(self._reading[0])

    def _next_real_time(self) -> Sequence | None:
        if self._reading and self._reading[0].lane is Lane.REAL_TIME:
            return self._reading[0]
        found = self._waiting.next_real_time(self.in_slots)
        if found is not None:
            self._shift(len(self._writing), 1)
            self._reading.insert(0, found)
        return found

    def _is_batchs_turn(self) -> bool:
        return self._steps % BATCH_TURN == 0 or all(s.lane is Lane.BATCH for s in self._writing)

    def _read_piece(self, sequence: Sequence) -> int:
        piece = sequence.prompt[sequence.read : sequence.read + self._pieces[sequence.lane]]
        try:
            logits = self._runner.read(len(self._writing), piece, sequence.read)
        except torch.OutOfMemoryError as error:
            sequence.fail(GenerationFailed(f"no memory for a prompt of {len(sequence.prompt)} tokens: {error}"))
            self._leave()
            return len(piece)
        sequence.read += len(piece)
        if sequence.read == len(sequence.prompt):
            self._reading.remove(sequence)
            self._writing.append(sequence)
            self._put_in_its_lane(sequence)
            self._accept(sequence, logits, None)
        return len(piece)

    def _shift(self, first: int, by: int) -> None:
        """Moves those being read, the first of whom is in row `first`, by so many rows: 1 or -1."""
        order = range(len(self._reading))
        for index in reversed(order) if by > 0 else order:
            self._runner.move(first + index, first + index + by, self._reading[index].read)

    def _put_in_its_lane(self, new: Sequence) -> None:
        """The last writing row changes places with the first batch row, if it is real-time work."""
        row, first = len(self._writing) - 1, self._real_time_rows() - 1
        if new.lane is Lane.REAL_TIME and first != row:
            moved = self._writing[first]
            self._runner.swap(first, row, max(len(new.prompt), moved.position + 1))
            self._writing[first], self._writing[row] = new, moved

    def _real_time_rows(self) -> int:
        return sum(sequence.lane is Lane.REAL_TIME for sequence in self._writing)

    def _write_all(self) -> None:
        writing = self._writing if self._is_batchs_turn() else self._writing[: self._real_time_rows()]
        if not writing:
            return
        tokens = [sequence.written[-1] for sequence in writing]
        logits = self._runner.decode(tokens, [sequence.position for sequence in writing])
        best: list[int] = logits.argmax(-1).tolist()
        for row, sequence in enumerate(writing):
            self._accept(sequence, logits[row], best[row])

    def _accept(self, sequence: Sequence, logits: torch.Tensor, greedy: int | None) -> None:
        try:
            sequence.accept(logits, greedy)
        except Exception as error:
            sequence.fail(GenerationFailed(f"{type(error).__name__}: {error}"))

    def _leave(self) -> None:
        """Frees the slots of those who are done; the last writing row fills the gap, those being read close up."""
        for row in range(len(self._writing) - 1, -1, -1):
            if self._writing[row].over:
                self._free(row)
        for index in range(len(self._reading) - 1, -1, -1):
            if self._reading[index].over:
                del self._reading[index]
                if index == 0:
                    self._shift(len(self._writing) + 1, -1)

    def _free(self, row: int) -> None:
        """The gap is filled by the last row of its lane, and where that was real-time work, by the last of all."""
        end, last = self._real_time_rows() - 1, len(self._writing) - 1
        if row < end:
            self._fill(row, end)
            row = end
        self._fill(row, last)
        self._writing.pop()
        self._shift(last + 1, -1)

    def _fill(self, row: int, source: int) -> None:
        self._runner.move(source, row, self._writing[source].position + 1)
        self._writing[row] = self._writing[source]
