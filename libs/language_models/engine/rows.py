"""Which generation is in which row of the cache. Knows when rows move, not why generations come and go."""

from libs.language_models.engine.runner import Runner
from libs.language_models.engine.sequence import Sequence
from schemas.base import Lane


class Rows:
    """Rows 0 to n-1 write; behind them sit those being read. In both, real-time work comes first.

    So what one step works on is always a beginning of either, and a step sees views of the cache, not copies.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.writing: list[Sequence] = []
        self.reading: list[Sequence] = []

    @property
    def in_use(self) -> int:
        """Rows taken."""
        return len(self.writing) + len(self.reading)

    @property
    def real_time_writing(self) -> int:
        """How many of those who write are real-time work: they are the first."""
        return _real_time(self.writing)

    @property
    def has_real_time(self) -> bool:
        """Whether any row is taken by real-time work."""
        return _real_time(self.writing) + _real_time(self.reading) > 0

    def clear(self) -> list[Sequence]:
        """All who were here."""
        found = [*self.writing, *self.reading]
        self.writing, self.reading = [], []
        return found

    def admit(self, new: Sequence) -> None:
        """Its prompt is going to be read: before those of batch work, if it is real-time work."""
        index = _real_time(self.reading) if new.lane is Lane.REAL_TIME else len(self.reading)
        self._shift(index, 1)
        self.reading.insert(index, new)

    def begin_writing(self) -> None:
        """The first of those being read joins those who write, in its lane."""
        new = self.reading.pop(0)
        self.writing.append(new)
        row, first = len(self.writing) - 1, self.real_time_writing - 1
        if new.lane is Lane.REAL_TIME and first != row:
            moved = self.writing[first]
            self._runner.swap(first, row, max(len(new.prompt), moved.position + 1))
            self.writing[first], self.writing[row] = new, moved

    def leave(self) -> None:
        """Frees the rows of those who are done."""
        for row in range(len(self.writing) - 1, -1, -1):
            if self.writing[row].over:
                self._free(row)
        for index in range(len(self.reading) - 1, -1, -1):
            if self.reading[index].over:
                self.stop_reading(self.reading[index])

    def stop_reading(self, sequence: Sequence) -> None:
        """Those behind it close up."""
        index = self.reading.index(sequence)
        del self.reading[index]
        self._shift(index, -1)

    def _free(self, row: int) -> None:
        """The gap is filled by the last row of its lane, and where that was real-time work, by the last of all."""
        end, last = self.real_time_writing - 1, len(self.writing) - 1
        if row < end:
            self._fill(row, end)
            row = end
        self._fill(row, last)
        self.writing.pop()
        self._shift(0, -1)

    def _fill(self, row: int, source: int) -> None:
        self._runner.move(source, row, self.writing[source].position + 1)
        self.writing[row] = self.writing[source]

    def _shift(self, index: int, by: int) -> None:
        """Moves those being read, from this one on, to where they belong, `by` rows on: 1, or -1 when one has gone."""
        places = range(index, len(self.reading))
        gone = len(self.writing) - min(by, 0)
        for place in reversed(places) if by > 0 else places:
            self._runner.move(gone + place, gone + place + by, self.reading[place].read)


def _real_time(sequences: list[Sequence]) -> int:
    return sum(sequence.lane is Lane.REAL_TIME for sequence in sequences)
