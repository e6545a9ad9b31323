"""What feedback needs from outside: a store of facts, a way to keep them durably, and masking."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.feedback.domain.cases import Case
from services.feedback.domain.facts import CaseKey, Fact, Said, State
from services.feedback.domain.judging import Rules


@dataclass(frozen=True, slots=True)
class Change:
    """A case about which something has become known. `version` tells a later change from this one."""

    key: CaseKey
    version: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What was written about a case as it stood at a change."""

    change: Change
    published: str | None
    """Digest of the example in the log; None: there is none."""
    states: tuple[tuple[Said, State], ...] = ()
    forgotten: tuple[Said, ...] = ()
    """Expired: they leave the store."""
    retired: bool = False
    """All of the case leaves the store, but for when it was answered."""


class Store(Protocol):
    """Facts, and which cases they changed. Everything may be done twice. Methods block; all raise Retryable."""

    def note(self, facts: Sequence[Fact], now: datetime) -> None:
        """Takes facts in, all or none, durably; the cases they change are marked as changed with them."""

    def changed(self, limit: int) -> Sequence[Change]:
        """The cases longest marked. Empty where another instance writes what follows."""

    def cases(self, keys: Sequence[CaseKey], judgements: int) -> Sequence[Case]:
        """Each case, with at most so many judgements."""

    def doubt(self, keys: Sequence[CaseKey]) -> None:
        """Notes, durably, that these are about to be written: `published` is `IN_DOUBT` until they are settled."""

    def settle(self, settled: Sequence[Settled]) -> None:
        """Notes what was written; a case that changed meanwhile stays marked."""

    def sweep(self, now: datetime, rules: Rules, limit: int) -> int:
        """Marks cases that time has changed, and removes what is too old to matter; how many of each at most.

        Returns how many there were.
        """

    def open(self) -> None: ...

    def close(self) -> None: ...


class Intake(Protocol):
    """The way in for handlers."""

    async def keep(self, fact: Fact) -> None:
        """Returns once the store has it durably. Raises Retryable."""


class Masker(Protocol):
    """Takes personal data out of texts."""

    def mask(self, texts: Sequence[str], already: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
        """New texts, and those that were masked before, as one: a value found in any of them is masked in all.

        Raises `libs.personal_data.Unmaskable`.
        """
