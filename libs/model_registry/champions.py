"""Which adapter serves, and which ones served before it: one file beside the adapters, changed by one writer at a time.

Each change is a turn. Promotions are stacked: a rollback brings back what served before. A request that has led to a
turn leads to the same one again, so that whoever asks twice changes it once.
"""

import fcntl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from libs.files import write_whole
from libs.model_registry.adapters import AdapterError
from schemas.base import Identifier

FILE = "champions.json"


class Turn(BaseModel):
    """One change of what serves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    revision: int
    action: Literal["promote", "rollback"]
    request_id: Identifier
    model: Identifier | None
    """Promoted; of a rollback, what serves all conversations since, None for the bare base."""
    share: float = 1.0
    champion: Identifier | None = None
    """What serves the other conversations, where the share is below one."""
    previous: Identifier | None = None
    """What served before the promotion."""
    rolled_back: Identifier | None = None
    evaluation: Identifier | None = None
    canary: str | None = None
    """The plan by which the share rises or ends."""
    reason: str = ""
    at: datetime


@dataclass(frozen=True)
class Serving:
    """What serves now."""

    revision: int = 0
    champion: str | None = None
    """None: the bare base."""
    challenger: str | None = None
    share: float = 0.0
    """Of the conversations, the challenger's."""
    before: tuple[str | None, ...] = ()
    """What a rollback of the champion brings back, the last one last."""
    canary: str | None = None
    """The plan by which the challenger's share rises or ends."""

    def after(self, turn: Turn) -> "Serving":
        """What serves once that has happened."""
        if turn.action == "promote" and turn.share < 1:
            return Serving(turn.revision, self.champion, turn.model, turn.share, self.before, turn.canary)
        if turn.action == "promote":
            return Serving(turn.revision, turn.model, before=(*self.before, self.champion))
        if self.challenger is not None:
            return Serving(turn.revision, self.champion, before=self.before)
        return Serving(turn.revision, turn.model, before=self.before[:-1])


Decide = Callable[[Serving, int], Turn]
"""From what serves and the next revision to the turn. May raise: then nothing changes."""
_TURNS = TypeAdapter(tuple[Turn, ...])


class Champions:
    """In the folder of adapters. All methods block, for a moment."""

    def __init__(self, models: Path) -> None:
        self._file = models / FILE

    def turns(self) -> tuple[Turn, ...]:
        """All of them, the oldest first. Raises AdapterError where the file is damaged."""
        try:
            return _TURNS.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return ()
        except ValueError as error:
            raise AdapterError(f"{self._file} is damaged: {str(error).splitlines()[0]}; put a copy back") from None

    def serving(self) -> Serving:
        """What serves now. Raises AdapterError."""
        return serving_after(self.turns())

    def change(self, request_id: str, decide: Decide) -> Turn:
        """The turn that the request has led to, or leads to now, on disk when it returns. Raises AdapterError."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_name(f".{FILE}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            turns = self.turns()
            if (done := next((it for it in turns if it.request_id == request_id), None)) is not None:
                return done
            serving = serving_after(turns)
            turn = decide(serving, serving.revision + 1)
            write_whole(self._file, _TURNS.dump_json((*turns, turn), indent=2).decode(), durable=True)
            return turn


def under_trial(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns that gave the challenger its shares by a plan, the first one first; none: there is no such."""
    found: list[Turn] = []
    for turn in reversed(turns):
        if turn.action != "promote" or turn.canary is None:
            break
        if found and turn.model != found[-1].model:
            break
        found.append(turn)
    return tuple(reversed(found))


def serving_after(turns: Sequence[Turn]) -> Serving:
    """What serves once all of them have happened."""
    found = Serving()
    for turn in turns:
        found = found.after(turn)
    return found
