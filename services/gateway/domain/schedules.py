"""Schedules: when a batch is run, by cron expression and time zone; which tick is due. Knows no file and no clock.

A tick that was missed (nobody was there, or the batch before it still ran) is made up for once, however many were
missed. A tick has one run at most: the job's id follows from the schedule and the tick.
"""

import hashlib
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from libs.cron import Cron, checked_cron, checked_zone
from schemas.base import TenantName


class Schedule(BaseModel):
    """One entry of the file of schedules."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    cron: str
    """Five fields, as Debian's cron reads them, e.g. `30 2 * * mon-fri`."""
    timezone: str = "UTC"
    input: str = Field(min_length=1)
    """A JSON Lines file, or a glob of several, read one after the other; relative to the file of schedules."""
    results: str = Field(min_length=1)
    """A folder, relative to that file, for `<name>-<tick>.output.jsonl`, `.errors.jsonl`, `.status.json`."""
    tenant: TenantName = "default"
    overlap: Literal["skip", "allow"] = "skip"
    """`skip`: a tick waits while the run before it is under way; several that waited are one run."""
    enabled: bool = True

    _known_zone = field_validator("timezone")(checked_zone)
    _readable_cron = field_validator("cron")(checked_cron)

    def next(self, after: datetime) -> datetime | None:
        """The first tick after that time; None: there is none."""
        return Cron(self.cron, self.timezone).next(after)

    def due(self, after: datetime, now: datetime) -> datetime | None:
        """The last tick later than `after` and not later than `now`."""
        return Cron(self.cron, self.timezone).due(after, now)

    def job_id(self, tick: datetime) -> str:
        """The one job of a tick."""
        return f"batch_{self._tick_digits(tick)}"

    def file_id(self, tick: datetime) -> str:
        """The input of a tick."""
        return f"file-{self._tick_digits(tick)}"

    def _tick_digits(self, tick: datetime) -> str:
        name = hashlib.sha256(f"{self.tenant}/{self.name}".encode()).hexdigest()
        return f"{int(tick.timestamp() * 1000):012x}{name[:16]}"


class Run(BaseModel):
    """A run whose results are not where they are to go yet."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tick: datetime
    job_id: str


class Standing(BaseModel):
    """What is known of a schedule between two looks, and after a restart."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    seen: datetime
    """The last tick that was run, or when the schedule was first seen: ticks before that are nobody's."""
    under_way: tuple[Run, ...] = ()
    last: Run | None = None
    problem: str | None = None
    """What went wrong at the last tick."""
