from pathlib import Path

import pytest

from libs.language_models import TokenCounter, default_model_dir


@pytest.fixture(scope="session")
def model_folder() -> Path:
    return default_model_dir()


@pytest.fixture(scope="session")
def counter(model_folder: Path) -> TokenCounter:
    return TokenCounter.from_folder(model_folder)
