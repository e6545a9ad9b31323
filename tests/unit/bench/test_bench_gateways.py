"""Those who call a gateway, and what is made of what they heard."""

from pathlib import Path

import aiohttp
import pytest

from libs.health import serving
from services.inference.adapters.echo import EchoEngine
from tests.bench.callers import Door, Heard, Round, call, questions, told
from tests.bench.echo_endpoint import echo_app
from tests.bench.litellm_peer import NotInstalled, configuration, installed
from tests.bench.parts.gateways import FLOOR, OURS, PEER, goals, table


def heard(milliseconds: float) -> list[Round]:
    return [Round([Heard(milliseconds / 2, milliseconds)] * 50, seconds=5)]


FOUND = {OURS: heard(30), PEER: heard(20), FLOOR: heard(10)}


@pytest.mark.parametrize("stream", [False, True])
async def test_callers_together_get_as_many_answers_as_were_asked_for(stream: bool) -> None:
    async with (
        EchoEngine() as engine,
        serving(echo_app(engine), "127.0.0.1", 0) as port,
        aiohttp.ClientSession() as client,
    ):
        door = Door(f"http://127.0.0.1:{port}/v1", "none", "echo")
        found = await call(client, door, questions(seed=1), callers=3, count=7, stream=stream)
    assert len(found.heard) == 7
    assert all(0 < one.first <= one.whole for one in found.heard)


async def test_an_answer_that_was_not_asked_for_ends_the_measurement() -> None:
    async with (
        EchoEngine(context_tokens=30) as engine,
        serving(echo_app(engine), "127.0.0.1", 0) as port,
        aiohttp.ClientSession() as client,
    ):
        # The engine has room for ten words of the twenty.
        door = Door(f"http://127.0.0.1:{port}/v1", "none", "echo")
        with pytest.raises(RuntimeError, match=r"was asked .* and echoed"):
            await call(client, door, questions(seed=1), callers=1, count=1)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'data: {"choices": [{"delta": {"content": "two words"}}]}\n', "two words"),
        (b'data: {"choices": [{"delta": {}}]}\n', ""),
        (b'data: {"choices": [], "usage": {}}\n', ""),
        (b"data: [DONE]\n", ""),
        (b": keep-alive\n", ""),
        (b"\n", ""),
    ],
)
def test_text_is_found_in_lines_of_a_stream(line: bytes, text: str) -> None:
    assert told(line) == text


def test_a_side_is_shown_with_what_it_adds_to_the_bare_endpoint() -> None:
    ours = table("1", "whole", FOUND)[0]
    assert (ours["p50 ms"], ours["p50 added"], ours["answers/s"]) == (30, 20, 10)
    assert table("1", "stream", FOUND, "first")[0]["p50 ms"] == 15


def test_goals_compare_what_is_added() -> None:
    assert [(goal.found, goal.reached) for goal in goals({"1 at a time": FOUND})] == [(2.0, False)] * 2


def test_without_the_peer_there_are_no_goals() -> None:
    assert goals({"1 at a time": {OURS: heard(30), FLOOR: heard(10)}}) == []


def test_the_peer_that_is_there_is_not_installed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    with pytest.raises(NotInstalled, match="could not be installed into"):
        installed(tmp_path)
    home = next((tmp_path / "bench").iterdir())
    (home / "whole").touch()
    assert installed(tmp_path) == home / "bin" / "litellm"


def test_the_peer_stands_before_the_same_endpoint() -> None:
    models = configuration("http://127.0.0.1:1/v1")["model_list"]
    assert "'api_base': 'http://127.0.0.1:1/v1'" in str(models)
