"""Batch jobs of a whole gateway on the in-memory bus: stopped, starved of disk, met with silence, sent wrong forms."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.bus import InMemoryBus
from tests.unit.gateway.conftest import caller
from tests.unit.gateway.parts import MODEL, Gateway, Pipeline, serving_gateway, until
from tests.unit.gateway.test_batch_storage import no_room_beyond

ENDED = {"completed", "failed", "expired", "cancelled"}


def quick(folder: Path, **settings: Any) -> dict[str, Any]:
    return {"batch_dir": folder / "batches", "batch_look": 0.02, "batch_farewell": 0.2, **settings}


def line(custom_id: str, content: str) -> bytes:
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}]}
    asked = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(asked).encode() + b"\n"


async def upload(client: httpx.AsyncClient, content: bytes) -> httpx.Response:
    return await client.post("/v1/files", data={"purpose": "batch"}, files={"file": ("in.jsonl", content)})


async def started(client: httpx.AsyncClient, *lines: bytes) -> str:
    file = (await upload(client, b"".join(lines))).json()
    asked = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return str((await client.post("/v1/batches", json=asked)).json()["id"])


async def seen(client: httpx.AsyncClient, batch_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v1/batches/{batch_id}")).json()
    return found


async def ended(client: httpx.AsyncClient, batch_id: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while (found := await seen(client, batch_id))["status"] not in ENDED:  # noqa: ASYNC110 - polled, as callers do
            await asyncio.sleep(0.01)
    return found


async def answers(client: httpx.AsyncClient, batch: dict[str, Any]) -> list[str]:
    text = (await client.get(f"/v1/files/{batch['output_file_id']}/content")).text
    return sorted(json.loads(found)["custom_id"] for found in text.splitlines())


async def test_a_job_that_is_taken_up_asks_only_what_has_no_result(
    in_memory: InMemoryBus, pipeline: Pipeline, tmp_path: Path
) -> None:
    async with serving_gateway(in_memory, tmp_path, **quick(tmp_path)) as first, caller(first) as client:
        batch_id = await started(client, *(line(f"e-{n}", f"echo {n}") for n in range(20)), line("s", "silence"))
        output = tmp_path / "batches" / "files" / "default" / f"file-{batch_id.removeprefix('batch_')}0"
        await until(lambda: output.exists() and output.read_bytes().count(b"\n") == 20)
    pipeline.silent = False
    async with serving_gateway(in_memory, tmp_path, **quick(tmp_path)) as second, caller(second) as client:
        done = await ended(client, batch_id)
        assert done["request_counts"] == {"total": 21, "completed": 21, "failed": 0}
        assert await answers(client, done) == sorted([*(f"e-{n}" for n in range(20)), "s"])
    asked = Counter(prompt.messages[0].content for prompt in pipeline.prompts)
    assert asked == {"silence": 2, **{f"echo {n}": 1 for n in range(20)}}
    assert len({prompt.prompt_id for prompt in pipeline.prompts}) == 21


async def test_a_prompt_that_nobody_answers_is_asked_again_under_its_id(
    in_memory: InMemoryBus, pipeline: Pipeline, tmp_path: Path
) -> None:
    settings = quick(tmp_path, batch_ask_again=0.1)
    async with serving_gateway(in_memory, tmp_path, **settings) as gateway, caller(gateway) as client:
        batch_id = await started(client, line("s", "silence"))
        await until(lambda: len(pipeline.prompts) == 2)
        pipeline.silent = False
        assert (await ended(client, batch_id))["status"] == "completed"
    assert len({prompt.prompt_id for prompt in pipeline.prompts}) == 1


async def test_no_more_prompts_are_in_flight_than_may(
    in_memory: InMemoryBus, pipeline: Pipeline, tmp_path: Path
) -> None:
    settings = quick(tmp_path, batch_in_flight=7)
    async with serving_gateway(in_memory, tmp_path, **settings) as gateway, caller(gateway) as client:
        first = await started(client, *(line(f"s-{n}", "silence") for n in range(20)))
        second = await started(client, *(line(f"s-{n}", "silence") for n in range(20)))
        await until(lambda: len(pipeline.prompts) >= 7)
        for _ in range(20):
            await seen(client, second)
        assert len(pipeline.prompts) == 7
        for batch_id in (first, second):
            await client.post(f"/v1/batches/{batch_id}/cancel")
            assert (await ended(client, batch_id))["status"] == "cancelled"


async def test_a_full_disk_refuses_uploads_and_a_running_job_goes_on_when_there_is_room(
    in_memory: InMemoryBus, pipeline: Pipeline, tmp_path: Path
) -> None:
    async with serving_gateway(in_memory, tmp_path, **quick(tmp_path)) as gateway, caller(gateway) as client:
        lines = [line(f"e-{n}", f"echo {n}") for n in range(30)]
        with no_room_beyond(8192):
            refused = await upload(client, b"x" * 50_000)
            assert (refused.status_code, refused.json()["error"]["code"]) == (507, "storage_unavailable")
            assert refused.headers["x-should-retry"] == "false"
            batch_id = await started(client, *lines)
            await until(lambda: len(pipeline.prompts) >= 30)
            assert (await seen(client, batch_id))["status"] == "in_progress"
        done = await ended(client, batch_id)
        assert done["request_counts"] == {"total": 30, "completed": 30, "failed": 0}
        assert len(await answers(client, done)) == 30
        listed = (await client.get("/v1/files")).json()["data"]
        assert len(listed) == 2


async def test_a_schedule_runs_and_is_shown(in_memory: InMemoryBus, pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(line("a", "echo a"))
    file = tmp_path / "schedules.yaml"
    entry = {"name": "often", "cron": "* * * * * *", "input": "in.jsonl", "results": "out"}
    file.write_text(json.dumps({"schedules": [entry, {**entry, "name": "hidden", "tenant": "acme", "enabled": False}]}))
    settings = quick(tmp_path, schedules_file=file)
    async with serving_gateway(in_memory, tmp_path, **settings) as gateway, caller(gateway) as client:
        await until(lambda: len(list((tmp_path / "out").glob("*.status.json"))) >= 2)
        shown = (await client.get("/v1/schedules")).json()
        file.write_text("schedules: [")
        async with asyncio.timeout(10):
            while not (await client.get("/v1/schedules")).json()["problem"]:  # noqa: ASYNC110 - polled, as callers do
                await asyncio.sleep(0.01)
    assert [found["name"] for found in shown["data"]] == ["often"]
    assert not shown["problem"]
    assert shown["data"][0]["last_batch_id"].startswith("batch_")
    told = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.status.json")]
    assert {(one["status"], one["completed"]) for one in told} == {("completed", 1)}
    assert len({one["batch"] for one in told}) == len(told)


FORM = {"content-type": "multipart/form-data; boundary=B"}
FILE = b'--B\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n{}\r\n'
PURPOSE = b'--B\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'


@pytest.mark.parametrize(
    ("headers", "body", "status", "param"),
    [
        ({"content-type": "application/json"}, b"{}", 415, "content-type"),
        ({"content-type": "multipart/form-data"}, FILE, 415, "content-type"),
        (FORM, b"", 400, None),
        (FORM, b"nonsense", 400, None),
        (FORM, PURPOSE + FILE, 400, None),
        (FORM, PURPOSE + b"--B--\r\n", 400, "file"),
        (FORM, FILE + b"--B--\r\n", 400, "purpose"),
        (FORM, PURPOSE + FILE + FILE + b"--B--\r\n", 400, "file"),
        (FORM, PURPOSE.replace(b"batch", b"x" * 5000) + FILE + b"--B--\r\n", 400, "purpose"),
        (FORM, PURPOSE * 40 + FILE + b"--B--\r\n", 400, None),
        (FORM, b"--B\r\nx: " + b"y" * 20_000 + b"\r\n\r\n\r\n" + FILE + b"--B--\r\n", 400, None),
    ],
)
async def test_a_form_that_is_none_is_told_what_is_wrong_and_nothing_is_kept(
    client: httpx.AsyncClient, gateway: Gateway, headers: dict[str, str], body: bytes, status: int, param: str | None
) -> None:
    response = await client.post("/v1/files", content=body, headers=headers)
    assert response.status_code == status, response.text
    assert response.json()["error"]["param"] == param
    assert (await client.get("/v1/files")).json()["data"] == []
    assert not list(gateway.keys_file.parent.rglob("uploads/*"))


async def test_a_form_whose_purpose_comes_after_the_file_is_taken(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/files", content=FILE + PURPOSE + b"--B--\r\n", headers=FORM)
    assert response.status_code == 200, response.text
    assert response.json()["bytes"] == 2
