"""What a data set says of itself. Its name is the hash of all of it, but for where and after what it was made.

So the same rows, made by the same rules, have the same name wherever and whenever they are made.
"""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from libs.datasets._names import KINDS, Kind, Split
from libs.datasets._rows import COLUMNS
from libs.datasets.policy import Policy

MANIFEST = "manifest.json"
LINEAGE = "lineage.jsonl"


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PolicyUsed(_Fact):
    """The rules, whole, with their digest."""

    name: str
    version: int
    digest: str
    rules: dict[str, Any]

    @property
    def label(self) -> str:
        """As `Policy.label`."""
        return f"{self.name}@{self.version}-{self.digest[:12]}"


class FileFact(_Fact):
    """One file of the data set."""

    rows: int
    bytes: int
    sha256: str


class Manifest(_Fact):
    """`manifest.json`."""

    format: Literal[1] = 1
    name: str
    policy: PolicyUsed
    rows: dict[Kind, dict[Split, int]]
    read: dict[str, int]
    """Examples and judgements that were looked at."""
    left_out: dict[str, dict[str, int]]
    """Counts by reason, of examples, judgements and rows."""
    erased_subjects: int = Field(ge=0)
    """Persons whose judgements were erased before: nothing of them was read. No part of the name."""
    largest_group: int
    """Conversations that had to stay in one split together."""
    columns: dict[Kind, dict[str, str]] = COLUMNS
    files: dict[str, FileFact]
    """By path within the folder."""
    sources: dict[str, dict[str, int]] = {}
    """By topic and partition, the offset before which it was read. No part of the name."""

    @property
    def total(self) -> int:
        """Rows of all kinds."""
        return sum(sum(splits.values()) for splits in self.rows.values())

    def rows_of(self, kind: Kind) -> int:
        """Rows of one kind."""
        return sum(self.rows.get(kind, {}).values())

    def content_hash(self) -> str:
        """What the name must be: SHA-256 in hex."""
        told = self.model_dump(mode="json", exclude={"name", "sources", "erased_subjects"})
        return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def as_json(self) -> str:
        """As it is written."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def manifest_of(
    policy: Policy,
    files: dict[str, FileFact],
    rows: dict[Kind, dict[Split, int]],
    *,
    read: dict[str, int],
    left_out: dict[str, dict[str, int]],
    erased_subjects: int,
    largest_group: int,
    sources: dict[str, dict[str, int]],
) -> Manifest:
    """A manifest with its name."""
    used = PolicyUsed(
        name=policy.name, version=policy.version, digest=policy.digest, rules=policy.model_dump(mode="json")
    )
    nameless = Manifest(
        name="",
        policy=used,
        rows={kind: rows[kind] for kind in KINDS if rows.get(kind)},
        read={subject: read.get(subject, 0) for subject in ("examples", "judgements")},
        left_out=left_out,
        erased_subjects=erased_subjects,
        largest_group=largest_group,
        files=dict(sorted(files.items())),
        sources={
            topic: dict(sorted(ends.items(), key=lambda it: int(it[0]))) for topic, ends in sorted(sources.items())
        },
    )
    return nameless.model_copy(update={"name": nameless.content_hash()})
