"""HTML, as browsers see it: scripts, styles and navigation left out, headings, lists, code and tables kept."""

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from libs.bus import Rejected
from services.grounding.domain.blocks import Block, HeadingPath, Kind, Structure

_NOISE = ("script", "style", "noscript", "template", "nav", "svg", "iframe", "form", "button", "head")
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CONTAINERS = frozenset(
    {"html", "body", "main", "article", "section", "div", "header", "footer", "aside", "figure", "figcaption"}
    | {"details", "summary", "blockquote", "center", "dl", "dt", "dd"}
)
_WHITE = re.compile(r"\s+")
_DEEPEST = 64
_MOST_TAGS = 50_000


def read_html(text: str) -> Structure:
    """Blocks under their headings. The title is that of `<title>`, or the first `<h1>`.

    Raises Rejected for what is nested too deep or has too many tags: reading it would take minutes.
    """
    if text.count("<") > _MOST_TAGS:
        raise Rejected(f"the HTML has more than {_MOST_TAGS} tags; split the document")
    soup = BeautifulSoup(_closed(text), "html.parser")
    if _deeper_than(soup, _DEEPEST):
        raise Rejected(f"the HTML is nested deeper than {_DEEPEST} levels; close its tags, or make it flatter")
    title = soup.title.get_text(" ", strip=True) if soup.title else None
    for element in soup(_NOISE):
        element.decompose()
    first = soup.find("h1")
    title = title or (_words(first) if first else None)
    return Structure(list(_blocks(soup, HeadingPath())), title or None)


def _closed(text: str) -> str:
    """Without comments and the like, and without a last tag that never ends.

    The parser would look for the end of each of them anew, in all of the text.
    """
    for opening, closing in (("<!--", "-->"), ("<![", ">"), ("<?", ">")):
        kept, at = [], 0
        while (start := text.find(opening, at)) >= 0:
            kept.append(text[at:start])
            end = text.find(closing, start + len(opening))
            at = end + len(closing) if end >= 0 else len(text)
        text = "".join((*kept, text[at:]))
    last = text.rfind(">") + 1
    return text[:last] + text[last:].replace("<", "&lt;")


def _deeper_than(soup: BeautifulSoup, levels: int) -> bool:
    level: list[Tag] = [soup]
    for _ in range(levels + 1):
        level = [child for tag in level for child in tag.children if isinstance(child, Tag)]
    return bool(level)


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
