"""Sealed boxes: who holds the public key can seal a mapping of masked values, only the private key's holder opens it.

libsodium's anonymous public-key boxes (PyNaCl `SealedBox`: X25519, XSalsa20-Poly1305). A key id, a short hash of the
public key, travels beside each box, so that keys can be rotated: seal with the newest, open with any still held.
Knows no event, no policy and no service.
"""

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

_MAPPING = TypeAdapter(dict[str, str])


class UnusableKeyError(ValueError):
    """A key or key file is not what it should be. The message says where and how to mend it, never the key."""


class UnopenableBoxError(ValueError):
    """A box could not be opened: sealed to a key that is not held here, or damaged."""


def key_id_of(public_key: str) -> str:
    """The first 16 hex digits of SHA-256 over the raw public key. `public_key` is base64. Raises UnusableKeyError."""
    return hashlib.sha256(_raw_key(public_key, "public key")).hexdigest()[:16]


def generate_key_pair() -> tuple[str, str]:
    """A fresh (public key, private key), each base64 over 32 bytes."""
    private = PrivateKey.generate()
    return _encode(bytes(private.public_key)), _encode(bytes(private))


class Sealer:
    """Seals to one public key (base64 over 32 bytes). Raises UnusableKeyError if it is none."""

    def __init__(self, public_key: str) -> None:
        self.key_id = key_id_of(public_key)
        self._box = SealedBox(PublicKey(_raw_key(public_key, "public key")))

    def seal(self, mapping: Mapping[str, str]) -> tuple[str, str]:
        """(box in base64, key id). The box differs each time, even for the same mapping."""
        return _encode(self._box.encrypt(json.dumps(dict(mapping), ensure_ascii=False).encode())), self.key_id


class Opener:
    """Opens boxes sealed to any of these private keys (base64 over 32 bytes each). Raises UnusableKeyError."""

    def __init__(self, private_keys: Iterable[str]) -> None:
        keys = [PrivateKey(_raw_key(key, "private key")) for key in private_keys]
        self._boxes = {key_id_of(_encode(bytes(key.public_key))): SealedBox(key) for key in keys}

    @classmethod
    def from_key_file(cls, path: Path) -> Self:
        """All keys of a file that `write_key_file` made. Raises UnusableKeyError."""
        return cls(key.private_key for key in _read(path).keys)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Ids of the keys held."""
        return tuple(self._boxes)

    def open(self, box: str, key_id: str | None = None) -> dict[str, str]:
        """The mapping in a box. Without a key id every held key is tried. Raises UnopenableBoxError."""
        if key_id is not None and key_id not in self._boxes:
            raise UnopenableBoxError(f"sealed to the key {key_id}; held are: {', '.join(self._boxes) or 'none'}")
        candidates = [self._boxes[key_id]] if key_id is not None else list(self._boxes.values())
        for candidate in candidates:
            if (mapping := _open(candidate, box)) is not None:
                return mapping
        raise UnopenableBoxError(f"the box is damaged or not sealed to: {key_id or ', '.join(self._boxes) or 'no key'}")


class _Key(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    key_id: str
    public_key: str
    private_key: str


class _KeyFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    keys: tuple[_Key, ...] = Field(min_length=1)


def write_key_file(path: Path) -> str:
    """Makes a key file (mode 0600) if there is none. Returns the public key to seal with, base64.

    The file is JSON: `{"keys": [{"key_id", "public_key", "private_key"}]}`, newest first. Raises UnusableKeyError.
    """
    return _read(path).keys[0].public_key if path.exists() else rotate_key_file(path)


def rotate_key_file(path: Path) -> str:
    """Puts a fresh key before those of the file (made if there is none). Returns the new public key, base64."""
    held = _read(path).keys if path.exists() else ()
    public, private = generate_key_pair()
    fresh = _Key(key_id=key_id_of(public), public_key=public, private_key=private)
    _write(path, _KeyFile(keys=(fresh, *held)))
    return public


def _write(path: Path, content: _KeyFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(content.model_dump_json(indent=2) + "\n")
    draft.replace(path)


def _read(path: Path) -> _KeyFile:
    try:
        return _KeyFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UnusableKeyError(
            f"key file {path}: {error.strerror}; make one with libs.sealing.write_key_file"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        shape = '{"keys": [{"key_id", "public_key", "private_key"}]}'
        raise UnusableKeyError(f"key file {path}: {where}: {first['msg']}; it must hold {shape}") from None


def _raw_key(encoded: str, what: str) -> bytes:
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise UnusableKeyError(f"the {what} is not base64; generate_key_pair() makes a good one") from None
    if len(raw) != PrivateKey.SIZE:
        raise UnusableKeyError(f"the {what} holds {len(raw)} bytes instead of 32; generate_key_pair() makes a good one")
    return raw


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _open(candidate: SealedBox[PrivateKey], box: str) -> dict[str, str] | None:
    try:
        return _MAPPING.validate_json(candidate.decrypt(base64.b64decode(box, validate=True)))
    except (CryptoError, ValueError):
        return None
