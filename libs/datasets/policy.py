"""The policy: what feedback becomes, who counts, what is left out, how rows are split.

Frozen and strict: an unknown name is an error, so that a misspelt rule cannot let rows through in silence. Knows no
files; `read_policy` reads them.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from libs.datasets._names import Split
from libs.rules import Rules, Section
from schemas.base import TenantName

Share = Annotated[float, Field(ge=0, le=1)]
Category = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Judges(Section):
    """Who counts, and how many must say the same."""

    minimum: int = Field(default=1, ge=1)
    agreement: float = Field(default=0.66, gt=0.5, le=1)
    anonymous: bool = True
    judgements_per_subject: int | None = Field(default=100, ge=1)


class Ratings(Section):
    """Ratings from `up_from` on are for an answer, up to `down_to` against it."""

    up_from: int = Field(default=4, ge=1, le=5)
    down_to: int = Field(default=2, ge=1, le=5)

    @model_validator(mode="after")
    def _up_lies_above_down(self) -> Self:
        if self.down_to >= self.up_from:
            raise ValueError('"down_to" must be less than "up_from"')
        return self


class Votes(Section):
    """Which judgements are votes."""

    thumbs: bool = True
    ratings: Ratings | None = Ratings()


class Reports(Section):
    """Whether a report takes an answer out, and which categories do. None: all."""

    exclude: bool = True
    categories: tuple[Category, ...] | None = None


class Become(Section):
    """What becomes what."""

    votes: tuple[Literal["kto", "sft"], ...] = ("kto",)
    edits: tuple[Literal["sft", "dpo"], ...] = ("sft", "dpo")
    siblings: tuple[Literal["dpo"], ...] = ("dpo",)
    choices: tuple[Literal["dpo"], ...] = ("dpo",)


class Characters(Section):
    """Bounds of a text's length, both inclusive."""

    minimum: int = Field(default=1, ge=1)
    maximum: int = Field(default=16_000, ge=1)

    @model_validator(mode="after")
    def _minimum_is_not_above(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError('"minimum" must not be greater than "maximum"')
        return self


class EditDistance(Section):
    """Bounds of the share of characters that differ (Levenshtein by the longer text), both inclusive."""

    minimum: Share = 0.01
    maximum: Share = 1.0

    @model_validator(mode="after")
    def _minimum_is_not_above(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError('"minimum" must not be greater than "maximum"')
        return self


class Filters(Section):
    """Which rows are good enough."""

    prompt_characters: int = Field(default=32_000, ge=1)
    completion_characters: Characters = Characters()
    length_ratio: float | None = Field(default=8, ge=1)
    edit_distance: EditDistance = EditDistance()


class NearDuplicates(Section):
    """From which Jaccard similarity on two rows are one."""

    similarity: float = Field(default=0.85, ge=0.5, le=1)


class Splits(Section):
    """Shares of the conversations. Another `salt` deals them anew."""

    train: Share = 0.9
    validation: Share = 0.05
    test: Share = 0.05
    salt: str = "tailrace"

    @model_validator(mode="after")
    def _shares_are_a_whole(self) -> Self:
        if abs(self.train + self.validation + self.test - 1) > 1e-9:
            raise ValueError('"train", "validation" and "test" must sum up to 1')
        return self

    def at(self, point: float) -> Split:
        """The split of a point between 0 and 1."""
        if point < self.test:
            return "test"
        return "validation" if point < self.test + self.validation else "train"


class Policy(Rules):
    """All rules of one data set."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    tenants: tuple[TenantName, ...] | None = None
    judges: Judges = Judges()
    votes: Votes = Votes()
    reports: Reports = Reports()
    become: Become = Become()
    pairs_per_prompt: int = Field(default=4, ge=1, le=1000)
    filters: Filters = Filters()
    near_duplicates: NearDuplicates | None = NearDuplicates()
    splits: Splits = Splits()
