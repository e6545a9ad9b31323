"""Sources of an answer as people read them."""

from collections.abc import Iterable, Mapping
from typing import Any


def source_lines(sources: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line a source: its number, its title, where in the document, and the document's id."""
    return [_line(source) for source in sources]


def _line(source: Mapping[str, Any]) -> str:
    name = source.get("title") or source["document_id"]
    where = f", {source['location']}" if source.get("location") else ""
    document = f" ({source['document_id']})" if source.get("title") else ""
    return f"[{source['number']}] {name}{where}{document}"
