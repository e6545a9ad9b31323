"""What post-processing needs from outside."""

from typing import Protocol

from schemas.responses import ResponseReady


class Opener(Protocol):
    """Opens sealed mappings."""

    def open(self, box: str, key_id: str | None = None) -> dict[str, str]:
        """The mapping {placeholder: value}. Raises UnopenableBoxError."""


class OutcomeLog(Protocol):
    """Finds outcomes written earlier."""

    async def find(self, partition: int, identity: tuple[str, str], since_ms: int) -> ResponseReady | None:
        """The outcome of (tenant, prompt id), looked for from that time on. None: it is no longer kept."""
