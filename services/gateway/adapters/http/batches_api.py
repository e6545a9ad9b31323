"""`/v1/batches`: start, look, list, cancel."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from services.gateway.adapters.http.batch_responses import BatchList, BatchObject, batch_object, batch_page
from services.gateway.adapters.http.batching import Batching, stored
from services.gateway.adapters.http.body import read_json
from services.gateway.adapters.http.document import body, errors
from services.gateway.adapters.http.errors import ApiError
from services.gateway.adapters.http.requests import BatchRequest
from services.gateway.domain import Caller
from services.gateway.domain.jobs import CANCELLABLE, JOB_ID, Job, new_job_id


def add_batches(router: APIRouter, parts: Batching, known: Any) -> None:
    """Adds the operations. `known` is who calls."""

    @router.post(
        "/batches",
        response_model=BatchObject,
        responses=errors(400, 401, 404, 408, 413, 415, 500, 507),
        openapi_extra=body(BatchRequest),
    )
    async def create_batch(request: Request, caller: Annotated[Caller, known]) -> BatchObject:
        """Start a batch over an uploaded file."""
        asked = await read_json(request, BatchRequest, parts.limits)
        if await parts.files.find(caller.tenant, asked.input_file_id) is None:
            raise parts.no_file(asked.input_file_id, "input_file_id")
        job = _job(asked, caller, parts)
        with stored():
            await parts.jobs.create(job)
        parts.created()
        return batch_object(job)

    @router.get("/batches", responses=errors(400, 401, 500))
    async def list_batches(
        caller: Annotated[Caller, known],
        after: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> BatchList:
        """The tenant's batches, the newest first."""
        if after is not None and not JOB_ID.fullmatch(after):
            raise ApiError(400, "invalid_request", '"after" must be the id of a batch', "after")
        return batch_page(await parts.jobs.jobs_of(caller.tenant, after=after, limit=limit + 1), limit)

    @router.get("/batches/{batch_id}", responses=errors(400, 401, 404, 500))
    async def retrieve_batch(batch_id: str, caller: Annotated[Caller, known]) -> BatchObject:
        """One batch."""
        return batch_object(await parts.job(caller, batch_id))

    @router.post("/batches/{batch_id}/cancel", responses=errors(400, 401, 404, 409, 500, 507))
    async def cancel_batch(batch_id: str, caller: Annotated[Caller, known]) -> BatchObject:
        """Cancel a batch: what is in flight ends, the rest is not asked; results so far can be read."""
        job = await parts.job(caller, batch_id)
        if job.status in CANCELLABLE:
            with stored():
                await parts.jobs.ask_cancel(caller.tenant, batch_id, parts.clock())
            parts.created()
            return batch_object(await parts.job(caller, batch_id))
        if job.status not in {"cancelling", "cancelled"}:
            message = f'the batch cannot be cancelled: its status is "{job.status}"'
            raise ApiError(409, "batch_not_cancellable", message)
        return batch_object(job)


def _job(asked: BatchRequest, caller: Caller, parts: Batching) -> Job:
    now = parts.clock()
    return Job(
        id=new_job_id(now, parts.new_id()),
        tenant=caller.tenant,
        endpoint=asked.endpoint,
        input_file_id=asked.input_file_id,
        completion_window=asked.completion_window,
        created_at=now,
        expires_at=now + parts.window,
        metadata=asked.metadata,
        files_last=asked.output_expires_after.seconds if asked.output_expires_after else None,
    )
