"""Spans of time and moments as operators type them: 90s, 15m, 1h, 2d; 2026-01-31T10:00."""

import re
from datetime import UTC, datetime, timedelta

from services.console.domain.errors import ConsoleError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_span(text: str) -> timedelta:
    """The span of time. Raises ConsoleError."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if match is None:
        raise ConsoleError(f'"{text}" is no span of time; write for example 90s, 15m, 1h or 2d', exit_code=2)
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def since_ms(text: str, now: datetime) -> int:
    """The moment that long ago, in milliseconds since the epoch."""
    return int((now - read_span(text)).timestamp() * 1000)


def read_moment(text: str) -> datetime:
    """The moment, in UTC where it names no zone. Raises ConsoleError."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConsoleError(f'"{text}" is no moment; write for example 2026-01-31T10:00', exit_code=2) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
