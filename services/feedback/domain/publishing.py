"""When a data set is due: enough examples are new or changed, or the clock says so. Knows no log and no clock."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError


@dataclass(frozen=True, slots=True)
class When:
    """`after` 0: never by number. `cron` None: never by the clock."""

    after: int
    cron: str | None = None
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Raises ValueError with what is wrong and how to mend it."""
        try:
            zone = ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"there is no time zone {self.timezone!r}; write an IANA name, e.g. Europe/Berlin, in "
                "TAILRACE_FEEDBACK_PUBLISH_TIMEZONE"
            ) from None
        try:
            if self.cron is not None:
                CronSim(self.cron, datetime.now(zone))
        except CronSimError as error:
            raise ValueError(
                f"TAILRACE_FEEDBACK_PUBLISH_CRON cannot be read ({error}); write minute, hour, day of month, month, "
                'day of week, e.g. "30 2 * * mon-fri"'
            ) from None

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
        if self.cron is None:
            return False
        tick = next(CronSim(self.cron, last.astimezone(ZoneInfo(self.timezone))), None)
        return tick is not None and tick.astimezone(UTC) <= now
