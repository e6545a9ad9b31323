"""A folder of data sets, each in a folder of its own that is named by its content hash and never changes.

A data set is made beside the others under another name and renamed when all of it is on disk: it is there whole or
not at all. One maker works at a time; what a killed one left is swept away by the next.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from libs.datasets._build import Build, Published
from libs.datasets.dataset import Dataset, DatasetError
from libs.datasets.policy import Policy
from schemas.feedback import ExampleRecorded

_NAME = re.compile(r"[0-9a-f]{64}")
_WORK = ".building"


class Datasets:
    """The data sets in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list(self) -> tuple[Dataset, ...]:
        """All of them, the oldest first."""
        if not self.folder.is_dir():
            return ()
        found = [Dataset(path) for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]
        return tuple(sorted(found, key=lambda it: (it.written_at, it.name)))

    def latest(self, policy: str | None = None) -> Dataset | None:
        """The last one written; with `policy`, by a policy of that name."""
        found = (it for it in reversed(self.list()) if policy is None or it.manifest.policy.name == policy)
        return next(found, None)

    def before(self, dataset: Dataset) -> Dataset | None:
        """The one of the same policy that was written last before it."""
        policy, known = dataset.manifest.policy.name, self.list()
        earlier = known[: known.index(dataset)]
        return next((it for it in reversed(earlier) if it.manifest.policy.name == policy), None)

    def beginning(self, digits: str) -> tuple[Dataset, ...]:
        """Those whose names begin so, the oldest first; of fewer than four digits, none."""
        known = self.list() if re.fullmatch("[0-9a-f]{4,64}", digits) else ()
        return tuple(it for it in known if it.name.startswith(digits))

    def open(self, name: str) -> Dataset:
        """The one of that name, or whose name alone begins so; `latest` is the last one. Raises DatasetError."""
        known = self.list()
        if name == "latest" and known:
            return known[-1]
        found = self.beginning(name)
        if len(found) == 1:
            return found[0]
        if found:
            raise DatasetError(f'{len(found)} data sets begin with "{name}"; give more of the name')
        raise DatasetError(
            f'no data set "{name}" in {self.folder}; give `latest`, or a name or its first four or more digits, as '
            "`tailrace datasets list` shows them"
        )

    def publish(
        self,
        examples: Iterable[ExampleRecorded],
        policy: Policy,
        *,
        sources: Mapping[str, Mapping[int, int]] | None = None,
        erased_subjects: int = 0,
    ) -> Published:
        """Makes a data set of the examples, in any order. Raises DatasetError, e.g. where no row comes of them."""
        with self.building(policy) as build:
            build.take(examples)
            return build.publish(sources=sources or {}, erased_subjects=erased_subjects)

    @contextmanager
    def building(self, policy: Policy) -> Iterator[Build]:
        """For examples that come bit by bit. Raises DatasetError while another maker is at work."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            work = self.folder / _WORK
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            build = Build(self.folder, work, policy)
            try:
                yield build
            finally:
                build.close()
                shutil.rmtree(work, ignore_errors=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        number = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DatasetError(f"another data set is being made in {self.folder}; wait until it is done") from None
            yield
        finally:
            os.close(number)
