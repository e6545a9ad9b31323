"""Files in and out: which documents a path names, and a result file that survives a crash."""

import json
from pathlib import Path

import pytest

from services.console.adapters.files import batch_lines, find_documents, passed_over
from services.console.adapters.results import ResultFile
from services.console.domain.errors import ConsoleError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("README.md", "docs/a.html", "docs/deep/b.txt", "docs/code.py", "docs/.hidden/c.md", ".venv/d.md"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text")
    return tmp_path


def ids(arguments: list[str], root: Path) -> list[str]:
    return [found.document_id for found in find_documents(arguments, root)]


def test_a_folder_stands_for_its_documents_and_hidden_ones_are_left_out(folder: Path) -> None:
    assert ids([str(folder)], folder) == ["README.md", "docs/a.html", "docs/deep/b.txt"]


def test_what_a_folder_holds_beside_documents_is_named(folder: Path) -> None:
    assert passed_over([str(folder), str(folder / "README.md")]) == [folder / "docs" / "code.py"]


def test_a_glob_and_a_file_it_names_already_are_one_document(folder: Path) -> None:
    assert ids([f"{folder}/**/*.html", str(folder / "docs" / "a.html")], folder) == ["docs/a.html"]


def test_a_file_outside_the_root_is_named_after_the_folder_that_was_given(folder: Path) -> None:
    assert ids([str(folder / "docs")], folder / "elsewhere") == ["a.html", "deep/b.txt"]


@pytest.mark.parametrize("argument", ["missing.md", "docs/code.py", "*.pdf", "docs/.hidden"])
def test_a_path_that_leads_to_no_document_is_an_error(
    folder: Path, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "docs" / ".hidden" / "c.md").unlink()
    with pytest.raises(ConsoleError, match=r"no such file|no document|no media type"):
        find_documents([argument], folder)


def test_blank_lines_are_no_lines_of_a_batch_but_count_as_lines_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b'{"a": 1}\r\n\n  \n{"b": 2}')
    assert list(batch_lines(file)) == [(1, b'{"a": 1}'), (4, b'{"b": 2}')]


def result(number: int, prompt_id: str = "p") -> dict[str, object]:
    return {"line": number, "prompt_id": prompt_id, "status": "answered"}


def test_results_are_taken_up_and_a_line_cut_by_a_crash_is_written_again(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    with ResultFile(file, resume=False) as results:
        results.write(1, result(1))
        results.write(2, result(2))
    file.write_bytes(file.read_bytes()[:-5])
    with ResultFile(file, resume=True) as results:
        assert results.has(1)
        assert not results.has(2)
        results.write(2, result(2))
        assert results.counts == {"answered": 2}
    assert [json.loads(line)["line"] for line in file.read_text().splitlines()] == [1, 2]


def test_results_that_exist_are_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text("something\n")
    with pytest.raises(ConsoleError, match="--resume"):
        ResultFile(file, resume=False)
    with pytest.raises(ConsoleError, match="something else"):
        ResultFile(file, resume=True)
    assert file.read_text() == "something\n"


def test_results_of_another_input_are_not_mixed_with_this_ones(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    with ResultFile(file, resume=False) as results:
        results.write(1, result(1, "old"))
    with ResultFile(file, resume=True) as results, pytest.raises(ConsoleError, match="another input: line 1"):
        results.check(1, "new")
