"""What people say of answers, and what becomes of it: feedback in, examples for training out.

`FeedbackSubmitted` and `SubjectErased` are public input: unknown fields are errors. An example lies past the gate: its
texts hold placeholders where personal data stood.
"""

import re
from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)

from schemas.base import Event, Identifier, Message, Model, ModelUsed, TenantName

FeedbackKind = Literal["thumb", "rating", "edit", "choice", "report", "withdrawal"]


def _of_a_known_type(value: object) -> object:
    """One sentence where a union of types would say three."""
    if not isinstance(value, bool | int | str):
        raise ValueError('"value" must be true, false, a whole number or a text')  # noqa: TRY004 - pydantic's way
    return value


FeedbackValue = Annotated[StrictBool | StrictInt | StrictStr, BeforeValidator(_of_a_known_type)]
"""What was said; which form it must have depends on the kind."""
_CATEGORY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

_FORMS = {
    "thumb": "true (up) or false (down)",
    "rating": "a whole number from 1 to 5",
    "edit": "the better text, 1 to 65536 characters",
    "choice": "the response_id of the answer that this one was preferred to",
    "report": "a category such as `harmful`: lower-case letters, digits, _ and -",
    "withdrawal": "the feedback_id that is taken back",
}


class Consent(Model):
    """What the person allows. Silence is no."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: bool = False


class FeedbackSubmitted(Event):
    """Somebody judges an answer, or takes a judgement back. Public input on `feedback-submitted`.

    The same `feedback_id` again changes what was said: the latest `created_at` counts. A withdrawal counts whenever it
    comes, and for good.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    TYPE: ClassVar[str] = "feedback-submitted"

    feedback_id: Identifier
    tenant: TenantName = "default"
    response_id: Identifier
    kind: FeedbackKind
    value: FeedbackValue
    comment: Annotated[str, StringConstraints(max_length=4096)] | None = None
    subject: Identifier | None = None
    """Pseudonymous id of the person."""
    consent: Consent = Consent()
    created_at: AwareDatetime | None = None
    """None: when the record was written."""

    @property
    def key(self) -> str:
        """What is said of one response stays in order."""
        return self.response_id

    @model_validator(mode="after")
    def _the_value_fits_the_kind(self) -> Self:
        if not _fits(self.kind, self.value):
            raise ValueError(f'"value" of a {self.kind} must be {_FORMS[self.kind]}')
        if self.kind == "choice" and self.value == self.response_id:
            raise ValueError('"value" of a choice must name another response than "response_id"')
        return self


def _fits(kind: FeedbackKind, value: bool | int | str) -> bool:
    if kind == "thumb":
        return isinstance(value, bool)
    if kind == "rating":
        return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 5
    if not isinstance(value, str) or not value.strip():
        return False
    return bool(_CATEGORY.fullmatch(value)) if kind == "report" else len(value) <= (65_536 if kind == "edit" else 128)


class SubjectErased(Event):
    """A person wants to be forgotten: what he said leaves the store and every later data set. Public input."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    TYPE: ClassVar[str] = "subject-erased"

    tenant: TenantName = "default"
    subject: Identifier

    @property
    def key(self) -> str:
        """The person."""
        return self.subject


class Judgement(Model):
    """One standing judgement of a response. Its texts are masked."""

    feedback_id: Identifier
    kind: Literal["thumb", "rating", "edit", "choice", "report"]
    value: StrictBool | StrictInt | str
    comment: str | None = None
    subject: Identifier | None = None
    consent: bool = False
    """Whether training may use it."""
    created_at: datetime


class ExampleRecorded(Event):
    """An answered prompt with all judgements that stand: the whole state, so that the last one written counts."""

    TYPE: ClassVar[str] = "example-recorded"

    response_id: Identifier
    tenant: TenantName
    prompt_id: Identifier
    conversation_id: Identifier
    messages: tuple[Message, ...]
    """What the model saw, masked."""
    text: str
    """What it answered, masked."""
    model: ModelUsed
    template: str
    policy: str
    answered_at: datetime
    judgements: tuple[Judgement, ...] = ()
    """In the order of their `feedback_id`."""

    @property
    def key(self) -> str:
        """The response."""
        return self.response_id
