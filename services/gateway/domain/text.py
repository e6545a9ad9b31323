"""What one caller has been sent of an answer, and what the outcome still adds to it."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Streamed:
    """The text sent so far."""

    parts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Notes text that was sent."""
        self.parts.append(text)

    @property
    def text(self) -> str:
        """All that was sent."""
        return "".join(self.parts)

    def rest_of(self, whole: str) -> str | None:
        """What must still be sent so that the caller has `whole`. None: what was sent is not its beginning.

        White space at the end of what was sent does not count: the outcome is trimmed, a stream cannot be.
        """
        sent = self.text
        if whole.startswith(sent):
            return whole[len(sent) :]
        return "" if whole == sent.rstrip() else None
