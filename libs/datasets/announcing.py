"""What is said of a data set once it is there. Follows from the store alone: said twice, it is the same event."""

from uuid import NAMESPACE_URL, uuid5

from libs.datasets.dataset import Dataset
from libs.datasets.diff import diff
from libs.datasets.store import Datasets
from schemas.training import DatasetPublished

_EVENTS = uuid5(NAMESPACE_URL, "https://tailrace.dev/datasets")


def announcement(datasets: Datasets, dataset: Dataset) -> DatasetPublished:
    """The event, with what differs from the data set of the same policy before it."""
    manifest = dataset.manifest
    before = datasets.before(dataset)
    found = diff(before, dataset) if before is not None else None
    return DatasetPublished(
        name=dataset.name,
        policy=manifest.policy.name,
        policy_version=manifest.policy.label,
        rows=manifest.rows,
        previous=before.name if before is not None else None,
        added=found.total("added") if found is not None else manifest.total,
        removed=found.total("removed") if found is not None else 0,
        erased_subjects=manifest.erased_subjects,
        sources=manifest.sources,
        published_at=dataset.written_at,
    )


def announcement_id(event: DatasetPublished) -> str:
    """The event's id: one for each data set."""
    return str(uuid5(_EVENTS, event.name))
