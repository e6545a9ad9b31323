"""A home of its own, and the command as an operator calls it."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.console.__main__ import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the local stack would keep its data sets."""
    monkeypatch.setenv("TAILRACE_HOME", str(tmp_path / "home"))
    for name in ("BOOTSTRAP_SERVERS", "CONSOLE_DATASETS", "CONSOLE_MODELS", "CONSOLE_EXAMINATIONS"):
        monkeypatch.delenv(f"TAILRACE_{name}", raising=False)
    return tmp_path / "home" / "data" / "feedback" / "datasets"


class Told:
    """What a command says: its report, or the one line on stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> str:
        assert main(arguments) == code
        captured = self._capsys.readouterr()
        assert captured.err.count("\n") == (1 if code else 0)
        return captured.out if code == 0 else captured.err

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    return Told(capsys)
