"""Sealed boxes: what is sealed comes back whole, to the right key only, also after a rotation."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.sealing import (
    Opener,
    Sealer,
    UnopenableBoxError,
    UnusableKeyError,
    generate_key_pair,
    key_id_of,
    rotate_key_file,
    write_key_file,
)

PUBLIC, PRIVATE = generate_key_pair()
SEALER, OPENER = Sealer(PUBLIC), Opener([PRIVATE])


@given(st.dictionaries(st.text(), st.text()))
def test_a_sealed_mapping_opens_to_itself(mapping: dict[str, str]) -> None:
    assert OPENER.open(*SEALER.seal(mapping)) == mapping


def test_a_box_shows_nothing_of_its_content_and_differs_each_time() -> None:
    first, _ = SEALER.seal({"<EMAIL_ADDRESS_1>": "ada@example.org"})
    second, _ = SEALER.seal({"<EMAIL_ADDRESS_1>": "ada@example.org"})
    assert first != second
    assert b"ada@" not in base64.b64decode(first)


def test_a_box_sealed_to_another_key_names_the_key_that_is_missing() -> None:
    public, _ = generate_key_pair()
    box, key_id = Sealer(public).seal({"a": "b"})
    with pytest.raises(UnopenableBoxError, match=key_id):
        OPENER.open(box, key_id)


@pytest.mark.parametrize("damaged", ["", "not base64!", base64.b64encode(b"x" * 80).decode()])
def test_a_damaged_box_is_reported(damaged: str) -> None:
    with pytest.raises(UnopenableBoxError):
        OPENER.open(damaged, SEALER.key_id)


def test_every_single_flipped_byte_is_noticed() -> None:
    box = bytearray(base64.b64decode(SEALER.seal({"a": "b"})[0]))
    for position in range(len(box)):
        damaged = bytes(b ^ 1 if i == position else b for i, b in enumerate(box))
        with pytest.raises(UnopenableBoxError):
            OPENER.open(base64.b64encode(damaged).decode())


def test_after_a_rotation_old_boxes_still_open_and_new_ones_use_the_new_key(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "seal.json"
    old, new = write_key_file(path), rotate_key_file(path)
    opener = Opener.from_key_file(path)
    assert opener.key_ids == (key_id_of(new), key_id_of(old))
    assert [opener.open(*Sealer(key).seal({"k": key})) for key in (old, new)] == [{"k": old}, {"k": new}]
    assert opener.open(Sealer(old).seal({"no": "id"})[0]) == {"no": "id"}


def test_a_key_file_is_its_owners_alone_and_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "seal.json"
    public = write_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert write_key_file(path) == public
    assert [entry.name for entry in tmp_path.iterdir()] == ["seal.json"]


@pytest.mark.parametrize("key", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_an_unusable_key_is_refused_with_what_is_wrong(key: str) -> None:
    with pytest.raises(UnusableKeyError, match="public key"):
        Sealer(key)
    with pytest.raises(UnusableKeyError, match="private key"):
        Opener([key])


@pytest.mark.parametrize("content", ["", "{}", '{"keys": []}', '{"keys": [{"private_key": "SECRET"}]}'])
def test_an_unusable_key_file_is_named_and_never_quoted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "seal.json"
    path.write_text(content)
    with pytest.raises(UnusableKeyError, match=r"seal\.json") as caught:
        Opener.from_key_file(path)
    assert "SECRET" not in str(caught.value)
    assert "SECRET" not in repr(caught.value.__context__)


def test_a_missing_key_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UnusableKeyError, match="write_key_file"):
        Opener.from_key_file(tmp_path / "none.json")


def test_a_key_file_holds_matching_pairs(tmp_path: Path) -> None:
    write_key_file(tmp_path / "seal.json")
    (key,) = json.loads((tmp_path / "seal.json").read_text())["keys"]
    assert key["key_id"] == key_id_of(key["public_key"])
    assert Opener([key["private_key"]]).open(*Sealer(key["public_key"]).seal({"a": "b"})) == {"a": "b"}
