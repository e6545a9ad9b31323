"""`/v1/files`: upload, list, look, read, delete. What is uploaded goes to the store as it comes."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from services.gateway.adapters.http.batch_responses import FileDeleted, FileList, FileObject, file_object, file_page
from services.gateway.adapters.http.batching import Batching, stored
from services.gateway.adapters.http.document import errors
from services.gateway.adapters.http.errors import ApiError
from services.gateway.adapters.http.multipart import Form, file_content
from services.gateway.domain import Caller
from services.gateway.domain.jobs import StoredFile, new_file_id
from services.gateway.ports import StorageFailed, Upload

_SHORTEST, _LONGEST = 3600, 30 * 24 * 3600
_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "JSON Lines, one request per line."},
        "purpose": {"type": "string", "enum": ["batch"]},
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {"type": "integer", "minimum": _SHORTEST, "maximum": _LONGEST},
    },
}
_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}
_CONTENT: dict[str, Any] = {
    "description": "The file's bytes",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


def add_files(router: APIRouter, parts: Batching, known: Any) -> None:
    """Adds the operations. `known` is who calls."""

    @router.post(
        "/files",
        response_model=FileObject,
        responses=errors(400, 401, 408, 413, 415, 500, 507),
        openapi_extra=_BODY,
    )
    async def create_file(request: Request, caller: Annotated[Caller, known]) -> FileObject:
        """Upload the lines of a batch."""
        form = Form()
        content = file_content(request, form, limit=parts.file_bytes, patience=parts.patience.total_seconds())
        with stored():
            async with aclosing(content), parts.files.writing() as upload:  # type: ignore[type-var]
                size = await _write_all(content, upload)
                file = _described(form, caller, size, parts)
                await upload.keep(file)
        return file_object(file)

    @router.get("/files", responses=errors(400, 401, 500))
    async def list_files(
        caller: Annotated[Caller, known],
        purpose: Annotated[str | None, Query(max_length=64)] = None,
        after: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
        order: Literal["asc", "desc"] = "desc",
    ) -> FileList:
        """The tenant's files, the newest first."""
        found = [file for file in await parts.files.files_of(caller.tenant) if purpose in {None, file.purpose}]
        newest_first = order == "desc"
        found.sort(key=lambda file: file.id, reverse=newest_first)
        if after is not None:
            found = [file for file in found if (file.id < after if newest_first else file.id > after)]
        return file_page(found, limit)

    @router.get("/files/{file_id}", responses=errors(400, 401, 404, 500))
    async def retrieve_file(file_id: str, caller: Annotated[Caller, known]) -> FileObject:
        """One file."""
        return file_object(await parts.file(caller, file_id))

    @router.get(
        "/files/{file_id}/content", response_class=Response, responses={200: _CONTENT, **errors(400, 401, 404, 500)}
    )
    async def read_file(file_id: str, caller: Annotated[Caller, known]) -> Response:
        """A file's content."""
        file = await parts.file(caller, file_id)
        try:
            content = await parts.files.read(file)
        except StorageFailed:
            raise parts.no_file(file_id) from None
        headers = {"content-length": str(file.bytes)}
        return StreamingResponse(_at_most(content, file.bytes), headers=headers, media_type="application/octet-stream")

    @router.delete("/files/{file_id}", responses=errors(400, 401, 404, 500, 507))
    async def delete_file(file_id: str, caller: Annotated[Caller, known]) -> FileDeleted:
        """Remove a file. A batch that reads it goes on."""
        with stored():
            if not await parts.files.delete(caller.tenant, file_id):
                raise parts.no_file(file_id)
        return FileDeleted(id=file_id)


async def _write_all(content: AsyncIterator[bytes], upload: Upload) -> int:
    size = 0
    async for piece in content:
        try:
            await upload.write(piece)
        except StorageFailed:
            # Read to its end, so that who is still sending gets to read the answer.
            async for _ in content:
                pass
            raise
        size += len(piece)
    return size


def _described(form: Form, caller: Caller, size: int, parts: Batching) -> StoredFile:
    purpose = form.fields.get("purpose")
    if purpose != "batch":
        raise ApiError(400, "invalid_request", 'files are taken for batches only: send "purpose=batch"', "purpose")
    if size == 0:
        raise ApiError(400, "invalid_request", "the file is empty: write one request per line", "file")
    now = parts.clock()
    return StoredFile(
        id=new_file_id(now, parts.new_id()),
        tenant=caller.tenant,
        bytes=size,
        created_at=now,
        filename=form.filename or "upload.jsonl",
        purpose="batch",
        expires_at=now + (_asked_to_last(form) or parts.files_last),
    )


def _asked_to_last(form: Form) -> timedelta | None:
    given = form.fields.get("expires_after[seconds]")
    if given is None:
        return None
    if not given.isdecimal() or not _SHORTEST <= int(given[:12]) <= _LONGEST:
        message = f'"expires_after[seconds]" must be {_SHORTEST} to {_LONGEST}'
        raise ApiError(400, "invalid_request", message, "expires_after[seconds]")
    return timedelta(seconds=int(given))


async def _at_most(content: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    async for piece in content:
        yield piece[:size]
        size -= len(piece)
        if size <= 0:
            return
