"""What files and jobs promise, in memory and in a folder alike; and what only a folder has to."""

import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.gateway.adapters.batch_storage import FolderFiles, FolderJobs, MemoryStorage
from services.gateway.domain.batch_lines import RawLine, Request, Result, Unusable, error_line, read_line, response_line
from services.gateway.domain.jobs import Job, StoredFile, new_file_id, new_job_id, prompt_id, result_file_id
from services.gateway.ports import Files, Jobs, StorageFailed, Workspace

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RANDOM = "0123456789abcdef"


class Stored:
    """Both ports, and a clock set by hand."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.now = NOW
        self.folder = folder
        self.files: Files
        self.jobs: Jobs
        if kind == "memory":
            storage = MemoryStorage(lambda: self.now, longest_line=100)
            self.files, self.jobs = storage.files, storage.jobs
        else:
            self.files = FolderFiles(folder, lambda: self.now)
            self.jobs = FolderJobs(folder, self.files, retention=timedelta(days=30), longest_line=100)

    async def file(self, content: bytes = b"{}\n", tenant: str = "default", **fields: Any) -> StoredFile:
        file = StoredFile(
            id=new_file_id(self.now, fields.pop("random", RANDOM)), tenant=tenant, bytes=len(content),
            created_at=self.now, filename="f", purpose="batch", **fields,
        )  # fmt: skip
        async with self.files.writing() as upload:
            await upload.write(content)
            await upload.keep(file)
        return file

    async def job(self, content: bytes = b"{}\n", **fields: Any) -> Job:
        file = await self.file(content)
        job = Job(
            id=new_job_id(self.now, RANDOM), tenant="default", endpoint="/v1/chat/completions", input_file_id=file.id,
            completion_window="24h", created_at=self.now, expires_at=self.now + timedelta(hours=24), **fields,
        )  # fmt: skip
        assert await self.jobs.create(job)
        return job

    async def claim(self, job: Job) -> Workspace:
        workspace = await self.jobs.claim(job.tenant, job.id)
        assert workspace is not None
        return workspace


@pytest.fixture(params=["memory", "folder"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    return Stored(request.param, tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Stored:
    return Stored("folder", tmp_path)


async def whole(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_a_file_is_there_once_it_is_kept_and_gone_once_it_is_deleted(stored: Stored) -> None:
    file = await stored.file(b"content")
    assert await stored.files.find("default", file.id) == file
    assert await whole(await stored.files.read(file)) == b"content"
    assert await stored.files.delete("default", file.id)
    assert await stored.files.find("default", file.id) is None
    assert not await stored.files.delete("default", file.id)


async def test_nothing_remains_of_an_upload_that_was_not_kept(stored: Stored) -> None:
    async with stored.files.writing() as upload:
        await upload.write(b"half")
    assert await stored.files.files_of("default") == []
    assert [path for path in stored.folder.rglob("*") if path.is_file()] == []


async def test_files_are_a_tenants_own_and_expire(stored: Stored) -> None:
    file = await stored.file(expires_at=NOW + timedelta(days=1))
    assert await stored.files.find("acme", file.id) is None
    assert not await stored.files.delete("acme", file.id)
    assert len(await stored.files.files_of("default")) == 1
    stored.now += timedelta(days=1)
    assert await stored.files.find("default", file.id) is None
    assert await stored.files.files_of("default") == []


@pytest.mark.parametrize("name", ["../secret", "file-", "file-" + "0" * 28 + "/..", "", "."])
async def test_names_that_are_no_ids_are_not_there(stored: Stored, name: str) -> None:
    assert await stored.files.find("default", name) is None
    assert await stored.jobs.find("default", name) is None


async def test_a_job_is_created_once_and_held_by_one(stored: Stored) -> None:
    job = await stored.job()
    assert not await stored.jobs.create(job)
    assert await stored.jobs.unfinished() == [("default", job.id)]
    workspace = await stored.claim(job)
    assert await stored.jobs.claim("default", job.id) is None
    await workspace.release()
    again = await stored.claim(job)
    await again.save(job.moved("completed", NOW))
    await again.release()
    assert await stored.jobs.claim("default", job.id) is None
    assert await stored.jobs.unfinished() == []


async def test_cancelling_is_seen_by_callers_and_by_who_runs_the_job(stored: Stored) -> None:
    job = await stored.job()
    workspace = await stored.claim(job)
    assert await workspace.cancel_asked() is None
    await stored.jobs.ask_cancel("default", job.id, NOW)
    await stored.jobs.ask_cancel("default", job.id, NOW + timedelta(hours=1))
    assert await workspace.cancel_asked() == NOW
    found = await stored.jobs.find("default", job.id)
    assert found is not None
    assert (found.status, found.cancelling_at) == ("cancelling", NOW)
    await workspace.save(job.moved("finalizing", NOW))
    found = await stored.jobs.find("default", job.id)
    assert found is not None
    assert found.status == "finalizing"
    await workspace.release()


async def test_lines_come_with_their_numbers_and_long_ones_without_their_content(stored: Stored) -> None:
    lines = [b"\xef\xbb\xbf{1}", b"", b"  ", b"x" * 200, b"{2}\r", b"y" * 99, b"last"]
    job = await stored.job(b"\n".join(lines))
    workspace = await stored.claim(job)
    found = [line for group in [g async for g in workspace.input()] for line in group]
    assert [(line.number, line.data) for line in found] == [
        (1, b"{1}"), (4, None), (5, b"{2}"), (6, b"y" * 99), (7, b"last"),
    ]  # fmt: skip
    await workspace.release()


async def test_the_input_outlives_its_file(stored: Stored) -> None:
    job = await stored.job(b"line\n")
    await stored.files.delete("default", job.input_file_id)
    workspace = await stored.claim(job)
    assert [len(group) async for group in workspace.input()] == [1]
    await workspace.release()


def result(job: Job, number: int) -> bytes:
    return error_line(job, Unusable(number, f"c-{number}", "code", "message"))


async def test_results_become_a_file_when_they_are_published(stored: Stored) -> None:
    job = await stored.job()
    workspace = await stored.claim(job)
    await workspace.append("errors", result(job, 1))
    await workspace.append("errors", result(job, 2))
    file_id = result_file_id(job.id, "errors")
    assert await stored.files.find("default", file_id) is None
    file = StoredFile(id=file_id, tenant="default", bytes=0, created_at=NOW, filename="e", purpose="batch_output")
    assert await workspace.publish("output", file) is None
    kept = await workspace.publish("errors", file)
    assert kept is not None
    content = await whole(await stored.files.read(kept))
    assert content == result(job, 1) + result(job, 2)
    assert kept.bytes == len(content)
    await workspace.release()


async def test_jobs_are_listed_newest_first(stored: Stored) -> None:
    ids = []
    for n in range(4):
        stored.now = NOW + timedelta(seconds=n)
        ids.append((await stored.job()).id)
    found = await stored.jobs.jobs_of("default", after=ids[3], limit=2)
    assert [job.id for job in found] == [ids[2], ids[1]]
    assert await stored.jobs.jobs_of("acme", after=None, limit=9) == []


@pytest.mark.parametrize("torn", [b'{"id": "batch_re', b"\x00" * 40, b"\x00" * 20 + b"\n", b"{}\n"])
async def test_what_a_crash_left_half_written_is_cut_off(folder: Stored, torn: bytes) -> None:
    job = await folder.job()
    workspace = await folder.claim(job)
    await workspace.append("output", result(job, 1))
    path = folder.folder / "files" / "default" / result_file_id(job.id, "output")
    with path.open("ab") as file:
        file.write(torn)
    await workspace.release()
    workspace = await folder.claim(job)
    assert [lines async for lines in workspace.results("output")] == [[result(job, 1)]]
    await workspace.append("output", result(job, 2))
    assert path.read_bytes() == result(job, 1) + result(job, 2)
    await workspace.release()


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """Files of this process cannot grow beyond so many bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_leaves_no_half_upload_and_no_half_result(folder: Stored) -> None:
    job = await folder.job()
    workspace = await folder.claim(job)
    await workspace.append("output", result(job, 1))
    before = sorted(path for path in folder.folder.rglob("*") if path.is_file())
    with no_room_beyond(4096):
        with pytest.raises(StorageFailed):
            await folder.file(b"x" * 100_000, random="f" * 16)
        with pytest.raises(StorageFailed):
            await workspace.append("output", result(job, 2) * 100)
        with pytest.raises(StorageFailed):
            await workspace.save(job.changed(metadata={"k": "x" * 8000}))
    assert sorted(path for path in folder.folder.rglob("*") if path.is_file()) == before
    assert [lines async for lines in workspace.results("output")] == [[result(job, 1)]]
    assert (await workspace.load()).metadata is None
    await workspace.release()


