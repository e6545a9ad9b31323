"""HTML, as browsers see it: scripts, styles and navigation left out, headings, lists, code and tables kept."""

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from services.grounding.domain.blocks import Block, HeadingPath, Kind, Structure

_NOISE = ("script", "style", "noscript", "template", "nav", "svg", "iframe", "form", "button", "head")
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CONTAINERS = frozenset(
    {"html", "body", "main", "article", "section", "div", "header", "footer", "aside", "figure", "figcaption"}
    | {"details", "summary", "blockquote", "center", "dl", "dt", "dd"}
)
_WHITE = re.compile(r"\s+")


def read_html(text: str) -> Structure:
    """Blocks under their headings. The title is that of `<title>`, or the first `<h1>`."""
    soup = BeautifulSoup(text, "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else None
    for element in soup(_NOISE):
        element.decompose()
    first = soup.find("h1")
    title = title or (_words(first) if first else None)
    return Structure(list(_blocks(soup, HeadingPath())), title or None)


def _blocks(root: Tag, path: HeadingPath) -> Iterator[Block]:
    loose: list[str] = []
    for child in root.children:
        if _is_inline(child):
            loose.append(_inline_text(child))
            continue
        yield from _paragraph(loose, path)
        if isinstance(child, Tag):
            yield from _block(child, path)
    yield from _paragraph(loose, path)


def _block(tag: Tag, path: HeadingPath) -> Iterator[Block]:
    if tag.name in _HEADINGS:
        path.enter(_HEADINGS[tag.name], _words(tag).rstrip("¶#").strip())
    elif tag.name == "pre":
        yield from _some("code", tag.get_text().strip("\n"), path)
    elif tag.name in ("ul", "ol"):
        yield from _some("list", "\n".join(_items(tag, 0)), path)
    elif tag.name == "table":
        yield from _some("table", "\n".join(_rows(tag)), path)
    else:
        yield from _blocks(tag, path)


def _is_inline(element: PageElement) -> bool:
    if isinstance(element, NavigableString):
        return True
    if not isinstance(element, Tag):
        return False
    block_names = {*_HEADINGS, *_CONTAINERS, "p", "pre", "ul", "ol", "table", "hr"}
    return element.name not in block_names and element.find(list(block_names)) is None


def _inline_text(element: PageElement) -> str:
    if isinstance(element, Tag):
        return "\n" if element.name == "br" else element.get_text()
    # Comments, doctypes and the like are strings too, but no text.
    return "" if isinstance(element, PreformattedString) else str(element)


def _paragraph(loose: list[str], path: HeadingPath) -> Iterator[Block]:
    text = _WHITE.sub(" ", "".join(loose)).strip()
    loose.clear()
    yield from _some("paragraph", text, path)


def _some(kind: Kind, text: str, path: HeadingPath) -> Iterator[Block]:
    if text.strip():
        yield Block(kind, text, path.current)


def _words(tag: Tag) -> str:
    return _WHITE.sub(" ", tag.get_text(" ")).strip()


def _items(tag: Tag, depth: int) -> Iterator[str]:
    for number, item in enumerate(tag.find_all("li", recursive=False), 1):
        nested = [element for element in item.find_all(["ul", "ol"]) if element.find_parent(["ul", "ol"]) is tag]
        inner = [element.extract() for element in nested]
        mark = f"{number}." if tag.name == "ol" else "-"
        yield f"{'  ' * depth}{mark} {_words(item)}"
        for element in inner:
            yield from _items(element, depth + 1)


def _rows(table: Tag) -> Iterator[str]:
    for row in table.find_all("tr"):
        cells = [_words(cell) for cell in row.find_all(["td", "th"])]
        if any(cells):
            yield f"| {' | '.join(cells)} |"
