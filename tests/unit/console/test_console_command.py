"""What is typed wrongly ends in one line on stderr and an exit code, never in a traceback."""

import json
from pathlib import Path

import pytest

from services.console.__main__ import main

COMMANDS = (
    "up", "down", "status", "ask", "feedback", "trace", "demo", "documents add", "documents delete", "batch run",
    "dead-letters list", "dead-letters show", "dead-letters replay", "train", "evaluate", "models list", "models show",
    "models promote", "models rollback",
)  # fmt: skip


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker is known: none in the environment, no local stack in the folder."""
    monkeypatch.setenv("TAILRACE_HOME", str(tmp_path / "home"))
    for name in ("BOOTSTRAP_SERVERS", "CONSOLE_GATEWAY", "CONSOLE_API_KEY"):
        monkeypatch.delenv(f"TAILRACE_{name}", raising=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert "Usage: tailrace" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("nonsense", 2, "No such command"),
        ("trace", 2, "Missing argument"),
        ("trace p-1", 1, "TAILRACE_BOOTSTRAP_SERVERS"),
        ("ask hello", 1, "tailrace up"),
        ("ask hello --grounding sometimes", 2, "auto"),
        ("up --engine steam", 2, "No engine 'steam'"),
        ("up --only nobody", 2, "No service 'nobody'"),
        ("up --scale grounding", 2, "grounding=2"),
        ("documents add nowhere.md", 2, "no such file"),
        ("batch run nowhere.jsonl", 2, "no such file"),
        ("batch run pyproject.toml --earlier soon", 2, "no span of time"),
        ("dead-letters show prompt-submitted-dlq", 2, "TOPIC/PARTITION/OFFSET"),
        ("dead-letters replay", 2, "name addresses, or else a filter"),
        ("dead-letters list --topic nothing", 2, "no dead letter topic"),
        ("evaluate dpo-9b21", 1, 'no adapter "dpo-9b21"'),
        ("models show dpo-9b21", 1, "`tailrace models list` shows all"),
        ("models promote dpo-9b21", 1, 'no adapter "dpo-9b21"'),
        ("models rollback", 1, "TAILRACE_BOOTSTRAP_SERVERS"),
        ("demo --engine echo --loop", 2, "--loop needs the engine transformers"),
        ("demo --keep --loop", 2, "a stack that does not stay"),
    ],
)
def test_a_wrong_call_is_answered_by_one_line_and_a_code(
    arguments: str, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert captured.err.count("\n") == 1


def test_a_wrong_setting_in_the_environment_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILRACE_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("TAILRACE_SECURITY_PROTOCOL", "MAGIC")
    assert main(["trace", "p-1"]) == 2
    assert "security_protocol" in capsys.readouterr().err


def test_a_broker_that_does_not_answer_is_said_to_be_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILRACE_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert main(["dead-letters", "list"]) == 1
    captured = capsys.readouterr()
    assert "no broker answers at 127.0.0.1:1" in captured.err
    assert captured.err.count("\n") == 1


def test_the_status_of_nothing_is_down_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    assert "Tailrace is down" in capsys.readouterr().out
    assert main(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["services"], found["bootstrap_servers"]) == ("down", {}, None)
    assert {"gateway", "api_key"} <= found.keys()


def test_down_of_nothing_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert "Nothing was running" in capsys.readouterr().out
