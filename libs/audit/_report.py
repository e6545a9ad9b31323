"""What the checker found: findings, counts, and what it could not judge.

The JSON form is stable: fields are added, never renamed or taken away.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from libs.audit._facts import Place

Kind = Literal["lost", "doubled", "uncleared", "altered", "out_of_order", "orphaned", "unaccounted"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MEANINGS: dict[Kind, str] = {
    "lost": "prompts that every stage is done with and that have no outcome",
    "doubled": "prompts with more than one outcome",
    "uncleared": "answers without a clearance by safety of their own",
    "altered": "texts that are not the ones safety cleared",
    "out_of_order": "prompts that were overtaken within their conversation",
    "orphaned": "events that rest on no record of their prompt",
    "unaccounted": "unreadable records without a dead letter, dead letters without their record",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One damage: which prompt, where to look, and what is wrong in one sentence. Never content."""

    kind: Kind
    tenant: str
    prompt_id: str
    place: Place
    says: str

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "kind": self.kind,
            "tenant": self.tenant or None,
            "prompt_id": self.prompt_id or None,
            "topic": self.place.topic,
            "partition": self.place.partition,
            "offset": self.place.offset,
            "says": self.says,
        }


@dataclass(slots=True)
class TopicCount:
    """One topic's records, and what became of them."""

    records: int = 0
    copies: int = 0
    """Came again with the same id and the same bytes."""
    redone: int = 0
    """Came again with the same id and the same decision; only times, seals or scores differ."""
    redone_otherwise: int = 0
    """Came again with the same id and another decision; harmless, as long as the outcome rests on one chain."""
    led_on: int = 0
    """An event of the path rests on it."""
    dead_lettered: int = 0
    waiting: int = 0
    """Its reader has not finished it."""
    silent: int = 0
    """Handled without output: repetitions, and decisions that came after the outcome."""


@dataclass(slots=True)
class PromptCount:
    """Prompts that were judged, by how they ended, and what was seen of others."""

    judged: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    in_flight: int = 0
    overdue: int = 0
    """Of those in flight, the ones older than the grace."""
    repeated: int = 0
    """Submissions of an id that was known."""
    asked_again: int = 0
    """Outcomes beyond the first, after the id was forgotten or under another key."""
    paid_twice: int = 0
    """Generations beyond a prompt's first that reached the log; what the exact cache answered costs nothing."""
    outside: int = 0
    """Prompts of which only a part lies in the range: submitted before it, or cut by retention."""


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on a range. `findings` holds the first of each kind, `counts` all of them."""

    since: datetime | None
    until: datetime | None
    tenant: str | None
    checked_at: datetime
    prompts: PromptCount
    topics: Mapping[str, TopicCount]
    counts: Mapping[Kind, int]
    findings: tuple[Finding, ...]
    waiting_for: Mapping[str, int] = field(default_factory=dict)
    """Prompts in flight by the service they wait for."""
    oldest_in_flight: datetime | None = None
    by_commits: bool = True
    """Whether in flight was decided by what the services have committed, or else by age."""

    @property
    def sound(self) -> bool:
        """Nothing was found. What is in flight is no damage."""
        return not any(self.counts.values())

    def of(self, kind: Kind) -> tuple[Finding, ...]:
        """The findings of one kind that are held."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def as_json(self) -> dict[str, Any]:
        """The stable form, for programs."""
        return {
            "sound": self.sound,
            "range": {"since": _iso(self.since), "until": _iso(self.until), "tenant": self.tenant},
            "checked_at": _iso(self.checked_at),
            "prompts": asdict(self.prompts),
            "in_flight": {
                "decided_by": "commits" if self.by_commits else "age",
                "waiting_for": dict(self.waiting_for),
                "oldest": _iso(self.oldest_in_flight),
            },
            "counts": dict(self.counts),
            "findings": [finding.as_json() for finding in self.findings],
            "topics": {name: asdict(count) for name, count in self.topics.items()},
        }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
