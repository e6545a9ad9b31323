"""A full disk under the embedded store: before it is opened, and while it is at work."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.bus.kafka import KafkaBus
from schemas.documents import DocumentIndexed, DocumentSubmitted
from tests.support.faults.crowd import PLAIN, Crowd, assert_kept, written
from tests.support.faults.family import Family
from tests.support.faults.fate import Fate
from tests.support.services import publish

pytestmark = pytest.mark.broker


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own; where nobody may mount one, the test is skipped."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128m", "none", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_prompts_are_answered_while_the_disk_is_full_and_documents_are_indexed_when_there_is_room(
    services: Family, log: KafkaBus, crowd: Crowd, disk: Path
) -> None:
    environ = {"TAILRACE_GROUNDING_INDEX": "edge", "TAILRACE_DATA_DIR": str(disk / "data")}
    await services.anew("grounding", fate=Fate(environ=environ))
    try:
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(bytes(1_000_000))
        indexed = await written(log, DocumentIndexed)
        words = "The gate of the weir at mile seven is opened by hand in spring. " * 20
        for number in range(20):
            await publish(log, DocumentSubmitted(document_id=f"{disk.parent.name}-{number}", content=words))
        async with asyncio.timeout(60):
            while await written(log, DocumentIndexed) < indexed + 20:  # noqa: ASYNC110 - a topic tells nobody
                await asyncio.sleep(0.1)
        await crowd.ask(10, **{**PLAIN, "grounding": {"mode": "auto"}})
        report = await crowd.verdict()
        assert_kept(report, len(crowd.asked))
        assert report.prompts.answered == len(crowd.asked)
        ends = list(services.exits["grounding"])
        ballast.unlink()
        asking = {**PLAIN, "grounding": {"mode": "required"}, "messages": [{"role": "user", "content": words[:60]}]}
        await until_answered(crowd, asking)
        assert services.exits["grounding"] == ends
    finally:
        await services.anew("grounding")


async def until_answered(crowd: Crowd, asking: dict[str, object]) -> None:
    """What is only known from the documents is answered at last."""
    async with asyncio.timeout(60):
        while True:
            before = (await crowd.verdict()).prompts.answered
            await crowd.ask(1, **asking)
            if (await crowd.verdict()).prompts.answered > before:
                return


async def test_a_store_that_cannot_be_opened_for_want_of_room_costs_time_and_nothing_else(
    services: Family, crowd: Crowd, tmp_path: Path
) -> None:
    environ = {"TAILRACE_GROUNDING_INDEX": "edge", "TAILRACE_DATA_DIR": str(tmp_path)}
    await services.hold("grounding")
    await crowd.ask(10)
    ends = len(services.exits["grounding"])
    await services.release("grounding", fate=Fate(environ=environ, largest_file=100_000), wait=False)
    try:
        async with asyncio.timeout(60):
            while len(services.exits["grounding"]) < ends + 2:  # noqa: ASYNC110 - a process tells nobody
                await asyncio.sleep(0.05)
    finally:
        await services.hold("grounding")
        await services.release("grounding")
    assert_kept(await crowd.verdict(), len(crowd.asked))
