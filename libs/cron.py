"""Cron expressions with a time zone: are they readable, and which tick is due. Reads no clock."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError


@dataclass(frozen=True, slots=True)
class Cron:
    """Five fields, as Debian's cron reads them, e.g. `30 2 * * mon-fri`, in an IANA time zone."""

    expression: str
    timezone: str = "UTC"

    def next(self, after: datetime) -> datetime | None:
        """The first tick after that time, in UTC; None: there is none."""
        found = next(self._ticks(after), None)
        return None if found is None else found.astimezone(UTC)

    def due(self, after: datetime, now: datetime) -> datetime | None:
        """The last tick later than `after` and not later than `now`: ticks that were missed are one."""
        following = self.next(after)
        if following is None or following > now:
            return None
        last = next(self._ticks(now, back=True), None)
        found = following if last is None else max(following, last.astimezone(UTC))
        # Looking back excludes the moment itself.
        on_time = self.next(found)
        return on_time if on_time is not None and on_time <= now else found

    def _ticks(self, after: datetime, *, back: bool = False) -> CronSim:
        return CronSim(self.expression, after.astimezone(ZoneInfo(self.timezone)), reverse=back)


def checked_zone(name: str) -> str:
    """The name of a time zone. Raises ValueError with how to mend it."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("no such time zone; write an IANA name, e.g. Europe/Berlin") from None
    return name


def checked_cron(expression: str) -> str:
    """An expression that can be read. Raises ValueError with how to mend it."""
    try:
        CronSim(expression, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(
            f"the cron expression cannot be read ({error}); write minute, hour, day of month, month, day of week, "
            'e.g. "30 2 * * mon-fri"'
        ) from None
    return expression
