"""Continuous batching: each step reads a piece of a new prompt and writes one token for every generation under way.

Iteration-level scheduling after Orca (Yu et al. 2022). A generation leaves the step it ends, and the next takes its
place. Knows no threads and no clients.
"""

import torch

from libs.language_models.engine.runner import Runner
from libs.language_models.engine.sequence import Sequence
from libs.language_models.engine.waiting import WaitingRoom
from libs.language_models.generation import GenerationFailed


class Batch:
    """Generations in their slots. Rows 0 to n-1 write; the one being read sits behind them."""

    def __init__(self, runner: Runner, waiting: WaitingRoom[Sequence], *, read_tokens: int) -> None:
        self._runner = runner
        self._waiting = waiting
        self._read_tokens = read_tokens
        self._writing: list[Sequence] = []
        self._reading: Sequence | None = None

    @property
    def in_slots(self) -> int:
        """Slots in use."""
        return len(self._writing) + (self._reading is not None)

    @property
    def idle(self) -> bool:
        """Nothing to do until someone is added to the waiting room."""
        return self.in_slots == 0 and len(self._waiting) == 0

    def everyone(self) -> list[Sequence]:
        """All who expect an answer, emptying batch and waiting room."""
        found = [*self._writing, *([self._reading] if self._reading else [])]
        found += self._waiting.remove_if(lambda _: True)
        self._writing, self._reading = [], None
        return found

    def step(self) -> None:
        """One iteration. Raises what broke the model for all rows; a single row's trouble ends that row only."""
        self._waiting.remove_if(lambda sequence: sequence.over)
        self._leave()
        self._read_some()
        self._leave()
        self._write_all()

    def _read_some(self) -> None:
        """Whole pieces of fixed size, so that where a prompt is cut does not depend on its mates."""
        budget = self._read_tokens
        while budget > 0:
            if self._reading is None:
                self._reading = self._waiting.next(self.in_slots)
            if (sequence := self._reading) is None:
                return
            budget -= self._read_piece(sequence)

    def _read_piece(self, sequence: Sequence) -> int:
        piece = sequence.prompt[sequence.read : sequence.read + self._read_tokens]
        try:
            logits = self._runner.read(len(self._writing), piece, sequence.read)
        except torch.OutOfMemoryError as error:
            self._reading = None
            sequence.fail(GenerationFailed(f"no memory for a prompt of {len(sequence.prompt)} tokens: {error}"))
            return len(piece)
        sequence.read += len(piece)
        if sequence.read == len(sequence.prompt):
            self._reading = None
            self._writing.append(sequence)
            self._accept(sequence, logits, None)
        return len(piece)

    def _write_all(self) -> None:
        if not self._writing:
            return
        tokens = [sequence.written[-1] for sequence in self._writing]
        logits = self._runner.decode(tokens, [sequence.position for sequence in self._writing])
        best: list[int] = logits.argmax(-1).tolist()
        for row, sequence in enumerate(self._writing):
            self._accept(sequence, logits[row], best[row])

    def _accept(self, sequence: Sequence, logits: torch.Tensor, greedy: int | None) -> None:
        try:
            sequence.accept(logits, greedy)
        except Exception as error:
            sequence.fail(GenerationFailed(f"{type(error).__name__}: {error}"))

    def _leave(self) -> None:
        """Frees the slots of those who are done; the last writing row fills the gap, the reading row closes up."""
        for row in range(len(self._writing) - 1, -1, -1):
            if self._writing[row].over:
                self._free(row)
        if self._reading is not None and self._reading.over:
            self._reading = None

    def _free(self, row: int) -> None:
        last = len(self._writing) - 1
        self._runner.move(last, row, self._writing[last].position + 1)
        self._writing[row] = self._writing[last]
        self._writing.pop()
        if self._reading is not None:
            self._runner.move(last + 1, last, self._reading.read)
