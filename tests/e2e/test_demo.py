"""The guided tour on a whole stack: what it shows is true, and nothing is left behind, however it ends."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("echo-stack"), pytest.mark.timeout(600)]


async def demo(temporary: Path) -> asyncio.subprocess.Process:
    """A tour whose temporary folders lie in one of the test's own, so that its processes can be told."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.console", "demo", "--engine", "echo", "--json",
        env={**os.environ, "TMPDIR": str(temporary)}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


def left_behind(temporary: Path) -> list[str]:
    """Processes whose stack lies in the folder, and what the folder holds."""
    return [*(str(p.pid) for p in psutil.process_iter() if _is_of(p, temporary)), *map(str, temporary.iterdir())]


def _is_of(process: psutil.Process, temporary: Path) -> bool:
    try:
        return process.environ().get("TAILRACE_SUPERVISED_HOME", "").startswith(str(temporary))
    except (psutil.Error, OSError):
        return False


async def test_the_tour_shows_answers_masking_refusals_dead_letters_and_leaves_nothing(tmp_path: Path) -> None:
    process = await demo(tmp_path)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    report: dict[str, Any] = json.loads(out)

    assert {asked["via"] for asked in report["questions"]} == {"HTTP, streamed", "Kafka"}
    assert all(asked["status"] == "answered" for asked in report["questions"])
    assert any(asked["sources"] for asked in report["questions"])
    assert all(asked["first_text_ms"] <= asked["answer_ms"] for asked in report["questions"] if asked["first_text_ms"])

    private = report["private"]
    assert private["asked"]["masked"] == {"EMAIL_ADDRESS": 1, "CREDIT_CARD": 1}
    assert "<EMAIL_ADDRESS_1>" in private["seen_by_the_model"]
    assert (private["values_past_the_gate"], private["restored"]) == (0, True)

    assert report["injection"]["status"] == "refused"
    assert report["injection"]["reason"].startswith("unsafe_prompt")
    assert report["malformed"]["asked"]["status"] == "refused"
    assert report["malformed"]["letter"]["prompt_id"] == "demo-broken"
    assert (report["flood"]["lines"], report["flood"]["counts"]) == (20, {"answered": 19, "refused": 1})
    assert all(asked["status"] == "answered" for asked in report["flood"]["beside"])
    assert report["way"]["status"] == "answered"
    assert 0 < report["memory"]["idle"]["gateway"] < report["memory"]["idle"]["all"]
    assert not left_behind(tmp_path)


@pytest.mark.parametrize("moment", ["starting the broker", "gateway-0 starting", "indexing"])
async def test_a_tour_interrupted_at_any_moment_leaves_nothing(tmp_path: Path, moment: str) -> None:
    process = await demo(tmp_path)
    assert process.stderr is not None
    async for line in process.stderr:
        if moment in line.decode():
            break
    process.send_signal(signal.SIGINT)
    # A second one, as impatient people send it, must not stop the cleaning up.
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130, err.decode()
    assert "Traceback" not in err.decode()
    assert not left_behind(tmp_path)
