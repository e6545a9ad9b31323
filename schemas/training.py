"""From feedback to a better model: data sets for now. All of it lies past the gate."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import Event, Identifier

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
