"""From answers to rows, data sets, the adapters trained on them and their answers, and back. Knows no terminal."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from libs.datasets import Answered, Dataset, Datasets, RowLineage, lineage_of
from libs.model_registry import Adapter, AdapterError
from services.console.domain.ancestry import AdapterMade, DatasetMade, RowMade, adapter_made
from services.console.domain.errors import ConsoleError
from services.console.domain.models import Models


@dataclass(frozen=True)
class Lineage:
    """Over data sets and adapters as they are now. Raises DatasetError, AdapterError where one is damaged."""

    datasets: Datasets
    models: Models

    def of(self, wanted: str) -> AdapterMade | DatasetMade | tuple[RowMade, ...]:
        """What has that name, else the rows that have to do with that id, else the one whose name begins so.

        Raises ConsoleError where there is none, or more than one name begins so.
        """
        if (named := self._named(wanted)) is not None:
            return self._made(named)
        return self._rows(wanted, self.datasets.list()) or self._made(self._begun(wanted))

    def within(self, dataset: Dataset, wanted: str) -> tuple[RowMade, ...]:
        """The rows of that data set that are `wanted`, or made of it. Raises ConsoleError where there is none."""
        if rows := self._rows(wanted, (dataset,)):
            return rows
        raise ConsoleError(f'"{wanted}" is not in data set {dataset.name} in {self.datasets.folder}')

    def _named(self, wanted: str) -> Adapter | Dataset | None:
        if wanted == "latest":
            return self.datasets.latest()
        known: tuple[Adapter | Dataset, ...] = (*self.models.adapters.list(), *self.datasets.list())
        return next((it for it in known if it.name == wanted), None)

    def _begun(self, letters: str) -> Adapter | Dataset:
        found: tuple[Adapter | Dataset, ...] = (*self.models.beginning(letters), *self.datasets.beginning(letters))
        if len(found) == 1:
            return found[0]
        if found:
            may_be = ", ".join(it.name for it in found[:4])
            raise ConsoleError(f'"{letters}" may be {may_be}: type more of it', exit_code=2)
        datasets, adapters = self.datasets, self.models.adapters
        raise ConsoleError(
            f'"{letters}" is in none of {len(datasets.list())} data sets in {datasets.folder}; none of them, and none '
            f"of {len(adapters.list())} adapters in {adapters.folder}, has a name that begins so"
        )

    def _made(self, found: Adapter | Dataset) -> AdapterMade | DatasetMade:
        if isinstance(found, Adapter):
            made = adapter_made(self.models, found)
            here = made.dataset in {it.name for it in self.datasets.list()}
            return made.model_copy(update={"dataset_is_here": here})
        return DatasetMade(
            name=found.name,
            policy=found.manifest.policy.label,
            rows=found.manifest.rows,
            written_at=found.written_at,
            adapters=self._trained(found.name),
        )

    def _rows(self, wanted: str, places: Sequence[Dataset]) -> tuple[RowMade, ...]:
        return tuple(self._row(place, row) for place in reversed(places) for row in lineage_of(place, wanted))

    def _row(self, place: Dataset, row: RowLineage) -> RowMade:
        answers = [{**dict(it), "adapter_dataset": self._taught_by(it)} for it in row.answers]
        made = {"dataset": place.name, "answers": answers, "adapters": self._trained(place.name)}
        return RowMade.model_validate({**dict(row), **made})

    def _taught_by(self, answer: Answered) -> str | None:
        adapter = answer.model.get("adapter")
        # Answers from before data sets were named with them: the card knows.
        return None if adapter is None else answer.model.get("dataset") or self._trained_on.get(adapter)

    def _trained(self, dataset: str) -> tuple[str, ...]:
        return tuple(adapter for adapter, on in self._trained_on.items() if on == dataset)

    @cached_property
    def _trained_on(self) -> Mapping[str, str]:
        """By adapter, of those whose cards can be read."""
        found = {}
        for adapter in self.models.adapters.list():
            with suppress(AdapterError):
                found[adapter.name] = adapter.card.trained.dataset
        return found
