"""The parts that run batches, made from the settings; a part of `app.py`."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from libs.clock import utc_now
from libs.service import Runtime
from services.gateway.adapters.batch_storage import FolderFiles, FolderJobs
from services.gateway.adapters.bus_log import BusLog
from services.gateway.adapters.http.batch_translation import ChatTranslation
from services.gateway.adapters.http.batching import Batching
from services.gateway.adapters.http.body import BodyLimits
from services.gateway.adapters.http.schedules_api import Schedules
from services.gateway.adapters.schedule_file import ScheduleFile
from services.gateway.adapters.schedule_folder import ScheduleFolder
from services.gateway.domain import Desk
from services.gateway.handlers.batch_asking import Asker
from services.gateway.handlers.batch_keeper import Keeper
from services.gateway.handlers.batch_run import Rules
from services.gateway.handlers.batch_schedules import Scheduler
from services.gateway.settings import GatewaySettings


def storage(settings: GatewaySettings, runtime: Runtime) -> tuple[FolderFiles, FolderJobs]:
    """Files and jobs, in one folder."""
    root = _root(settings, runtime)
    files = FolderFiles(root, utc_now)
    longest = settings.max_body_bytes
    return files, FolderJobs(root, files, retention=settings.files_last, longest_line=longest)


def _root(settings: GatewaySettings, runtime: Runtime) -> Path:
    return settings.batch_dir or runtime.settings.data_dir / "batches"


def batch_keeper(settings: GatewaySettings, jobs: FolderJobs, desk: Desk, log: BusLog) -> Keeper:
    """Runs the jobs."""
    asker = Asker(
        desk=desk,
        log=log,
        translation=ChatTranslation(settings.models),
        slots=asyncio.Semaphore(settings.batch_in_flight),
        ask_again=settings.batch_ask_again,
    )
    rules = Rules(
        lines=settings.max_batch_lines,
        longest_line=settings.max_body_bytes,
        look=settings.batch_look,
        farewell=settings.batch_farewell,
        files_last=settings.files_last,
    )
    return Keeper(jobs, asker, rules, utc_now, at_once=settings.batch_jobs)


def scheduler(
    settings: GatewaySettings, runtime: Runtime, files: FolderFiles, jobs: FolderJobs, keeper: Keeper
) -> tuple[Scheduler, Schedules]:
    """Starts jobs by the clock; and what the HTTP operation reads."""
    found = ScheduleFile(settings.schedules_file)
    base = (settings.schedules_file or Path()).absolute().parent
    store = ScheduleFolder(_root(settings, runtime), base)
    made = Scheduler(
        found,
        store,
        files,
        jobs,
        utc_now,
        window=settings.batch_window,
        files_last=settings.files_last,
        look=settings.batch_look,
        started=keeper.wake,
    )
    return made, Schedules(found, store, utc_now)


def batch_operations(
    settings: GatewaySettings, files: FolderFiles, jobs: FolderJobs, keeper: Keeper, new_id: Callable[[], str]
) -> Batching:
    """What the HTTP operations work with."""
    return Batching(
        files=files,
        jobs=jobs,
        clock=utc_now,
        new_id=new_id,
        created=keeper.wake,
        file_bytes=settings.max_file_bytes,
        files_last=settings.files_last,
        window=settings.batch_window,
        patience=settings.body_timeout,
        limits=BodyLimits(settings.max_body_bytes, settings.body_timeout),
    )
