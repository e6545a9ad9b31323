"""`/v1/schedules`: the tenant's schedules as they stand. They are changed in their file, not here."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from libs.clock import Clock
from services.gateway.adapters.http.document import errors
from services.gateway.adapters.schedule_file import ScheduleFile
from services.gateway.domain import Caller
from services.gateway.domain.schedules import Schedule
from services.gateway.ports import ScheduleStore


class ScheduleObject(BaseModel):
    """A schedule, when it runs next, and its last run. Times are Unix seconds."""

    name: str
    object: Literal["schedule"] = "schedule"
    cron: str
    timezone: str
    enabled: bool
    overlap: Literal["skip", "allow"]
    next_at: int | None
    last_tick: int | None
    last_batch_id: str | None
    under_way: tuple[str, ...]
    """Batches that have not ended, or whose results are not where they go yet."""
    problem: str | None


class ScheduleList(BaseModel):
    """All schedules of the tenant."""

    object: Literal["list"] = "list"
    data: tuple[ScheduleObject, ...]
    problem: bool
    """The file of schedules cannot be used as it is now; the last good ones are in force. The log says why."""


@dataclass(frozen=True, slots=True)
class Schedules:
    """What the operation reads."""

    file: ScheduleFile
    store: ScheduleStore
    clock: Clock

    async def shown(self, schedule: Schedule) -> ScheduleObject:
        """One of them."""
        standing = await self.store.load(schedule)
        last = standing.last if standing else None
        following = schedule.next(self.clock()) if schedule.enabled else None
        return ScheduleObject(
            name=schedule.name,
            cron=schedule.cron,
            timezone=schedule.timezone,
            enabled=schedule.enabled,
            overlap=schedule.overlap,
            next_at=int(following.timestamp()) if following else None,
            last_tick=int(last.tick.timestamp()) if last else None,
            last_batch_id=last.job_id if last else None,
            under_way=tuple(run.job_id for run in standing.under_way) if standing else (),
            problem=standing.problem if standing else None,
        )


def add_schedules(router: APIRouter, parts: Schedules, known: Any) -> None:
    """Adds the operation. `known` is who calls."""

    @router.get("/schedules", responses=errors(400, 401, 500))
    async def list_schedules(caller: Annotated[Caller, known]) -> ScheduleList:
        """The tenant's schedules."""
        own = [schedule for schedule in parts.file.schedules if schedule.tenant == caller.tenant]
        data = [await parts.shown(schedule) for schedule in own]
        return ScheduleList(data=tuple(data), problem=parts.file.problem is not None)
