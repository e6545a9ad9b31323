"""Which of two facts about the same thing counts. Every rule gives the same result in either order."""

from datetime import datetime

from services.feedback.domain.facts import Erased, OutcomeSeen, PromptSeen, Said


def smaller(old: PromptSeen | None, new: PromptSeen) -> PromptSeen:
    """Of one pass there is one prompt; should safety have masked it twice, differently, either will do."""
    return new if old is None or new.model_dump_json() < old.model_dump_json() else old


def later_outcome(old: OutcomeSeen | None, new: OutcomeSeen) -> OutcomeSeen:
    """A prompt id that was used again after it was forgotten has a newer outcome."""
    return new if old is None or _rank(new) > _rank(old) else old


def _rank(outcome: OutcomeSeen) -> tuple[datetime, str]:
    return outcome.created_at, outcome.model_dump_json()


def later_said(old: Said | None, new: Said) -> Said:
    """The latest version counts."""
    return new if old is None or new.rank > old.rank else old


def as_it_stands(said: Said, *, withdrawn: bool, erased_at: datetime | None) -> Said:
    """Empty where it was taken back or its subject was erased since."""
    gone = withdrawn or (erased_at is not None and falls_under(said, erased_at))
    return said.emptied() if gone and said.origin is not None else said


def falls_under(said: Said, erased_at: datetime) -> bool:
    """Whether an erasure at that moment covers it.

    What does not say when it was made does: written again later, it could not be told from what was erased.
    """
    return not said.dated or said.said_at <= erased_at


def later_erasure(old: datetime | None, new: Erased) -> datetime:
    """The latest erasure covers the others."""
    return new.at if old is None else max(old, new.at)