async def test_what_has_expired_and_what_a_crash_left_is_swept_away(folder: Stored) -> None:
    job = await folder.job(status="completed")
    await folder.file(random="e" * 16, expires_at=NOW + timedelta(days=1))
    (folder.folder / "uploads").mkdir(exist_ok=True)
    (folder.folder / "uploads" / "left").write_bytes(b"half")
    await folder.jobs.sweep(datetime.now(UTC) + timedelta(days=400))
    assert await folder.jobs.find("default", job.id) is None
    left = {path.name for path in folder.folder.rglob("*") if path.is_file() and path.parent.name != "unfinished"}
    assert left == {job.input_file_id, f"{job.input_file_id}.json"}


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (b"{", "invalid_json_line", "line 3 is not valid JSON"),
        (b"[]", "invalid_request", "line 3 must be a JSON object"),
        (b'{"method": "POST", "url": "/e", "body": {}}', "missing_required_parameter", '"custom_id" is missing'),
        (b'{"custom_id": "c", "method": "GET", "url": "/e", "body": {}}', "invalid_method", '"method"'),
        (b'{"custom_id": "c", "method": "POST", "url": "/f", "body": {}}', "invalid_url", '"/e"'),
        (b'{"custom_id": "c", "method": "POST", "url": "/e", "body": {}, "x": 1}', "unknown_parameter", "remove it"),
        (None, "line_too_long", "longer than 99 bytes"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_how_to_mend_it(line: bytes | None, code: str, words: str) -> None:
    found = read_line(RawLine(3, line), "/e", 99)
    assert isinstance(found, Unusable)
    assert found.code == code
    assert words in found.message
    assert "line 3" in found.message


async def test_a_prompts_id_follows_from_job_and_custom_id(stored: Stored) -> None:
    job = await stored.job()
    ids = {prompt_id(job.id, name) for name in ("a", "b", "a", "\u00e4" * 500)}
    assert len(ids) == 3
    assert all(len(found) <= 128 for found in ids)
    line = response_line(job, Request(7, "a", b"{}"), prompt_id(job.id, "a"), Result("output", 200, {"usage": {}}))
    assert b'_7"' in line
