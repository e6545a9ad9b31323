"""What the service learns, one fact at a time. Facts come early, late, twice and changed; none of them is a decision.

Of two facts about the same thing one counts, by rules that do not ask which came first: so all orders end alike.
"""

import hashlib
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from schemas.base import Message, ModelUsed
from schemas.feedback import FeedbackSubmitted

State = Literal["new", "waiting", "standing", "refused"]


class CaseKey(NamedTuple):
    """One response. Another tenant's response of the same id is another case."""

    tenant: str
    response_id: str


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")


class PromptSeen(_Fact):
    """What the model saw, masked."""

    case: CaseKey
    prompt_id: str
    conversation_id: str
    submitted_at: datetime
    messages: tuple[Message, ...]

    @property
    def place(self) -> str:
        """Which of several passes of one prompt id this is; its completion carries the same moment."""
        return self.submitted_at.isoformat()


class AnswerSeen(_Fact):
    """What the model answered, masked."""

    case: CaseKey
    place: str
    """`topic/partition/offset`: an outcome names the completion that it was made of."""
    submitted_at: datetime
    text: str
    model: ModelUsed
    template: str
    policy: str


class OutcomeSeen(_Fact):
    """How the prompt ended. Never its text: that is in clear."""

    case: CaseKey
    status: Literal["answered", "refused", "failed"]
    created_at: datetime
    cause: str | None
    """The place of what it was made of."""


class Origin(_Fact):
    """The record that feedback came in, as it was. It holds clear text, and leaves the store only as a dead letter."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def feedback(self) -> FeedbackSubmitted:
        """What it says."""
        return FeedbackSubmitted.model_validate_json(self.value or b"")


class Said(_Fact):
    """Somebody's judgement in its latest version. Without an origin: taken back, or its subject was erased."""

    case: CaseKey
    feedback_id: str
    created_at: datetime
    digest: str
    """SHA-256 of what was said and where: decides between two versions of one moment."""
    said_at: datetime
    """The earlier of when it says it was made and when its record was written."""
    dated: bool
    """Whether it said itself when it was made."""
    received_at: datetime
    subject_key: str | None = None
    other: str | None = None
    """Of a choice: the response that lost."""
    origin: Origin | None
    state: State = "new"

    @property
    def rank(self) -> tuple[datetime, str]:
        """The largest of all versions counts."""
        return self.created_at, self.digest

    def emptied(self) -> "Said":
        """Nothing of the person is left; older versions still do not come back."""
        return self.model_copy(update={"origin": None, "subject_key": None, "state": "new"})


class Withdrawn(_Fact):
    """A feedback id that is taken back, for good."""

    tenant: str
    feedback_id: str


class Erased(_Fact):
    """A person is forgotten: all he said up to that moment."""

    tenant: str
    subject_key: str
    at: datetime


Fact = PromptSeen | AnswerSeen | OutcomeSeen | Said | Withdrawn | Erased


def digest_of(feedback: FeedbackSubmitted, origin: Origin) -> str:
    """SHA-256 over what was said, in the order of the event's fields, and its record's place."""
    place = f"{origin.topic}/{origin.partition}/{origin.offset}"
    return hashlib.sha256(f"{place} {feedback.model_dump_json()}".encode()).hexdigest()


def subject_key(tenant: str, subject: str) -> str:
    """By this a person is known as erased without being named."""
    return hashlib.sha256(f"{tenant}\0{subject}".encode()).hexdigest()
