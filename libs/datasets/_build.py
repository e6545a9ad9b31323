"""The making of one data set, from examples to its folder: the steps in their order."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from libs.datasets._alike import drop_contradictions, drop_near_duplicates
from libs.datasets._derive import Derivation
from libs.datasets._groups import Groups
from libs.datasets._pairs import Pairing
from libs.datasets._tally import Tally
from libs.datasets._workbench import Workbench
from libs.datasets._writer import Writer, sync_folder, write_manifest
from libs.datasets.dataset import Dataset, DatasetError, EmptyDatasetError
from libs.datasets.manifest import MANIFEST, manifest_of
from libs.datasets.policy import Policy
from schemas.feedback import ExampleRecorded


@dataclass(frozen=True)
class Published:
    """What came of it. `is_new` False: the very same data set was there already."""

    dataset: Dataset
    is_new: bool


class Build:
    """One making; `Datasets.building` gives it its folder and sweeps up behind it."""

    def __init__(self, home: Path, work: Path, policy: Policy) -> None:
        self._home, self._folder, self._policy = home, work / "dataset", policy
        self._bench = Workbench(work / "bench.sqlite")
        self._tally = Tally()
        self._writer: Writer | None = None

    def take(self, examples: Iterable[ExampleRecorded]) -> None:
        """More examples; of one response, the last state counts."""
        self._bench.put(examples)

    def drop(self, response_id: str) -> None:
        """The example of this response is no more."""
        self._bench.drop_example(response_id)

    def note_unreadable(self) -> None:
        """A record was no example."""
        self._tally.leave_out("examples", "unreadable")

    def publish(self, *, sources: Mapping[str, Mapping[int, int]], erased_subjects: int = 0) -> Published:
        """Makes the folder. Raises DatasetError."""
        derivation = Derivation(self._bench, self._policy, self._tally)
        derivation.run()
        Pairing(self._bench, self._policy, self._tally, derivation).run()
        drop_contradictions(self._bench, self._policy, self._tally)
        drop_near_duplicates(self._bench, self._policy, self._tally)
        groups = Groups(self._bench, self._policy.splits)
        groups.join()
        return self._put_in_place(groups, sources, erased_subjects)

    def _put_in_place(self, groups: Groups, sources: Mapping[str, Mapping[int, int]], erased: int) -> Published:
        self._folder.mkdir()
        self._writer = Writer(self._folder)
        for kind, row, lineage, body in self._bench.rows():
            told = json.loads(lineage)
            self._writer.add(kind, row, groups.split_of(told), told, body)
        files = self._writer.close()
        manifest = manifest_of(
            self._policy,
            files,
            self._writer.rows,
            read={str(subject): count for subject, count in self._tally.read.items()},
            left_out=self._tally.left_out,
            erased_subjects=erased,
            largest_group=groups.largest,
            sources={topic: {str(p): end for p, end in ends.items()} for topic, ends in sources.items()},
        )
        if not manifest.total:
            raise EmptyDatasetError(f"no example becomes a row; left out: {_told(manifest.left_out)}")
        write_manifest(self._folder, manifest, MANIFEST)
        return self._renamed(manifest.name)

    def _renamed(self, name: str) -> Published:
        target = Dataset(self._home / name)
        if is_new := not target.folder.exists():
            self._folder.rename(target.folder)
            sync_folder(self._home)
        if faults := target.verify():
            raise DatasetError(
                f"{target.folder} is not what was written: {'; '.join(faults)}; move it away and publish again"
            )
        return Published(target, is_new)

    def stop(self) -> None:
        """From another thread: what is being done with the examples ends in an error, soon."""
        self._bench.db.interrupt()

    def close(self) -> None:
        """Lets go of all files."""
        if self._writer is not None:
            self._writer.abandon()
        self._bench.close()


def _told(left_out: Mapping[str, Mapping[str, int]]) -> str:
    told = [f"{count} {subject} {reason}" for subject, why in left_out.items() for reason, count in why.items()]
    return ", ".join(told) or "nothing, for there were no examples"
