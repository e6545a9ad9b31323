"""Order per conversation: at each stage, and among answers, prompts stand in the order they were submitted in.

Promised, and checked, is this: of the prompts of one record key, written to one partition of one lane and never
dead-lettered, the first record of each on `prompt-accepted`, `-grounded`, `-cleared`, `completion-generated` and
`-cleared`, and the first outcome that came of a cleared completion, keep the order of submission. Refusals and
failures reach their outcome over other topics: they may overtake, and be overtaken.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from libs.audit._facts import Place
from libs.audit._history import History
from libs.audit._path import ACCEPTED, COMPLETION_CLEARED, STAGES, kind_of, lane_of
from libs.audit._report import Finding


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt's place in its conversation, and where it first stood after each stage."""

    tenant: str
    prompt_id: str
    key: bytes
    submitted: Place
    stages: tuple[Place | None, ...]

    @property
    def conversation(self) -> tuple[str, int, bytes]:
        """What is in order among itself."""
        return (self.submitted.topic, self.submitted.partition, self.key)


def turn_of(history: History) -> Turn | None:
    """None: the prompt was never accepted, or it was taken out of the line."""
    accepted = next(iter(history.of(ACCEPTED)), None)
    submitted = history.at(accepted.cause) if accepted else None
    if accepted is None or submitted is None or history.letters:
        return None
    lane = lane_of(accepted.place.topic)
    stages = [next((f.place for f in history.of(kind) if lane_of(f.place.topic) == lane), None) for kind in STAGES]
    answer = next((f.place for f in history.outcomes if f.cause and _of_completion(f.cause, lane)), None)
    return Turn(history.tenant, history.prompt_id, accepted.key, submitted.place, (*stages, answer))


def _of_completion(cause: Place, lane: str | None) -> bool:
    return kind_of(cause.topic) == COMPLETION_CLEARED and lane_of(cause.topic) == lane


def overtaken(turns: Iterable[Turn]) -> Iterator[Finding]:
    """Prompts that stand before one that was submitted earlier. `turns` come by conversation, then by submission."""
    conversation: tuple[str, int, bytes] | None = None
    furthest: dict[tuple[str, int], tuple[int, str]] = {}
    for turn in turns:
        if turn.conversation != conversation:
            conversation, furthest = turn.conversation, {}
        if (found := _overtaking(turn, furthest)) is not None:
            yield found


def _overtaking(turn: Turn, furthest: dict[tuple[str, int], tuple[int, str]]) -> Finding | None:
    """The first stage at which the prompt stands before an earlier one: later stages only follow."""
    found: Finding | None = None
    for place in turn.stages:
        if place is None:
            continue
        offset, earlier = furthest.get((place.topic, place.partition), (-1, ""))
        if place.offset > offset:
            furthest[place.topic, place.partition] = (place.offset, turn.prompt_id)
        elif found is None:
            says = f"the prompt stands before {earlier!r}, which its conversation submitted earlier"
            found = Finding("out_of_order", turn.tenant, turn.prompt_id, place, says)
    return found
