"""A very small base, two random adapters on it and a data set, made once for all that is examined here."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from libs.bus import InMemoryBus
from libs.datasets import Dataset, Datasets, read_policy
from libs.model_registry import Adapter
from tests.support.evaluations import random_adapter
from tests.support.examples import example, judged
from tests.support.trainings import polite, tiny_base
from tests.unit.evaluation.places import Place


@dataclass(frozen=True)
class Lot:
    """What may be examined; nothing in it may be changed."""

    folder: Path
    base: Path
    dataset: Dataset
    one: Adapter
    two: Adapter

    @property
    def models(self) -> Path:
        """The folder of adapters."""
        return self.folder / "models"


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """Other workers of the test run want the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def lot(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Lot:
    folder = tmp_path_factory.mktemp("lot")
    base = tiny_base(folder / "base")
    thumbs = [
        example(f"v-{n}", judged("thumb", n % 2 == 0, by=f"u-{n}"), asked=f"Where is parcel {n}?", text=f"In hall {n}.")
        for n in range(60)
    ]
    dataset = Datasets(folder / "datasets").publish([*polite(80), *thumbs], read_policy()).dataset
    one, two = (random_adapter(folder / "models", base, dataset.name, seed=seed) for seed in (1, 2))
    return Lot(folder, base, dataset, one, two)


@pytest.fixture
def place(in_memory: InMemoryBus, tmp_path: Path) -> Place:
    return Place(in_memory, tmp_path)
