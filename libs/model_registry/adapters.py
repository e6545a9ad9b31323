"""A folder of LoRA adapters, each in a folder of its own that is named by its content and never changes.

As PEFT writes and reads them (`adapter_config.json`, `adapter_model.safetensors`), with the model card. An adapter is
put together beside the others and renamed when all of it is on disk: it is there whole or not at all.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from libs.model_registry.card import ModelCard

CONFIG, WEIGHTS, CARD, README = "adapter_config.json", "adapter_model.safetensors", "card.json", "README.md"
_NAME = re.compile(r"[a-z0-9](-?[a-z0-9])*-[0-9a-f]{12}")
_DIGITS = 12


class AdapterError(ValueError):
    """An adapter that cannot be found, read or kept. The message says which, and what to do."""


@dataclass(frozen=True)
class Adapter:
    """A folder that holds an adapter."""

    folder: Path

    @property
    def name(self) -> str:
        """Its recipe's name and the first digits of its digest."""
        return self.folder.name

    @cached_property
    def card(self) -> ModelCard:
        """Raises AdapterError where it is missing or damaged."""
        try:
            return ModelCard.model_validate_json((self.folder / CARD).read_bytes())
        except OSError as error:
            raise AdapterError(f"{self.folder / CARD}: {error.strerror}; this is no adapter of ours") from None
        except ValidationError as error:
            raise AdapterError(f"{self.folder / CARD} is damaged: {error.error_count()} faults") from None

    def verify(self) -> list[str]:
        """What differs from what was trained; empty: nothing."""
        try:
            card = Adapter(self.folder).card
            found = digest_of(self.folder)
        except AdapterError as error:
            return [str(error)]
        faults = [] if card.name == self.name else [f"{CARD}: it is the card of {card.name}"]
        if found != card.digest or not self.name.endswith(found[:_DIGITS]):
            faults.append(f"{self.name}: its content is not what was trained (SHA-256 {found})")
        return faults


class Adapters:
    """The adapters in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list(self) -> tuple[Adapter, ...]:
        """All of them, the oldest first; those whose cards are damaged before all others."""
        if not self.folder.is_dir():
            return ()
        found = [Adapter(path) for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]
        return tuple(sorted(found, key=lambda it: (_age(it), it.name)))

    def open(self, name: str) -> Adapter:
        """The one of that name. Raises AdapterError."""
        path = self.folder / name
        if not _NAME.fullmatch(name) or not path.is_dir():
            raise AdapterError(f'no adapter "{name}" in {self.folder}')
        return Adapter(path)

    def add(self, trained: Path, recipe: str, card: Callable[[str, str], ModelCard]) -> Adapter:
        """Takes in what PEFT has saved in a folder; `card` is asked with name and digest.

        An adapter of the same content that is there already stays as it is. Raises AdapterError.
        """
        digest = digest_of(trained)
        name = f"{recipe}-{digest[:_DIGITS]}"
        target = self.folder / name
        if target.is_dir() and not Adapter(target).verify():
            return Adapter(target)
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".adding.", dir=self.folder))
        try:
            _fill(scratch, trained, card(name, digest))
            if target.is_dir():
                # Damaged since: what is whole takes its place.
                shutil.rmtree(target)
            scratch.chmod(0o755)
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return Adapter(target)


def _age(adapter: Adapter) -> float:
    try:
        return adapter.card.trained_at.timestamp()
    except AdapterError:
        return 0.0


def digest_of(folder: Path) -> str:
    """SHA-256 in hex over configuration and weights. Raises AdapterError where they cannot be read."""
    try:
        config = configuration(folder)
        with (folder / WEIGHTS).open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AdapterError(f"{folder}: {error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise AdapterError(f"{folder / CONFIG} is damaged: {error}") from None
    told = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{told}\n{weights}".encode()).hexdigest()


def configuration(folder: Path) -> dict[str, Any]:
    """PEFT's, but for where the base lay on the machine that trained: that is no part of what was trained."""
    told: dict[str, Any] = json.loads((folder / CONFIG).read_bytes())
    # A set in PEFT: its order is that of the process.
    targets = {"target_modules": sorted(told["target_modules"])} if isinstance(told.get("target_modules"), list) else {}
    return {**told, **targets, "base_model_name_or_path": None}


def _fill(folder: Path, trained: Path, card: ModelCard) -> None:
    told = {**configuration(trained), "base_model_name_or_path": card.base.name}
    _write(folder / CONFIG, (json.dumps(told, indent=2, sort_keys=True) + "\n").encode())
    _write(folder / CARD, (card.model_dump_json(indent=2) + "\n").encode())
    _write(folder / README, card.as_markdown().encode())
    shutil.copyfile(trained / WEIGHTS, folder / WEIGHTS)
    with (folder / WEIGHTS).open("rb") as file:
        os.fsync(file.fileno())


def _write(file: Path, content: bytes) -> None:
    with file.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
