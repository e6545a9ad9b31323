"""People who judge the crowd's answers in every way there is, and who know which of it must come to nothing."""

import json
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from libs.bus import Outgoing, Record, encode
from libs.bus.records import written_at
from libs.clock import utc_now
from schemas.base import Event
from schemas.feedback import FeedbackSubmitted, SubjectErased
from schemas.responses import response_id_of
from schemas.topics import topic_of
from tests.support.faults.crowd import Crowd

TENANT = "default"
SUBJECTS = (None, "s-1", "s-2", "eve@example.org")


class Critics:
    """`answers`: texts as their readers saw them, by prompt id. `refused`: prompts without an answer."""

    def __init__(self, crowd: Crowd, chance: random.Random) -> None:
        self.answers: dict[str, str] = {}
        self.refused: Sequence[str] = ()
        self.said: list[FeedbackSubmitted] = []
        """Judgements that may stand, in all their versions."""
        self.hopeless: set[str] = set()
        """Feedback ids whose end is a dead letter."""
        self.run = f"f{chance.randrange(16**8):08x}"
        self._crowd, self._chance = crowd, chance
        self._count = self._turn = 0

    async def early(self, prompts: Sequence[str]) -> None:
        """Of prompts that have no answer yet."""
        await self._publish([self._stands("thumb", True, about) for about in prompts])

    async def speak(self) -> None:
        """One of each kind, some of it twice, in any order.

        About the next answers in turn: what is lost of one is not made up for by what is said of it soon after.
        """
        chance, answers = self._chance, sorted(self.answers)
        one, other, third = (answers[(self._turn + n) % len(answers)] for n in range(3))
        self._turn += 3
        spoken = [
            self._stands("thumb", chance.random() < 0.5, one),
            self._stands("rating", chance.randint(1, 5), other),
            self._stands("edit", f"Write to mary.{chance.randrange(99)}@example.com.", one),
            self._stands("choice", response_id_of(TENANT, other), one),
            self._stands("report", "harmful", third),
            self._changed(),
            self._withdrawn(),
            self._hopeless("edit", self.answers[third], third),
            self._hopeless("thumb", True, chance.choice(self.refused)),
            self._hopeless("rating", 3, one, tenant="globex"),
            self._hopeless("thumb", False, "nobody asked this"),
        ]
        chance.shuffle(spoken)
        await self._publish([*spoken, *chance.sample(spoken, 3)])

    async def erase(self, subject: str) -> None:
        """A person wants to be forgotten."""
        await self._publish([SubjectErased(tenant=TENANT, subject=subject)])

    def _stands(self, kind: Any, value: Any, prompt_id: str) -> FeedbackSubmitted:
        made = self._made(kind, value, prompt_id, subject=self._chance.choice(SUBJECTS))
        self.said.append(made)
        return made

    def _hopeless(self, kind: Any, value: Any, prompt_id: str, tenant: str = TENANT) -> FeedbackSubmitted:
        made = self._made(kind, value, prompt_id, tenant=tenant, told_by=TENANT)
        self.hopeless.add(made.feedback_id)
        return made

    def _changed(self) -> FeedbackSubmitted:
        """The same id says something else, from a moment before or after."""
        old = self._chance.choice(self.said[-12:])
        told = {"kind": "rating", "value": self._chance.randint(1, 5), "created_at": self._moment()}
        new = FeedbackSubmitted.model_validate(old.model_dump() | told)
        self.said.append(new)
        return new

    def _withdrawn(self) -> FeedbackSubmitted:
        """Taken back: one of the last, which may not have been heard yet."""
        old = self._chance.choice(self.said[-12:])
        return self._made("withdrawal", old.feedback_id, self._chance.choice(sorted(self.answers)))

    def _made(self, kind: Any, value: Any, prompt_id: str, told_by: str = TENANT, **fields: Any) -> FeedbackSubmitted:
        self._count += 1
        number = self._chance.randrange(99)
        comments = [None, f"It is mary.{number}@example.com.", "password: x1y2z3w4", "x1y2z3w4 is it"]
        given = {"tenant": TENANT, "comment": self._chance.choice(comments), "created_at": self._moment(), **fields}
        return FeedbackSubmitted(
            feedback_id=f"{self.run}-{self._count:04}",
            response_id=response_id_of(told_by, prompt_id),
            kind=kind,
            value=value,
            **given,
        )

    def _moment(self) -> Any:
        """Or none: then the record's counts."""
        return self._chance.choice([None, utc_now() + timedelta(seconds=self._chance.randint(-60, 60))])

    def about(self, record: Record) -> bool:
        """Whether a record is about their prompts, or theirs. Others may have used the log before."""
        if written_at(record) < self._crowd.since - timedelta(seconds=1):
            return False
        if record.topic == "subject-erased" or record.value is None:
            return True
        body: dict[str, Any] = json.loads(record.value)
        if "feedback_id" in body:
            return str(body["feedback_id"]).startswith(self.run)
        return body.get("prompt_id") in self.answers or body.get("prompt_id") in self.refused

    async def _publish(self, events: Sequence[Event]) -> None:
        await self._crowd.publish([Outgoing(topic_of(type(e)).name, e.key.encode(), encode(e)) for e in events])
