"""What serves: turns on disk, each request once, whoever else writes and whenever it dies."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from libs.model_registry import AdapterError, Champions, Serving, Turn
from libs.model_registry.champions import FILE, Decide

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def promoting(request_id: str, model: str, share: float = 1.0) -> Decide:
    return lambda serving, revision: Turn(
        revision=revision, action="promote", request_id=request_id, model=model, share=share,
        champion=serving.champion if share < 1 else None, previous=serving.champion, at=NOON,
    )  # fmt: skip


def back(request_id: str, to: str | None) -> Decide:
    return lambda serving, revision: Turn(
        revision=revision, action="rollback", request_id=request_id, model=to,
        rolled_back=serving.challenger or serving.champion, at=NOON,
    )  # fmt: skip


def test_nothing_serves_but_the_base_until_something_is_promoted(tmp_path: Path) -> None:
    assert Champions(tmp_path / "none").serving() == Serving()


def test_promotions_are_stacked_and_a_share_leaves_the_champion(tmp_path: Path) -> None:
    champions = Champions(tmp_path)
    champions.change("1", promoting("1", "a"))
    champions.change("2", promoting("2", "b", 0.2))
    assert champions.serving() == Serving(2, "a", "b", 0.2, (None,))
    champions.change("3", promoting("3", "b"))
    assert champions.serving() == Serving(3, "b", before=(None, "a"))
    champions.change("4", back("4", "a"))
    assert Champions(tmp_path).serving() == Serving(4, "a", before=(None,))
    champions.change("5", promoting("5", "c", 0.5))
    champions.change("6", back("6", "a"))
    assert champions.serving() == Serving(6, "a", before=(None,))


def test_a_request_is_decided_once_and_a_refusal_leaves_nothing(tmp_path: Path) -> None:
    champions = Champions(tmp_path)
    first = champions.change("1", promoting("1", "a"))

    def never(serving: Serving, revision: int) -> Turn:
        raise AssertionError((serving, revision))

    assert champions.change("1", never) == first
    before = (tmp_path / FILE).read_bytes()

    def refusing(serving: Serving, revision: int) -> Turn:
        raise ValueError(f"{serving.champion} stays, {revision} or not")

    with pytest.raises(ValueError, match="a stays, 2 or not"):
        champions.change("2", refusing)
    assert (tmp_path / FILE).read_bytes() == before


def test_many_writers_make_one_line_of_turns(tmp_path: Path) -> None:
    def write(name: int) -> None:
        for number in range(10):
            request = f"{name}-{number}"
            Champions(tmp_path).change(request, promoting(request, f"m-{request}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    turns = Champions(tmp_path).turns()
    assert [it.revision for it in turns] == list(range(1, 41))
    assert len({it.request_id for it in turns}) == 40
    assert [it.previous for it in turns] == [None, *(it.model for it in turns[:-1])]


def test_a_damaged_file_is_an_error_and_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(AdapterError, match=r"is damaged: .*; put a copy back"):
        Champions(tmp_path).change("1", promoting("1", "a"))
    assert (tmp_path / FILE).read_text() == "{"
