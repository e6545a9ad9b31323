"""Which split a row goes to: that of its conversation. Conversations that one row joins go together.

A conversation's split follows from its id and the policy's salt, so it stays where it is from one data set to the
next, unless a row joins it to others: then all of them go where the one with the smallest digest goes.
"""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from libs.datasets._names import Split
from libs.datasets._workbench import Workbench, digest
from libs.datasets.policy import Splits

Lineage = dict[str, Any]


class Groups:
    """Conversations, joined by rows. Memory: eight bytes for each that is joined to another."""

    def __init__(self, bench: Workbench, splits: Splits) -> None:
        self._db, self._splits = bench.db, splits
        self.largest = 1
        """Conversations in the largest group."""
        self._any = False

    def join(self) -> None:
        """Reads the rows that have two answers."""
        with closing(self._db.execute("SELECT lineage FROM rows WHERE key < x'01'")) as rows:
            for (text,) in rows:
                if len(found := _conversations(json.loads(text))) > 1:
                    one, other = map(self._node, found)
                    self._db.execute("INSERT INTO links VALUES (?, ?)", (one, other))
        ((count,),) = self._db.execute("SELECT COUNT(*) FROM nodes").fetchall()
        if count:
            self._any = True
            self._settle(_Union(count))

    def split_of(self, lineage: Lineage) -> Split:
        """Where the row with this lineage goes."""
        conversation = _conversations(lineage)[0]
        if self._any:
            sql = "SELECT of FROM eldest WHERE conversation = ?"
            row = self._db.execute(sql, (conversation,)).fetchone()
            conversation = conversation if row is None else row[0]
        dealt = hashlib.sha256(self._splits.salt.encode() + b"\0" + conversation).digest()
        return self._splits.at(int.from_bytes(dealt[:8], "big") / 2**64)

    def _node(self, conversation: bytes) -> int:
        """Its number, from 1."""
        self._db.execute("INSERT OR IGNORE INTO nodes (conversation) VALUES (?)", (conversation,))
        sql = "SELECT at FROM nodes WHERE conversation = ?"
        return int(self._db.execute(sql, (conversation,)).fetchone()[0])

    def _settle(self, union: "_Union") -> None:
        for one, other in self._db.execute("SELECT one, other FROM links"):
            union.join(one - 1, other - 1)
        sizes: Counter[int] = Counter()
        eldest: dict[int, bytes] = {}
        for at, conversation in self._db.execute("SELECT at, conversation FROM nodes ORDER BY conversation"):
            root = union.root(at - 1)
            sizes[root] += 1
            first = eldest.setdefault(root, conversation)
            self._db.execute("INSERT INTO eldest VALUES (?, ?)", (conversation, first))
        self.largest = max(sizes.values())


class _Union:
    """Disjoint sets of numbers, with path halving (Tarjan and van Leeuwen 1984)."""

    def __init__(self, count: int) -> None:
        self._above = array("q", range(count))

    def root(self, number: int) -> int:
        above = self._above
        while above[number] != number:
            above[number] = above[above[number]]
            number = above[number]
        return number

    def join(self, one: int, other: int) -> None:
        one, other = self.root(one), self.root(other)
        self._above[max(one, other)] = min(one, other)


def _conversations(lineage: Lineage) -> list[bytes]:
    """Digests of the row's conversations, the smallest first."""
    answers: Iterable[dict[str, str]] = lineage["answers"]
    return sorted({digest(lineage["tenant"], answer["conversation_id"]) for answer in answers})
