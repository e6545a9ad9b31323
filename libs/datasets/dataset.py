"""One published data set: its manifest, its rows, their lineage, and whether all of it is as it was written."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from libs.datasets._names import Form, Kind, Origin, Split
from libs.datasets._rows import row_id
from libs.datasets._writer import file_of
from libs.datasets.manifest import LINEAGE, MANIFEST, FileFact, Manifest


class DatasetError(ValueError):
    """A data set that cannot be found, read or made. The message says which, and what to do."""


class EmptyDatasetError(DatasetError):
    """No example becomes a row; the message says why."""


class Answered(BaseModel):
    """An answer that a row was made of."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    response_id: str
    prompt_id: str
    conversation_id: str
    model: dict[str, str]
    template: str


class RowLineage(BaseModel):
    """Where a row came from, and where it lies."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    row: str
    kind: Kind
    split: Split
    line: int
    """From 1, in the split's file."""
    tenant: str
    made_of: tuple[Origin, ...]
    answers: tuple[Answered, ...]
    """One; of two answers, the chosen one comes first."""
    feedback: tuple[str, ...]

    @classmethod
    def of(cls, line: bytes) -> "RowLineage":
        """A line of `lineage.jsonl`."""
        told = json.loads(line)
        return cls.model_validate({**told, "made_of": told["from"]})


@dataclass(frozen=True)
class Dataset:
    """A folder that holds a data set."""

    folder: Path

    @property
    def name(self) -> str:
        """Its content hash."""
        return self.folder.name

    @cached_property
    def manifest(self) -> Manifest:
        """Raises DatasetError where it is missing or damaged."""
        try:
            return Manifest.model_validate_json((self.folder / MANIFEST).read_bytes())
        except OSError as error:
            raise DatasetError(f"{self.folder / MANIFEST}: {error.strerror}; this is no data set") from None
        except ValidationError as error:
            raise DatasetError(f"{self.folder / MANIFEST} is damaged: {error.error_count()} faults") from None

    @property
    def written_at(self) -> datetime:
        """When its manifest was written, as the file system has it."""
        return datetime.fromtimestamp((self.folder / MANIFEST).stat().st_mtime, UTC)

    def path(self, kind: Kind, split: Split, form: Form = "conversational") -> Path | None:
        """The file of these rows, for TRL; None: there are none."""
        name = file_of(form, kind, split)
        return self.folder / name if name in self.manifest.files else None

    def rows(self, kind: Kind, split: Split, form: Form = "conversational") -> Iterator[dict[str, Any]]:
        """These rows, in the order of their ids."""
        if (path := self.path(kind, split, form)) is not None:
            with path.open("rb") as file:
                yield from map(json.loads, file)

    def identified(self, kind: Kind, split: Split) -> Iterator[tuple[str, str]]:
        """These rows' ids and lines, in that order."""
        if (path := self.path(kind, split)) is not None:
            with path.open(encoding="utf-8", newline="\n") as file:
                yield from ((row_id(kind, line), line) for line in (it.rstrip("\n") for it in file))

    def lineage(self) -> Iterator[RowLineage]:
        """Of each row, by kind and id."""
        yield from map(RowLineage.of, self.lineage_lines())

    def lineage_lines(self, *holding: bytes) -> Iterator[bytes]:
        """The same as bytes; with `holding`, only lines that have one of these in them."""
        if LINEAGE not in self.manifest.files:
            return
        with (self.folder / LINEAGE).open("rb") as file:
            yield from (line for line in file if not holding or any(it in line for it in holding))

    def verify(self) -> list[str]:
        """What differs from what was published; empty: nothing."""
        try:
            # Not the one that was read before: the file may have changed since.
            manifest = Dataset(self.folder).manifest
        except DatasetError as error:
            return [str(error)]
        found = []
        if manifest.content_hash() != self.name or manifest.name != self.name:
            found.append(f"{MANIFEST}: its hash is {manifest.content_hash()}, not the data set's name")
        found += [f"{name}: {fault}" for name, fact in manifest.files.items() if (fault := self._fault(name, fact))]
        known = {*manifest.files, MANIFEST}
        lying = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if not path.is_dir()}
        found += [f"{name}: does not belong to the data set" for name in sorted(lying - known)]
        return found or self._mismatched()

    def _fault(self, name: str, fact: FileFact) -> str | None:
        try:
            with (self.folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return error.strerror or "cannot be read"
        return None if found == fact.sha256 else "its content is not what was published"

    def _mismatched(self) -> list[str]:
        """Rows and lineage side by side: only a fault of the maker's could part them."""
        with ExitStack() as stack:
            files: dict[tuple[Kind, Split], BinaryIO] = {}
            for told in self.lineage():
                where = (told.kind, told.split)
                if where not in files:
                    files[where] = stack.enter_context((self.folder / file_of("conversational", *where)).open("rb"))
                if row_id(told.kind, files[where].readline().decode().rstrip("\n")) != told.row:
                    return [f"{LINEAGE}: row {told.row} is not line {told.line} of {file_of('conversational', *where)}"]
            left = [file_of("conversational", *where) for where, file in files.items() if file.readline()]
        return [f"{name}: holds rows without lineage" for name in left]
