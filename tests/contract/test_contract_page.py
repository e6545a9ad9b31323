"""docs/contract.md says what the code does: its bodies are valid, its tables complete, its links lead somewhere."""

import ast
import json
import re
from pathlib import Path
from typing import get_args

import pytest

from schemas.base import Event, ReasonCode
from schemas.documents import DocumentSubmitted
from schemas.feedback import FeedbackSubmitted
from schemas.prompts import PromptSubmitted
from schemas.responses import ResponseReady
from schemas.topics import CATALOGUE, REPLY_PARTITIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
UPSTREAM = (ROOT / "docs" / "examples" / "upstream.py").read_text(encoding="utf-8")
BODIES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
DOCUMENTS = [ROOT / "README.md", *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("services/*/README.md")]


@pytest.mark.parametrize(
    ("body", "event"),
    list(zip(BODIES, (PromptSubmitted, ResponseReady, DocumentSubmitted, FeedbackSubmitted), strict=True)),
)
def test_a_body_on_the_page_is_valid(body: str, event: type[Event]) -> None:
    parsed = event.model_validate_json(body)
    assert json.loads(body).keys() <= json.loads(parsed.model_dump_json()).keys()


def test_the_page_shows_every_field_of_a_prompt_and_of_an_outcome() -> None:
    assert json.loads(BODIES[0]).keys() == PromptSubmitted.model_fields.keys()
    assert json.loads(BODIES[1]).keys() == ResponseReady.model_fields.keys()


def test_every_reason_code_is_explained() -> None:
    assert set(re.findall(r"^\| `([a-z_]+)` \| (?:refused|failed) \|", PAGE, re.MULTILINE)) == set(get_args(ReasonCode))


def test_the_table_of_topics_holds_every_public_one() -> None:
    rows = re.findall(r"^\| (`[a-z`, -]+) \| (?:write|read)", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}
    assert named == {t.name for t in CATALOGUE if t.access != "internal"} | {"reply"}


def test_the_page_knows_how_many_callers_can_have_a_partition_of_their_own() -> None:
    assert f"`reply` has {REPLY_PARTITIONS} partitions" in PAGE


def test_the_example_needs_nothing_of_ours() -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(UPSTREAM))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {"libs", "schemas", "services", "infra"}


def test_python_on_the_page_is_python() -> None:
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        compile(block, "docs/contract.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]
