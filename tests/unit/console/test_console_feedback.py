"""`tailrace feedback` against a gateway."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.bus import InMemoryBus
from schemas.feedback import FeedbackSubmitted
from services.console.__main__ import main
from tests.unit.gateway.parts import KEY, serving_gateway


@pytest.fixture
async def bus(in_memory: InMemoryBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[InMemoryBus]:
    """The bus behind the gateway that the console finds."""
    async with serving_gateway(in_memory, tmp_path) as gateway:
        monkeypatch.setenv("TAILRACE_CONSOLE_GATEWAY", gateway.url)
        monkeypatch.setenv("TAILRACE_CONSOLE_API_KEY", KEY)
        yield in_memory


async def tailrace(arguments: str, *more: str) -> int:
    return await asyncio.to_thread(main, [*arguments.split(), *more])


def said(bus: InMemoryBus) -> list[FeedbackSubmitted]:
    return [FeedbackSubmitted.model_validate_json(r.value or b"") for r in bus.records("feedback-submitted")]


@pytest.mark.parametrize(
    ("typed", "kind", "value"),
    [
        ("--up", "thumb", True),
        ("--down", "thumb", False),
        ("--rating 4", "rating", 4),
        ("--edit Better.", "edit", "Better."),
        ("--prefer-over resp_2", "choice", "resp_2"),
        ("--report harmful", "report", "harmful"),
        ("--withdraw f-1", "withdrawal", "f-1"),
    ],
)
async def test_each_judgement_reaches_the_bus(typed: str, kind: str, value: object, bus: InMemoryBus) -> None:
    assert await tailrace(f"feedback resp_1 {typed} --subject s-1 --consent --comment well") == 0
    [event] = said(bus)
    assert (event.response_id, event.kind, event.value) == ("resp_1", kind, value)
    assert (event.subject, event.consent.training, event.comment) == ("s-1", True, "well")


async def test_an_edit_may_be_a_file(bus: InMemoryBus, tmp_path: Path) -> None:
    (tmp_path / "better.md").write_text("# Better\n", encoding="utf-8")
    assert await tailrace("feedback resp_1 --edit", str(tmp_path / "better.md")) == 0
    assert said(bus)[0].value == "# Better\n"


async def test_it_prints_the_id_by_which_a_judgement_is_taken_back(
    bus: InMemoryBus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await tailrace("feedback resp_1 --up") == 0
    # The gateway's own log is in the same stream here, before or after.
    assert said(bus)[0].feedback_id in capsys.readouterr().out.splitlines()
    assert await tailrace("feedback resp_1 --up --id f-9 --json") == 0
    form, _ = json.JSONDecoder().raw_decode("{" + capsys.readouterr().out.partition("{")[2])
    assert form["id"] == "f-9"


async def test_silence_about_training_is_no(bus: InMemoryBus) -> None:
    assert await tailrace("feedback resp_1 --up") == 0
    assert not said(bus)[0].consent.training


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        ("", 2, "one thing at a time"),
        ("--up --rating 3", 2, "one thing at a time"),
        ("--rating 6", 2, "less than or equal to 5"),
        ("--report Very-bad", 1, "a category"),
        ("--prefer-over resp_1", 1, "another response"),
    ],
)
async def test_what_makes_no_sense_is_one_line(
    typed: str, code: int, told: str, bus: InMemoryBus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await tailrace(f"feedback resp_1 {typed}") == code
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert told in captured.err
    assert not said(bus)
