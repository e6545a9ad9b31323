"""API keys: hashes only, from a file that is checked at the start and read again when it changes."""

import json
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from libs.bus import InMemoryBus
from services.gateway.adapters.key_file import KeyFile, UnusableKeyFile, read_keys
from services.gateway.domain import Caller
from tests.unit.gateway.conftest import caller
from tests.unit.gateway.parts import Gateway, hashed, serving_gateway

NEVER = timedelta(days=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def write(path: Path, content: str | None) -> None:
    """The file's new content; None: there is no such file any more."""
    if content is None:
        path.unlink()
    else:
        path.write_text(content)


@pytest.fixture
async def keys(path: Path) -> AsyncIterator[KeyFile]:
    """A file with one key, `tr-old`."""
    write(path, json.dumps([{"sha256": hashed("tr-old"), "tenant": "acme", "name": "old"}]))
    async with KeyFile(path, every=NEVER) as keys:
        yield keys


def test_a_list_and_an_object_of_keys_are_both_understood(path: Path) -> None:
    entries = [{"sha256": hashed("tr-a"), "tenant": "acme"}]
    for content in (entries, {"keys": entries}):
        path.write_text(json.dumps(content))
        assert read_keys(path).find("tr-a") == Caller("acme")
        assert read_keys(path).find("tr-b") is None
        assert read_keys(path).find(hashed("tr-a")) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "the whole file"),
        ("[", "the whole file"),
        ("{}", "keys"),
        ('{"keys": [], "more": []}', "keys"),
        ('[{"sha256": "abc"}]', "0.sha256"),
        (f'[{{"sha256": "{hashed("x")}", "tenant": "a b"}}]', "0.tenant"),
        (f'[{{"sha256": "{hashed("x")}", "key": "tr-x"}}]', "0.key"),
        (f'[{{"sha256": "{hashed("x")}"}}, {{"sha256": "{hashed("x")}"}}]', "twice"),
    ],
)
def test_a_malformed_file_is_told_with_its_place(content: str, words: str, path: Path) -> None:
    path.write_text(content)
    with pytest.raises(UnusableKeyFile) as told:
        read_keys(path)
    assert str(path) in str(told.value)
    assert words in str(told.value)
    assert "tr-x" not in str(told.value)


def test_a_missing_file_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(UnusableKeyFile, match="TAILRACE_GATEWAY_API_KEYS_FILE"):
        read_keys(path)


async def test_a_gateway_without_its_file_of_keys_does_not_start(in_memory: InMemoryBus, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("[{}]")
    with pytest.raises(UnusableKeyFile, match="sha256"):
        async with serving_gateway(in_memory, tmp_path):
            pass


async def test_a_changed_file_is_read_again(keys: KeyFile, path: Path) -> None:
    write(path, json.dumps([{"sha256": hashed("tr-new"), "tenant": "acme"}]))
    await keys.reload()
    assert keys.find("tr-new") == Caller("acme")
    assert keys.find("tr-old") is None


@pytest.mark.parametrize("content", ["[", None])
async def test_after_a_bad_change_the_last_good_keys_stay(content: str | None, keys: KeyFile, path: Path) -> None:
    write(path, content)
    await keys.reload()
    assert keys.find("tr-old") == Caller("acme", "old")


async def test_a_running_gateway_hears_of_a_new_key(in_memory: InMemoryBus, tmp_path: Path) -> None:
    async with serving_gateway(in_memory, tmp_path, api_keys_reload=0.02) as gateway:
        assert await _status(gateway, "tr-added") == 401
        entries = [*json.loads(gateway.keys_file.read_text()), {"sha256": hashed("tr-added"), "tenant": "late"}]
        draft = gateway.keys_file.with_suffix(".draft")
        draft.write_text(json.dumps(entries))
        os.replace(draft, gateway.keys_file)  # noqa: PTH105 - as an operator's tool does it
        while await _status(gateway, "tr-added") != 200:
            continue


async def _status(gateway: Gateway, key: str) -> int:
    async with caller(gateway, key) as client:
        response: httpx.Response = await client.get("/v1/models")
    return response.status_code
