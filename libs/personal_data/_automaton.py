"""Many sequences of tokens searched for at once, in one pass whose cost does not depend on how many there are.

Aho and Corasick, "Efficient string matching: an aid to bibliographic search", CACM 18(6), 1975, over tokens instead of
characters, so that nothing is found in the middle of a word.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

_ROOT = 0
T = TypeVar("T")


class Automaton(Generic[T]):
    """Built once over non-empty sequences of tokens, each with what it stands for."""

    def __init__(self, sequences: Mapping[tuple[str, ...], T]) -> None:
        self._first = {sequence[0] for sequence in sequences}
        self._next: dict[tuple[int, str], int] = {}
        self._shorter: list[int] = []
        """For each node the longest proper suffix of it that is a node as well."""
        self._longest: list[tuple[int, T] | None] = [None]
        """For each node the longest sequence that ends there: how many tokens it has and what it stands for."""
        self._parents: list[tuple[int, str]] = []
        for sequence, meaning in sequences.items():
            self._add(sequence, meaning)
        self._link()

    def ends(self, tokens: Sequence[str]) -> Iterator[tuple[int, int, T]]:
        """The longest sequence that ends at each token, where one does: (index after the token, length, meaning)."""
        if self._first.isdisjoint(tokens):
            return
        node = _ROOT
        for past, token in enumerate(tokens, start=1):
            node = self._step(node, token)
            if (longest := self._longest[node]) is not None:
                yield past, *longest

    def _add(self, sequence: Sequence[str], meaning: T) -> None:
        node = _ROOT
        for token in sequence:
            following = self._next.setdefault((node, token), len(self._longest))
            if following == len(self._longest):
                self._longest.append(None)
                self._parents.append((node, token))
            node = following
        self._longest[node] = len(sequence), meaning

    def _link(self) -> None:
        """Breadth first, so that a node's suffix is linked before the node."""
        self._shorter = [_ROOT] * len(self._longest)
        for node in self._by_depth():
            parent, token = self._parents[node - 1]
            if parent != _ROOT:
                self._shorter[node] = self._step(self._shorter[parent], token)
            self._longest[node] = self._longest[node] or self._longest[self._shorter[node]]

    def _by_depth(self) -> list[int]:
        depths = [0]
        for parent, _ in self._parents:
            depths.append(depths[parent] + 1)
        return sorted(range(1, len(depths)), key=depths.__getitem__)

    def _step(self, node: int, token: str) -> int:
        while (following := self._next.get((node, token))) is None and node != _ROOT:
            node = self._shorter[node]
        return following or _ROOT
