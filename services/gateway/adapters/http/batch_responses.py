"""Files, batches and lists of them, as OpenAI writes them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from services.gateway.domain.jobs import Job, Problem, Status, StoredFile


class FileObject(BaseModel):
    """A file."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"] = "processed"


class FileDeleted(BaseModel):
    """A file that is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class FileList(BaseModel):
    """A page of files."""

    object: Literal["list"] = "list"
    data: tuple[FileObject, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


class BatchErrors(BaseModel):
    """Why a batch failed at validation."""

    object: Literal["list"] = "list"
    data: tuple[Problem, ...]


class RequestCounts(BaseModel):
    """Lines: all, answered, and those with an error."""

    total: int
    completed: int
    failed: int


class CachedTokens(BaseModel):
    """Nothing is counted here."""

    cached_tokens: int = 0


class ReasoningTokens(BaseModel):
    """Nothing is counted here."""

    reasoning_tokens: int = 0


class BatchUsage(BaseModel):
    """Tokens of all answers."""

    input_tokens: int
    input_tokens_details: CachedTokens = CachedTokens()
    output_tokens: int
    output_tokens_details: ReasoningTokens = ReasoningTokens()
    total_tokens: int


class BatchObject(BaseModel):
    """A batch job."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str
    status: Status
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: BatchUsage
    metadata: dict[str, str] | None


class BatchList(BaseModel):
    """A page of batches."""

    object: Literal["list"] = "list"
    data: tuple[BatchObject, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


def file_object(file: StoredFile) -> FileObject:
    """A file as callers see it."""
    return FileObject(
        id=file.id,
        bytes=file.bytes,
        created_at=_seconds(file.created_at),
        expires_at=_moment(file.expires_at),
        filename=file.filename,
        purpose=file.purpose,
    )


def file_page(files: Sequence[StoredFile], limit: int) -> FileList:
    """The first `limit` of them."""
    shown = tuple(file_object(file) for file in files[:limit])
    first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
    return FileList(data=shown, first_id=first, last_id=last, has_more=len(files) > limit)


def batch_page(jobs: Sequence[Job], limit: int) -> BatchList:
    """The first `limit` of them."""
    shown = tuple(batch_object(job) for job in jobs[:limit])
    first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
    return BatchList(data=shown, first_id=first, last_id=last, has_more=len(jobs) > limit)


def batch_object(job: Job) -> BatchObject:
    """A job as callers see it."""
    moments = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    return BatchObject(
        id=job.id,
        endpoint=job.endpoint,
        errors=BatchErrors(data=job.problems) if job.problems else None,
        input_file_id=job.input_file_id,
        completion_window=job.completion_window,
        status=job.status,
        output_file_id=job.output_file_id,
        error_file_id=job.error_file_id,
        created_at=_seconds(job.created_at),
        expires_at=_seconds(job.expires_at),
        request_counts=RequestCounts(total=job.total, completed=job.completed, failed=job.failed),
        usage=BatchUsage(
            input_tokens=job.prompt_tokens,
            output_tokens=job.completion_tokens,
            total_tokens=job.prompt_tokens + job.completion_tokens,
        ),
        metadata=job.metadata,
        **{f"{name}_at": _moment(getattr(job, f"{name}_at")) for name in moments},
    )


def _moment(at: datetime | None) -> int | None:
    return None if at is None else _seconds(at)


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
