"""All facts of one prompt, and the ways between them: what rests on what, and where it began."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

from libs.audit._facts import Fact, Place
from libs.audit._path import GENERATED, OUTCOME, SUBMITTED


class History:
    """One prompt's records in the order of the path, then of the log."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self.facts = facts
        self.tenant, self.prompt_id = facts[0].tenant, facts[0].prompt_id
        self._at = {fact.place: fact for fact in facts}
        self._of: dict[str | None, list[Fact]] = defaultdict(list)
        for fact in facts:
            self._of[fact.kind].append(fact)

    def at(self, place: Place | None) -> Fact | None:
        """The prompt's record at that place."""
        return self._at.get(place) if place is not None else None

    def of(self, kind: str) -> list[Fact]:
        """Its events of a type, both lanes."""
        return self._of.get(kind, [])

    @cached_property
    def events(self) -> list[Fact]:
        """What is no dead letter."""
        return [fact for fact in self.facts if fact.kind is not None]

    @cached_property
    def letters(self) -> list[Fact]:
        """Its dead letters."""
        return self._of.get(None, [])

    @cached_property
    def submissions(self) -> list[Fact]:
        """Oldest first."""
        return sorted(self.of(SUBMITTED), key=lambda fact: fact.timestamp)

    @cached_property
    def outcomes(self) -> list[Fact]:
        """Oldest first, copies included."""
        return sorted(self.of(OUTCOME), key=lambda fact: fact.timestamp)

    def root(self, fact: Fact) -> Fact | None:
        """The submission it goes back to, as far as that was read."""
        seen: set[Place] = set()
        current: Fact | None = fact
        while current is not None and current.kind != SUBMITTED:
            if current.place in seen:
                return None
            seen.add(current.place)
            current = self.at(current.cause)
        return current

    def paid_twice(self) -> int:
        """Generations beyond the first; a copy of the same bytes is the same generation."""
        paid = {fact.body for fact in self.of(GENERATED) if fact.status == "generated"}
        return max(0, len(paid) - 1)
