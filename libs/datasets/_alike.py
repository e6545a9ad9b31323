"""Takes out rows that contradict each other, and rows that are nearly another. What stays depends on no order."""

import json
from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import chain, groupby
from operator import itemgetter

from libs.datasets._near import Shingles, bands, shingles, similar
from libs.datasets._rows import completions, question
from libs.datasets._tally import Tally
from libs.datasets._workbench import Workbench
from libs.datasets.policy import Policy

_WINDOW = 32
"""So many neighbours are compared where one band holds more rows."""
_KEPT = 4096

Parts = list[Shingles]


def drop_contradictions(bench: Workbench, policy: Policy, tally: Tally) -> None:
    """Of rows that decide one case differently, those stay that enough of their copies agree with."""
    cases = "SELECT place FROM rows GROUP BY place HAVING COUNT(*) > 1"
    found = bench.db.execute(f"SELECT place, at, copies FROM rows WHERE place IN ({cases}) ORDER BY place")  # noqa: S608 - no value is in it
    for _, sides in groupby(found, key=itemgetter(0)):
        rows = [(at, copies) for _, at, copies in sides]
        enough = policy.judges.agreement * sum(copies for _, copies in rows)
        bench.db.executemany("INSERT INTO dropped VALUES (?)", [(at,) for at, copies in rows if copies < enough])
    tally.leave_out("rows", "contradiction", bench.drop_rows())


def drop_near_duplicates(bench: Workbench, policy: Policy, tally: Tally) -> None:
    """Of rows that are nearly the same, the one with the smallest id stays."""
    if policy.near_duplicates is not None:
        _Search(bench, policy.near_duplicates.similarity).run()
        tally.leave_out("rows", "near-duplicate", bench.drop_rows())


class _Search:
    def __init__(self, bench: Workbench, similarity: float) -> None:
        self._db, self._similarity = bench.db, similarity
        self._parts: OrderedDict[int, Parts] = OrderedDict()

    def run(self) -> None:
        self._db.executemany("INSERT INTO bands VALUES (?, ?, ?)", self._keys())
        found = self._db.execute("SELECT band, at FROM bands ORDER BY band, mark, at")
        for _, group in groupby(found, key=itemgetter(0)):
            self._look(at for _, at in group)

    def _keys(self) -> Iterator[tuple[int, int, int]]:
        for at, key, body in self._db.execute("SELECT at, key, body FROM rows ORDER BY at"):
            parsed = json.loads(body)
            # Rows of two kinds or labels are never one.
            salt = 2 * key[0] + bool(parsed.get("label"))
            mark = int.from_bytes(key[1:9], "big") >> 1
            for band in bands(_parts(parsed), salt):
                yield band, mark, at

    def _look(self, rows: Iterator[int]) -> None:
        """Rows of one band, the smallest id first."""
        first, second = next(rows), next(rows, None)
        if second is None:
            return
        stay: deque[int] = deque(maxlen=_WINDOW)
        for at in chain((first, second), rows):
            if self._is_dropped(at):
                continue
            if any(similar(self._of(at), self._of(other), self._similarity) for other in stay):
                self._db.execute("INSERT INTO dropped VALUES (?)", (at,))
            else:
                stay.append(at)

    def _is_dropped(self, at: int) -> bool:
        return self._db.execute("SELECT 1 FROM dropped WHERE at = ?", (at,)).fetchone() is not None

    def _of(self, at: int) -> Parts:
        if (known := self._parts.get(at)) is None:
            ((body,),) = self._db.execute("SELECT body FROM rows WHERE at = ?", (at,)).fetchall()
            known = self._parts[at] = _parts(json.loads(body))
            if len(self._parts) > _KEPT:
                self._parts.popitem(last=False)
        return known


def _parts(body: dict[str, object]) -> Parts:
    return [shingles(question(body)), *map(shingles, completions(body))]
