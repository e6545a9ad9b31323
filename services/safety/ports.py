"""What the gate needs from outside: three detectors and the policies. Each port is one to three methods.

A detector raises whatever it likes; the gate then stays shut. Detectors must be linear in the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from libs.content_safety import Provenance
from libs.personal_data import Finding
from services.safety.domain.policy import Policy


class PersonalDataDetector(Protocol):
    """Finds values that identify a person or open a door."""

    def find(self, text: str) -> Sequence[Finding]:
        """Findings without overlaps, in reading order. Placeholders (`<EMAIL_ADDRESS_1>`) are none."""
        ...


class InjectionDetector(Protocol):
    """Judges how much a text tries to override the model's instructions."""

    def score(self, text: str, provenance: Provenance) -> float:
        """From 0 (harmless) to 1 (certain). A source that gives orders is worse than a user who does."""
        ...


class ToxicityDetector(Protocol):
    """Judges threats, hate and abuse."""

    def score(self, text: str) -> float:
        """From 0 (harmless) to 1 (certain)."""
        ...


class Policies(Protocol):
    """The rules in force."""

    def policy_for(self, tenant: str) -> Policy:
        """The tenant's policy. Raises Retryable when it cannot be known: then prompts wait."""
        ...


@dataclass(frozen=True, slots=True)
class Detectors:
    """The three checks that a text goes through."""

    personal_data: PersonalDataDetector
    injection: InjectionDetector
    toxicity: ToxicityDetector
