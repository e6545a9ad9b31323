"""Which rows a job gets, and whether they can be trained on. Loads no torch: what is refused is refused at once."""

from collections.abc import Iterator

from libs.datasets import Dataset, DatasetError, Datasets, Split, fault_of_row
from libs.model_registry import Adapters, Base
from schemas.training import Method
from services.retraining.domain.job import Job
from services.retraining.domain.selection import Selection, TooFewRowsError, select


class RefusedError(ValueError):
    """What was asked for can never be trained; the message says why, and what to do."""


def chosen_rows(job: Job, start: str | None) -> tuple[Dataset, Selection]:
    """The data set, as it was published, and its rows for this job. Raises RefusedError.

    `start`: the adapter it starts from.
    """
    datasets = Datasets(job.datasets)
    try:
        dataset = datasets.open(job.dataset)
        if faults := dataset.verify():
            raise RefusedError(f"data set {dataset.name} is damaged: {'; '.join(faults[:3])}; publish it again")
        rows = _checked(dataset, job.recipe.method, "train")
        _checked(dataset, job.recipe.method, "validation")
        return dataset, select(job.recipe, rows, _seen(job, start, datasets), job.seed)
    except (DatasetError, TooFewRowsError) as error:
        raise RefusedError(str(error)) from None


def check_base(adapter: str, its: Base, ours: Base) -> None:
    """Whether an adapter belongs to the very base that is trained on. Raises RefusedError."""
    if its.digest != ours.digest:
        raise RefusedError(
            f"the champion {adapter} belongs to {its.name} as it was, and not to {ours.name} as it is now: "
            "train from the base, or name the champion's in TAILRACE_RETRAINING_BASE"
        )


def lines_of(dataset: Dataset, method: Method, split: Split, rows: set[str] | None = None) -> Iterator[str]:
    """These rows as they stand in their file. None: all of the split."""
    return (line for row, line in dataset.identified(method, split) if rows is None or row in rows)


def _seen(job: Job, start: str | None, datasets: Datasets) -> set[str] | None:
    """Rows that the adapter it starts from had; none of them where its data set is gone, as after an erasure."""
    if start is None:
        return None
    card = Adapters(job.models).open(start).card
    try:
        # Of the method that it was trained by: rows of another kind are new to it.
        return {row for row, _ in datasets.open(card.trained.dataset).identified(card.method, "train")}
    except DatasetError:
        return set()


def _checked(dataset: Dataset, method: Method, split: Split) -> list[str]:
    """The ids of the rows, once all of them are rows."""
    found = []
    for number, (row, line) in enumerate(dataset.identified(method, split), start=1):
        if fault := fault_of_row(method, line):
            raise RefusedError(
                f"data set {dataset.name}, {method}, {split}, line {number}: {fault}; "
                "mend what made it, and publish again"
            )
        found.append(row)
    return found
