"""When a data set is due: enough examples are new or changed, or the clock says so. Knows no log and no clock."""

from dataclasses import dataclass
from datetime import datetime

from libs.cron import Cron, checked_cron, checked_zone


@dataclass(frozen=True, slots=True)
class When:
    """`after` 0: never by number. `cron` None: never by the clock."""

    after: int
    cron: str | None = None
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Raises ValueError with what is wrong and how to mend it."""
        try:
            checked_zone(self.timezone)
        except ValueError as error:
            raise ValueError(f"TAILRACE_FEEDBACK_PUBLISH_TIMEZONE={self.timezone}: {error}") from None
        try:
            if self.cron is not None:
                checked_cron(self.cron)
        except ValueError as error:
            raise ValueError(f"TAILRACE_FEEDBACK_PUBLISH_CRON={self.cron}: {error}") from None

    @property
    def ever(self) -> bool:
        """Whether there is any such time."""
        return self.after > 0 or self.cron is not None

    def due(self, new: int, last: datetime, now: datetime) -> bool:
        """Whether it is time, with so many new or changed examples since the last making. Never without any."""
        if new <= 0:
            return False
        return (0 < self.after <= new) or self._has_ticked(last, now)

    def _has_ticked(self, last: datetime, now: datetime) -> bool:
        return self.cron is not None and Cron(self.cron, self.timezone).due(last, now) is not None
