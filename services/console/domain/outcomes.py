"""Where a prompt's outcome lies, and what it is: enough to say that it has one."""

from dataclasses import dataclass

from services.console.domain.addresses import Address

Identity = tuple[str, str]
"""Tenant and prompt id."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A prompt's outcome, without its text."""

    status: str
    code: str | None
    at: Address

    def __str__(self) -> str:
        return f"{self.status}{f' ({self.code})' if self.code else ''} at {self.at}"
