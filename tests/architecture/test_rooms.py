"""Every service has the same rooms: who knows one knows all."""

from pathlib import Path

import pytest

import services
from schemas.base import Lane
from schemas.topics import CATALOGUE

ROOT = Path(services.__file__).parent
NAMES = sorted(folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").exists())
SERVICES = pytest.mark.parametrize("name", NAMES)

ALWAYS = {"README.md", "__init__.py", "__main__.py", "app.py", "settings.py"}
ROOMS = {"adapters", "domain", "domain.py", "handlers", "handlers.py", "memory.py", "ports.py", "routes.py"}
OWN = {
    # The operator's command: what is typed, and the guided tour.
    "console": {"commands", "demo"},
    # Names of OpenTelemetry's GenAI conventions, which still change: all in one place.
    "inference": {"genai.py"},
    # What runs in a process of its own: the only place that loads torch.
    "retraining": {"training"},
    "evaluation": {"examination"},
}


def test_every_service_of_the_design_stands() -> None:
    assert [
        *("console", "evaluation", "feedback", "gateway", "grounding", "inference", "ingestion", "post_processing"),
        *("retraining", "safety"),
    ] == NAMES


@SERVICES
def test_a_service_has_the_rooms_that_all_have(name: str) -> None:
    assert {path.name for path in _entries(name)} >= ALWAYS


@SERVICES
def test_a_service_has_no_room_that_others_do_not_know(name: str) -> None:
    unknown = {
        path.name
        for path in _entries(name)
        if path.name not in ALWAYS | ROOMS | OWN.get(name, set()) and not _is_private(path) and not _is_data(path)
    }
    assert not unknown


@SERVICES
def test_a_readme_says_what_the_service_is_and_how_it_is_set(name: str) -> None:
    text = (ROOT / name / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert f"TAILRACE_{name.upper()}_" in text


@SERVICES
def test_a_readme_names_every_topic_that_the_service_hears(name: str) -> None:
    text = (ROOT / name / "README.md").read_text(encoding="utf-8")
    heard = {t.name for t in CATALOGUE if name in t.consumers and t.event and t.lane is not Lane.BATCH}
    assert not {topic for topic in heard if topic not in text} or name == "console"


@SERVICES
def test_what_a_service_hears_and_says_stands_in_its_routes(name: str) -> None:
    assert (ROOT / name / "routes.py").exists() or name == "console"


@SERVICES
def test_a_service_says_in_a_sentence_what_it_is(name: str) -> None:
    docstring = (ROOT / name / "__init__.py").read_text(encoding="utf-8")
    assert docstring.startswith('"""')


def _entries(name: str) -> list[Path]:
    return [path for path in (ROOT / name).iterdir() if path.name != "__pycache__"]


def _is_private(path: Path) -> bool:
    return path.suffix == ".py" and path.name.startswith("_")


def _is_data(path: Path) -> bool:
    """Templates, policies and the like lie beside the code."""
    return path.is_dir() and not any(path.rglob("*.py"))
