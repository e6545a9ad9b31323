"""What a tenant allows: an action for each kind of personal data and for each check, by where a text came from.

Frozen and strict: an unknown key is an error, so that a misspelt rule cannot loosen the gate in silence. Knows no
files; `adapters.policy_folder` reads them.
"""

import hashlib
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.content_safety import Provenance
from libs.personal_data import EntityType

EntityAction = Literal["allow", "mask", "flag", "refuse"]
CheckAction = Literal["allow", "flag", "refuse"]
SourceAction = Literal["allow", "flag", "drop", "refuse"]


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EntityRule(_Rule):
    """For one kind of personal data. `restore`: a masked value may be put back into the outcome."""

    action: EntityAction
    restore: bool = False


class AnswerEntityRule(_Rule):
    """For personal data that the model wrote of its own accord. It is never restored."""

    action: EntityAction


class CheckRule(_Rule):
    """What to do from which score on (0 to 1)."""

    action: CheckAction
    threshold: float = Field(gt=0, le=1)


class SourceRule(_Rule):
    """As `CheckRule`; `drop` withholds the source and lets the prompt go on without it."""

    action: SourceAction
    threshold: float = Field(gt=0, le=1)


class PersonalDataRules(_Rule):
    """`default` holds for every kind that `entities` does not name."""

    default: EntityRule
    entities: dict[EntityType, EntityRule] = Field(default_factory=dict)

    def action(self, entity_type: EntityType) -> EntityAction:
        """What to do with values of this kind."""
        return self.entities.get(entity_type, self.default).action

    def restorable(self, entity_type: EntityType) -> bool:
        """Whether masked values of this kind may come back in the outcome."""
        return self.entities.get(entity_type, self.default).restore


class AnswerPersonalDataRules(_Rule):
    """As `PersonalDataRules`, for answers."""

    default: AnswerEntityRule
    entities: dict[EntityType, AnswerEntityRule] = Field(default_factory=dict)

    def action(self, entity_type: EntityType) -> EntityAction:
        """What to do with values of this kind."""
        return self.entities.get(entity_type, self.default).action


class PromptCheckRules(_Rule):
    """One check (injection or toxicity) over a prompt, by provenance."""

    user: CheckRule
    system: CheckRule
    history: CheckRule
    source: SourceRule

    def rule(self, provenance: Provenance) -> CheckRule | SourceRule:
        """The rule for texts of this provenance."""
        rules: dict[Provenance, CheckRule | SourceRule] = {
            "user": self.user,
            "system": self.system,
            "history": self.history,
            "source": self.source,
        }
        return rules[provenance]


class AnswerRules(_Rule):
    """The way out: whole answers, and the windows of a stream."""

    personal_data: AnswerPersonalDataRules
    toxicity: CheckRule


class ChunkRules(_Rule):
    """Streamed windows follow the rules of `answer`. `enabled: false` withholds them all: answers come whole."""

    enabled: bool = True


class Policy(_Rule):
    """One tenant's rules."""

    name: str = Field(min_length=1, max_length=64)
    personal_data: PersonalDataRules
    injection: PromptCheckRules
    toxicity: PromptCheckRules
    answer: AnswerRules
    chunks: ChunkRules = ChunkRules()

    @cached_property
    def label(self) -> str:
        """`name@` and the first 12 hex digits of SHA-256 over the rules: what events say about who decided."""
        return f"{self.name}@{hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]}"
