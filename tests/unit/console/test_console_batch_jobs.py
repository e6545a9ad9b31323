"""`tailrace batch list|show|cancel|schedules` against a whole gateway on the in-memory bus."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from libs.bus import InMemoryBus
from services.console.__main__ import main
from services.console.adapters.batches import Batches
from services.console.adapters.connection import GatewayAddress
from tests.support.batches import CHAT, ENDED, line, quick
from tests.unit.gateway.parts import KEY, OTHER_KEY, answering, serving_gateway, until

ALL = ("list", "show batch_0", "cancel batch_0", "schedules --json")


@dataclass(frozen=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """A table's cells, its head first."""
        return [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in self.out.splitlines()]


Tailrace = Callable[[str], Awaitable[Said]]
"""Runs `tailrace batch ...`."""


@dataclass(frozen=True)
class Desk:
    """A gateway, a caller of it, and the command against it."""

    http: httpx.AsyncClient
    tailrace: Tailrace
    folder: Path

    async def upload(self, *lines: str) -> str:
        files = {"file": ("in.jsonl", "\n".join(lines).encode())}
        return str((await self.http.post("/v1/files", data={"purpose": "batch"}, files=files)).json()["id"])

    async def start(self, file_id: str, **options: Any) -> str:
        asked = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", **options}
        response = await self.http.post("/v1/batches", json=asked)
        assert response.status_code == 200, response.text
        return str(response.json()["id"])

    async def ended(self, batch_id: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while (found := (await self.http.get(f"/v1/batches/{batch_id}")).json())["status"] not in ENDED:  # noqa: ASYNC110 - polled, as callers do
                await asyncio.sleep(0.01)
        return dict(found)


@pytest.fixture
def quiet() -> Iterator[None]:
    """The gateway's log lines do not come between what the commands print."""
    with capture_logs():
        yield


@pytest.fixture
def tailrace(capsys: pytest.CaptureFixture[str]) -> Tailrace:
    async def run(command: str) -> Said:
        capsys.readouterr()
        code = await asyncio.to_thread(main, ["batch", *command.split()])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
async def desk(
    in_memory: InMemoryBus, tmp_path: Path, quiet: None, monkeypatch: pytest.MonkeyPatch, tailrace: Tailrace
) -> AsyncIterator[Desk]:
    settings = quick(tmp_path, batch_look=0.02, batch_farewell=0.1, schedules_file=tmp_path / "schedules.yaml")
    (tmp_path / "schedules.yaml").write_text("schedules: []")
    async with (
        answering(in_memory),
        serving_gateway(in_memory, tmp_path, **settings) as gateway,
        httpx.AsyncClient(
            base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}, trust_env=False, timeout=20
        ) as http,
    ):
        monkeypatch.setenv("TAILRACE_CONSOLE_GATEWAY", gateway.url)
        monkeypatch.setenv("TAILRACE_CONSOLE_API_KEY", KEY)
        yield Desk(http, tailrace, tmp_path)


async def test_jobs_are_listed_the_newest_first_with_their_counts_and_what_started_them(desk: Desk) -> None:
    assert (await desk.tailrace("list")).out == "no batches\n"
    assert (await desk.tailrace("list --json")).json == []
    first = await desk.start(await desk.upload(line("a", "echo a"), line("b", "refuse no_source"), "{broken"))
    await desk.ended(first)
    # What callers write may look like the terminal's markup.
    second = await desk.start(await desk.upload(line("a", "echo a")), metadata={"schedule": "a [/b] [red]c"})
    await desk.ended(second)
    shown = await desk.tailrace("list")
    assert (shown.code, shown.err) == (0, "")
    head, *rows = shown.rows
    assert head == ["batch", "status", "lines", "answered", "errors", "created", "started by"]
    assert [row[:5] for row in rows] == [[second, "completed", "1", "1", "0"], [first, "completed", "3", "1", "2"]]
    assert rows[0][6] == "a [/b] [red]c"
    assert rows[0][5].endswith("Z")
    assert len((await desk.tailrace("list --limit 1")).rows) == 2
    assert (await desk.tailrace("list --json")).json == (await desk.http.get("/v1/batches")).json()["data"]


async def test_more_jobs_than_a_page_holds_are_all_listed_once(desk: Desk) -> None:
    file_id = await desk.upload(line("a", "echo a"))
    started = sorted([await desk.start(file_id) for _ in range(5)], reverse=True)
    found = Batches(GatewayAddress(str(desk.http.base_url), KEY), page=2)
    for limit in (1, 2, 3, 5, 9):
        assert [job["id"] for job in await asyncio.to_thread(list, found.jobs(limit))] == started[:limit]


async def test_a_job_is_shown_with_its_times_its_files_and_why_it_failed(desk: Desk) -> None:
    good = await desk.ended(
        await desk.start(await desk.upload(line("a", "echo a"), line("b", "fail engine_unavailable")))
    )
    shown = await desk.tailrace(f"show {good['id']}")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(f"{good['id']}  completed  1 of 2 lines answered, 1 errors\n")
    told = {row[0]: row[1] for row in shown.rows[1:]}
    assert {"created", "in progress", "finalizing", "completed", "expires"} <= told.keys()
    assert (told["input"], told["output"], told["error"]) == tuple(
        good[f"{name}_file_id"] for name in ("input", "output", "error")
    )
    assert (await desk.tailrace(f"show {good['id']} --json")).json == good
    twice = await desk.ended(await desk.start(await desk.upload(line("a", "echo a"), line("a", "echo b"))))
    failed = await desk.tailrace(f"show {twice['id']}")
    assert "  failed  " in failed.out
    assert "  duplicate_custom_id: " in failed.out
    assert ["output", "-"] in failed.rows


