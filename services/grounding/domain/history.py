"""The conversation so far: answered turns per conversation, bounded in count, bytes and time.

A turn is half known until its answer comes; only whole turns are ever shown. Knows no log: what it is told may come
from handlers or be read back after a restart, in any order between the two topics, and twice.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from schemas.base import Message

Conversation = tuple[str, str]
"""Tenant and conversation id."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is kept. Bytes are of all text in one partition; the oldest conversation goes first."""

    turns: int = 32
    bytes: int = 32_000_000
    age: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and, once it came, its answer."""

    prompt_id: str
    asked: str | None = None
    answer: str | None = None
    at: datetime | None = None
    """When the prompt was submitted."""

    @property
    def size(self) -> int:
        """Characters held."""
        return len(self.asked or "") + len(self.answer or "")


@dataclass
class History:
    """Turns of the conversations of one partition."""

    bounds: Bounds
    _turns: OrderedDict[Conversation, OrderedDict[str, Turn]] = field(default_factory=OrderedDict)
    _size: int = 0

    def asked(self, conversation: Conversation, prompt_id: str, text: str, at: datetime) -> None:
        """A prompt was accepted."""
        turn = self._turn(conversation, prompt_id)
        self._put(conversation, replace(turn, asked=text, at=at))

    def answered(self, conversation: Conversation, prompt_id: str, text: str) -> None:
        """Its outcome is there, and is an answer."""
        turn = self._turn(conversation, prompt_id)
        self._put(conversation, replace(turn, answer=text))

    def dropped(self, conversation: Conversation, prompt_id: str) -> None:
        """Its outcome is there, and is none that belongs into a conversation."""
        turns = self._turns.get(conversation, OrderedDict())
        if (turn := turns.pop(prompt_id, None)) is not None:
            self._size -= turn.size

    def before(self, conversation: Conversation, prompt_id: str, at: datetime) -> list[Turn]:
        """Answered turns asked before that prompt, oldest first. Asking again gives the same."""
        found = []
        for turn in self._turns.get(conversation, OrderedDict()).values():
            whole = turn.asked is not None and turn.answer is not None and turn.at is not None
            if whole and turn.prompt_id != prompt_id and turn.at is not None and turn.at <= at:
                found.append(turn)
        recent = [turn for turn in found if turn.at is not None and at - turn.at <= self.bounds.age]
        return sorted(recent, key=lambda turn: turn.at or at)

    def _turn(self, conversation: Conversation, prompt_id: str) -> Turn:
        return self._turns.get(conversation, OrderedDict()).get(prompt_id, Turn(prompt_id))

    def _put(self, conversation: Conversation, turn: Turn) -> None:
        turns = self._turns.setdefault(conversation, OrderedDict())
        self._turns.move_to_end(conversation)
        if (before := turns.get(turn.prompt_id)) is not None:
            self._size -= before.size
        turns[turn.prompt_id] = turn
        self._size += turn.size
        while len(turns) > self.bounds.turns:
            self._size -= turns.popitem(last=False)[1].size
        while self._size > self.bounds.bytes and len(self._turns) > 1:
            _, oldest = self._turns.popitem(last=False)
            self._size -= sum(t.size for t in oldest.values())


def as_messages(turns: Sequence[Turn]) -> list[Message]:
    """Turns as a model reads them."""
    return [
        Message(role=role, content=text or "")
        for turn in turns
        for role, text in (("user", turn.asked), ("assistant", turn.answer))
    ]
