"""What an examination is about: adapters and data set, found and known to be whole. Loads no torch."""

from dataclasses import dataclass

from libs.datasets import Dataset, DatasetError, Datasets
from libs.model_registry import Adapter, AdapterError, Adapters
from libs.model_registry.base import base_of
from services.evaluation.domain.exam import Exam
from services.evaluation.examination.errors import BrokenError, RefusedError, RegistryAwayError, UnknownError
from services.evaluation.examination.held_out import check_rows


@dataclass(frozen=True)
class Case:
    """An exam with all that it names."""

    exam: Exam
    candidate: Adapter
    champion: Adapter | None
    """None: the bare base."""
    dataset: Dataset


def opened(exam: Exam, registry: str | None) -> Case:
    """Raises RefusedError, UnknownError, RegistryAwayError; BrokenError where it is the champion's fault.

    `registry`: MLflow's address, for an adapter whose folder is missing here.
    """
    candidate = _whole(exam, exam.model, registry)
    return Case(exam, candidate, _champion(exam, registry), _dataset(exam, candidate))


def _champion(exam: Exam, registry: str | None) -> Adapter | None:
    if exam.champion is None:
        return None
    try:
        return _whole(exam, exam.champion, registry)
    except (RefusedError, UnknownError) as error:
        raise BrokenError(f"the champion cannot be compared with: {error}; roll it back, or restore it") from None


def _whole(exam: Exam, name: str, registry: str | None) -> Adapter:
    adapters = Adapters(exam.models)
    try:
        adapter = adapters.open(name)
    except AdapterError as error:
        adapter = _fetched(name, adapters, registry, str(error))
    if faults := adapter.verify():
        raise RefusedError(f"adapter {name} is damaged: {'; '.join(faults[:3])}")
    its = adapter.card.base
    if its.digest != _digest_of(exam.base):
        raise RefusedError(
            f"adapter {name} belongs to {its.name} as it was, and not to {exam.base} as it is now: train it on that"
        )
    return adapter


def _fetched(name: str, adapters: Adapters, registry: str | None, missing: str) -> Adapter:
    if registry is None:
        raise UnknownError(missing)
    # MLflow takes seconds and a quarter of a gigabyte: only where it is needed.
    from libs.model_registry.registry import Registry, RegistryError  # noqa: PLC0415

    try:
        known = Registry(registry)
        try:
            known.version(name)
        except AdapterError as error:
            raise UnknownError(f"{missing}, and {error}") from None
        return known.fetch(name, adapters)
    except AdapterError as error:
        raise RefusedError(str(error)) from None
    except RegistryError as error:
        raise RegistryAwayError(str(error)) from None


def _digest_of(base: str) -> str:
    try:
        return base_of(base).digest
    except (LookupError, OSError) as error:
        raise BrokenError(f"the base cannot be read: {error}") from None


def _dataset(exam: Exam, candidate: Adapter) -> Dataset:
    try:
        dataset = Datasets(exam.datasets).open(exam.dataset or candidate.card.trained.dataset)
        if faults := dataset.verify():
            raise UnknownError(f"data set {dataset.name} is damaged: {'; '.join(faults[:3])}; publish it again")
        check_rows(dataset)
    except DatasetError as error:
        raise UnknownError(str(error)) from None
    return dataset