async def test_a_job_is_cancelled_and_one_that_has_ended_is_not(desk: Desk) -> None:
    waiting = await desk.start(await desk.upload(line("a", "echo a"), line("s", "silence")))
    done = await desk.tailrace(f"cancel {waiting} --json")
    assert (done.code, done.json["status"]) == (0, "cancelling")
    assert (await desk.ended(waiting))["status"] == "cancelled"
    assert f"{waiting}  cancelled  " in (await desk.tailrace(f"cancel {waiting}")).out
    ended = await desk.ended(await desk.start(await desk.upload(line("a", "echo a"))))
    late = await desk.tailrace(f"cancel {ended['id']}")
    assert (late.code, late.out, late.err.count("\n")) == (1, "", 1)
    assert 'batch_not_cancellable: the batch cannot be cancelled: its status is "completed"' in late.err


async def test_an_id_or_a_key_that_the_gateway_does_not_know_is_one_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = await desk.start(await desk.upload(line("a", "echo a")))
    monkeypatch.setenv("TAILRACE_CONSOLE_API_KEY", OTHER_KEY)
    for command in ("show batch_0", "cancel batch_0", f"show {theirs}", f"cancel {theirs}"):
        said = await desk.tailrace(command)
        assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
        assert "batch_not_found: there is no batch" in said.err
    for command in ("show ../files", "cancel ..", "show a/b", "show a?b"):
        said = await desk.tailrace(command)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert "is no id of a batch" in said.err
    monkeypatch.setenv("TAILRACE_CONSOLE_API_KEY", "tr-nobody")
    for command in ALL:
        said = await desk.tailrace(command)
        assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
        assert "invalid_api_key" in said.err


async def test_schedules_are_shown_with_their_next_and_last_run_and_their_problem(desk: Desk) -> None:
    assert (await desk.tailrace("schedules")).out == "no schedules\n"
    (desk.folder / "in.jsonl").write_text(line("a", "echo a"))
    entries = [
        {"name": "often", "cron": "* * * * * *", "input": "in.jsonl", "results": "out"},
        {"name": "empty", "cron": "* * * * * *", "input": "[a-b].jsonl", "results": "out"},
        {"name": "resting", "cron": "30 2 * * mon", "input": "in.jsonl", "results": "out", "enabled": False},
    ]
    (desk.folder / "schedules.yaml").write_text(json.dumps({"schedules": entries}))
    await until(lambda: list((desk.folder / "out").glob("*.status.json")))
    async with asyncio.timeout(10):
        while not (await desk.http.get("/v1/schedules")).json()["data"][1]["problem"]:  # noqa: ASYNC110 - polled, as callers do
            await asyncio.sleep(0.02)
    shown = await desk.tailrace("schedules")
    assert (shown.code, shown.err) == (0, "")
    head, *rows = shown.rows
    assert head == ["schedule", "cron", "time zone", "next", "last", "last batch", "problem"]
    found = {row[0]: row for row in rows}
    assert found["often"][1:3] == ["* * * * * *", "UTC"]
    assert found["often"][5].startswith("batch_")
    assert found["empty"][-1] == 'no file matches "[a-b].jsonl"'
    assert found["resting"] == ["resting", "30 2 * * mon", "UTC", "off"]
    [listed] = [row for row in (await desk.tailrace("list --limit 1")).rows if row[0].startswith("batch_")]
    assert listed[-1] == "often"
    assert [one["name"] for one in (await desk.tailrace("schedules --json")).json["data"]] == [*found]


async def test_a_file_of_schedules_that_cannot_be_used_is_said_and_is_an_exit_code(desk: Desk) -> None:
    (desk.folder / "schedules.yaml").write_text("schedules: [")
    async with asyncio.timeout(10):
        while not (await desk.http.get("/v1/schedules")).json()["problem"]:  # noqa: ASYNC110 - polled, as callers do
            await asyncio.sleep(0.02)
    for command in ("schedules", "schedules --json"):
        said = await desk.tailrace(command)
        assert (said.code, said.err.count("\n")) == (1, 1)
        assert "the file of schedules cannot be used" in said.err
    assert said.json["problem"] is True


async def _page(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\nconnection: close\r\n\r\n<html></html>")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    ("address", "code", "told"),
    [
        ("http://127.0.0.1:1", 1, "the gateway at http://127.0.0.1:1 does not answer"),
        ("http://127.0.0.1:port", 2, 'TAILRACE_CONSOLE_GATEWAY "http://127.0.0.1:port" is no address'),
        ("127.0.0.1:8080", 2, 'TAILRACE_CONSOLE_GATEWAY "127.0.0.1:8080" is no address'),
    ],
)
async def test_a_gateway_that_is_away_or_no_address_is_one_line(
    tailrace: Tailrace, monkeypatch: pytest.MonkeyPatch, address: str, code: int, told: str
) -> None:
    monkeypatch.setenv("TAILRACE_CONSOLE_GATEWAY", address)
    monkeypatch.setenv("TAILRACE_CONSOLE_API_KEY", KEY)
    for command in ALL:
        said = await tailrace(command)
        assert (said.code, said.out, said.err.count("\n")) == (code, "", 1)
        assert told in said.err


async def test_what_answers_without_being_a_gateway_is_said(
    tailrace: Tailrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await asyncio.start_server(_page, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("TAILRACE_CONSOLE_GATEWAY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("TAILRACE_CONSOLE_API_KEY", KEY)
        for command in ALL:
            said = await tailrace(command)
            assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
            assert "is no gateway" in said.err
