"""What operators write in files of their own: policies, recipes, gates. Frozen and strict.

An unknown name is an error, so that a misspelt rule cannot fall back to a default in silence.
"""

import hashlib
from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Rules(Section):
    """A page of them, with a name and its author's own count."""

    name: str
    version: int = Field(ge=1)
    """The digest tells whether the rules are the same."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the rules in hex, spelt-out defaults included."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @cached_property
    def label(self) -> str:
        """`name@version-digest`, with 12 digits of it."""
        return f"{self.name}@{self.version}-{self.digest[:12]}"
