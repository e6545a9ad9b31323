"""From feedback to a better model: data sets, trainings, and the adapters that come of them. All past the gate.

`TrainingRequested` is public input: unknown fields are errors.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, StringConstraints

from schemas.base import ArtefactName, Event, Identifier

RowKind = Literal["dpo", "kto", "sft"]
SplitName = Literal["train", "validation", "test"]


class DatasetPublished(Event):
    """A data set for training is there: immutable, whole, and named by its content. Public output."""

    TYPE: ClassVar[str] = "dataset-published"

    name: Identifier
    """SHA-256 in hex of its content; the name of its folder among the data sets."""
    policy: Identifier
    """Name of the policy that it was made by: data sets of one policy follow each other."""
    policy_version: str
    """`name@version-digest` of the rules."""
    rows: dict[RowKind, dict[SplitName, int]]
    previous: Identifier | None = None
    """The data set of this policy that was the last one before."""
    added: int = Field(ge=0)
    """Rows that `previous` does not have."""
    removed: int = Field(ge=0)
    """Rows of `previous` that are not in it."""
    erased_subjects: int = Field(ge=0)
    """Persons whose judgements had been erased before it was made."""
    sources: dict[str, dict[str, int]]
    """By topic and partition, the offset before which examples were read."""
    published_at: datetime

    @property
    def key(self) -> str:
        """The policy."""
        return self.policy


RecipeName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](-?[a-z0-9])*$", max_length=40)]
Method = Literal["dpo", "kto", "sft"]


class TrainingRequested(Event):
    """Somebody, or a recipe's own rule, wants a model to be trained. Public input on `training-requested`.

    The same `request_id` again is the same training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    TYPE: ClassVar[str] = "training-requested"

    request_id: Identifier
    recipe: RecipeName
    dataset: ArtefactName | None = None
    """Its name or the first four or more digits of it. None: the latest when the training begins."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """None: the recipe's own."""
    reason: Literal["request", "rows", "schedule"] = "request"

    @property
    def key(self) -> str:
        """Trainings by one recipe follow each other."""
        return self.recipe


class TrainingProgressed(Event):
    """How far a training has come. Said a few times a minute; a training begun again says some of it again."""

    TYPE: ClassVar[str] = "training-progressed"

    run_id: Identifier
    request_id: Identifier
    recipe: RecipeName
    dataset: Identifier
    status: Literal["started", "resumed", "training", "trained"]
    step: int = Field(ge=0)
    steps: int = Field(ge=0)
    """Of the whole training; 0: not known yet."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """As TRL names them; latest values."""
    at: datetime

    @property
    def key(self) -> str:
        """The training."""
        return self.run_id


class ModelTrained(Event):
    """A LoRA adapter is trained and registered as `candidate`. It serves nobody yet. Public output."""

    TYPE: ClassVar[str] = "model-trained"

    model: Identifier
    """The adapter: its recipe's name and the first digits of its content's hash; its folder is named so."""
    version: str
    """In the registry."""
    run_id: Identifier
    request_id: Identifier
    recipe: str
    """`name@version-digest` of its rules."""
    method: Method
    base: str
    """The model it was trained on, by name."""
    started_from: Identifier | None = None
    """The adapter it was trained on from; None: the bare base."""
    dataset: Identifier
    rows: int = Field(ge=1)
    """Trained on; replayed ones among them."""
    replayed: int = Field(ge=0)
    seed: int
    steps: int = Field(ge=1)
    metrics: dict[str, float]
    """Of the end, as TRL names them."""
    trained_at: datetime

    @property
    def key(self) -> str:
        """The adapter."""
        return self.model
