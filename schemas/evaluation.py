"""Which model serves: candidates are examined, promoted and rolled back. All past the gate.

`EvaluationRequested` and `PromotionRequested` are public input: unknown fields are errors. What serves is changed by
`ModelPromoted` and `ModelRolledBack` alone; each counts `revision` up by one, and the highest says what serves,
whatever came twice or late.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from schemas.base import ArtefactName, Event, Identifier, Model
from schemas.training import RecipeName

MetricName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Note = Annotated[str, StringConstraints(max_length=1000)]
WHAT_SERVES = "what-serves"
"""Key of everything that changes it, so that compaction keeps the last word."""


class EvaluationRequested(Event):
    """A candidate is to be examined against the champion. Public input on `evaluation-requested`.

    The same `request_id` again is the same examination.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    TYPE: ClassVar[str] = "evaluation-requested"

    request_id: Identifier
    model: ArtefactName
    """The adapter."""
    gate: RecipeName | None = None
    """By name; None: the one called `default`."""
    dataset: ArtefactName | None = None
    """Whose held-out rows are asked; None: those of the data set it was trained on."""
    promote: bool = True
    """Whether a pass leads to its promotion."""
    reason: Literal["request", "trained", "champion-changed"] = "request"

    @property
    def key(self) -> str:
        """The adapter."""
        return self.model


class EvaluationProgressed(Event):
    """How far an examination has come. One that is begun again says some of it again."""

    TYPE: ClassVar[str] = "evaluation-progressed"

    evaluation_id: Identifier
    request_id: Identifier
    model: Identifier
    exam: str
    """The one under way."""
    step: int = Field(ge=0)
    steps: int = Field(ge=0)
    """Of all exams together; 0: not known yet."""
    at: datetime

    @property
    def key(self) -> str:
        """The examination."""
        return self.evaluation_id


class Check(Model):
    """One rule of the gate, and what was found. Numbers are None where nothing could be measured."""

    metric: MetricName
    must: Literal["improve", "not_fall", "hold"]
    """`improve` on the champion, `not_fall` behind it, `hold` a bound of its own."""
    passed: bool
    candidate: float | None = None
    champion: float | None = None
    gain: float | None = None
    """How much better the candidate is, in the metric's unit or, where the rule is relative, as a share of the
    champion's; above zero is better, also where less is better."""
    low: float | None = None
    """Of the gain's confidence interval; of the candidate's own value where the rule is to hold a bound."""
    high: float | None = None
    items: int = Field(default=0, ge=0)
    """Questions, pairs or texts that were asked."""
    reason: Note


class ModelEvaluated(Event):
    """A candidate was examined. A pass alone changes nothing in service: `ModelPromoted` does. Public output."""

    TYPE: ClassVar[str] = "model-evaluated"

    evaluation_id: Identifier
    request_id: Identifier
    model: Identifier
    champion: Identifier | None = None
    """What it was compared with; None: the bare base."""
    base: str
    """The model that both are adapters of, by name."""
    passed: bool
    reasons: tuple[Note, ...]
    """Why; at least one, in words."""
    gate: str
    """`name@version-digest` of its rules."""
    dataset: Identifier | None = None
    """Whose held-out rows were asked; None: it did not come to that."""
    checks: tuple[Check, ...]
    metrics: dict[MetricName, dict[Literal["candidate", "champion"], float]]
    """All that was measured, rules or no rules."""
    seconds: float = Field(ge=0)
    """That the exams took."""
    evaluated_at: datetime

    @property
    def key(self) -> str:
        """The adapter."""
        return self.model


class PromotionRequested(Event):
    """Something else is to serve. Public input on `promotion-requested`.

    The same `request_id` again is the same wish.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    TYPE: ClassVar[str] = "promotion-requested"

    request_id: Identifier
    action: Literal["promote", "rollback"]
    model: ArtefactName | None = None
    """To promote: the adapter. To roll back: what must be in service (else it is refused); None: whatever is."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the conversations; below 1 the champion keeps the others."""
    canary: RecipeName | None = None
    """The plan by which its share rises, or ends; it begins at `share`, or, where that is 1, at the plan's first."""
    revision: Annotated[int, Field(ge=0)] | None = None
    """Only while nothing has changed since that one; None: whatever serves."""
    evaluation: ArtefactName | None = None
    """The examination that it rests on; None: the adapter's last one."""
    force: bool = False
    """Promotes what has not passed, too."""
    reason: Note = ""

    @model_validator(mode="after")
    def _names_what(self) -> Self:
        if self.action == "promote" and self.model is None:
            raise ValueError('"model" is missing: name the adapter to promote')
        if self.action == "rollback" and (self.share != 1.0 or self.evaluation or self.force or self.canary):
            raise ValueError('"share", "canary", "evaluation" and "force" are for promotions')
        return self

    @property
    def key(self) -> str:
        """One for all: promotions and rollbacks happen in the order of their requests."""
        return WHAT_SERVES


class ModelPromoted(Event):
    """An adapter serves: all conversations, or a share of them. Public output."""

    TYPE: ClassVar[str] = "model-promoted"

    revision: int = Field(ge=1)
    model: Identifier
    share: float = Field(gt=0, le=1)
    champion: Identifier | None = None
    """What serves the others, where `share` is below 1; None: the bare base."""
    previous: Identifier | None = None
    """What served before it, and comes back where it is rolled back; None: the bare base."""
    evaluation: Identifier | None = None
    """The examination that it passed; None: somebody insisted."""
    canary: RecipeName | None = None
    """The plan by which the share rises or ends; None: it stays until somebody changes it."""
    request_id: Identifier
    reason: Note = ""
    promoted_at: datetime

    @property
    def key(self) -> str:
        """One for all."""
        return WHAT_SERVES


class CanaryCheck(Model):
    """One thing that must not become worse while a candidate has its share, and what was seen so far."""

    measure: Literal["refused", "disliked", "slower"]
    state: Literal["open", "held", "broken"]
    """`held`: shown not to be worse by more than `by`. `broken`: shown to be. Either at any time."""
    by: float
    candidate: float | None = None
    """A share of its items; of `slower`, of the pairs of which one took clearly longer, those where it was its."""
    champion: float | None = None
    low: float | None = None
    """Of the difference, above zero is worse; at any time."""
    high: float | None = None
    items: int = Field(default=0, ge=0)
    """The candidate's."""


class CanaryProgressed(Event):
    """How a candidate does on its share of the conversations. Public output."""

    TYPE: ClassVar[str] = "canary-progressed"

    model: Identifier
    champion: Identifier | None = None
    plan: str
    """`name@version-digest`."""
    revision: int = Field(ge=1)
    """Of the change that gave it this share."""
    share: float = Field(gt=0, lt=1)
    next: Literal["wait", "raise", "roll_back"]
    reason: Note
    conversations: int = Field(ge=0)
    """That it answered at this share."""
    checks: tuple[CanaryCheck, ...]
    at: datetime

    @property
    def key(self) -> str:
        """The adapter."""
        return self.model


class ModelRolledBack(Event):
    """What was promoted last serves no more. Public output."""

    TYPE: ClassVar[str] = "model-rolled-back"

    revision: int = Field(ge=1)
    model: Identifier | None = None
    """What serves all conversations now; None: the bare base."""
    rolled_back: Identifier
    """What does not any more."""
    request_id: Identifier
    reason: Note = ""
    rolled_back_at: datetime

    @property
    def key(self) -> str:
        """One for all."""
        return WHAT_SERVES
