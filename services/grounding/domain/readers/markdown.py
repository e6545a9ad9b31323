"""Markdown (CommonMark with tables), read by its syntax tree. Lists, code and tables keep their source text."""

import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from libs.bus import Rejected
from services.grounding.domain.blocks import Block, HeadingPath, Kind, Structure
from services.grounding.domain.readers.html import read_html

_FRONT_MATTER = re.compile(r"\A---\n(?P<fields>(?:[^\n]*\n)*?)(?:---|\.\.\.)(?:\n|\Z)")
_FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(?P<title>[^\"'\n]+)", re.MULTILINE)
_DEEP_QUOTE = re.compile(r"^[ \t]{0,3}(?:>[ \t]?){33}", re.MULTILINE)
_LONGEST_PARAGRAPH = 4_000
_SOURCE_KINDS: dict[str, Kind] = {
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "blockquote_open": "paragraph",
    "table_open": "table",
}


def read_markdown(text: str) -> Structure:
    """Blocks under their headings. A single leading `#` heading is the title. Raises Rejected for what is too deep."""
    text = text.replace("\r\n", "\n")
    title = None
    if (front := _FRONT_MATTER.match(text)) is not None:
        found = _FRONT_TITLE.search(front["fields"])
        title = found["title"].strip() if found else None
        text = text[front.end() :]
    if _DEEP_QUOTE.search(text):
        raise Rejected("the Markdown has quotations within quotations beyond 32 levels; make it flatter")
    tokens = _parser().parse(text)
    return Structure(list(_blocks(tokens, text.split("\n"))), title or _title(tokens))


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.at("inline", _inline)
    return parser


def _inline(state: StateCore) -> None:
    """As the parser does, but a paragraph longer than any honest one is plain text.

    Marks within it would take quadratic time.
    """
    for token in state.tokens:
        if token.type != "inline":
            continue
        token.children = token.children or []
        if len(token.content) > _LONGEST_PARAGRAPH:
            token.children.append(Token("text", "", 0, content=token.content))
        else:
            state.md.inline.parse(token.content, state.md, state.env, token.children)


def _title(tokens: Sequence[Token]) -> str | None:
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        return _plain(tokens[1]) or None
    return None


def _blocks(tokens: Sequence[Token], lines: Sequence[str]) -> Iterator[Block]:
    path = HeadingPath()
    for index, token in enumerate(tokens):
        if token.level != 0:
            continue
        if token.type == "heading_open":
            path.enter(int(token.tag[1:]), _plain(tokens[index + 1]))
        elif (block := _block(token, tokens, index, lines, path.current)) is not None:
            yield from block


def _block(
    token: Token, tokens: Sequence[Token], index: int, lines: Sequence[str], path: tuple[str, ...]
) -> Sequence[Block] | None:
    if token.type == "paragraph_open":
        return _some("paragraph", _plain(tokens[index + 1], keep_code=True), path)
    if token.type in ("fence", "code_block"):
        return _some("code", token.content.rstrip("\n"), path)
    if token.type in _SOURCE_KINDS and token.map is not None:
        source = "\n".join(lines[token.map[0] : token.map[1]]).strip("\n")
        return _some(_SOURCE_KINDS[token.type], source, path)
    if token.type == "html_block":
        return [Block(b.kind, b.text, (*path, *b.path)) for b in read_html(token.content).blocks]
    return None


def _some(kind: Kind, text: str, path: tuple[str, ...]) -> Sequence[Block] | None:
    return [Block(kind, text, path)] if text.strip() else None


def _plain(inline: Token, *, keep_code: bool = False) -> str:
    """The words of a paragraph or heading without the marks around them; links keep their text."""
    parts = []
    for child in inline.children or ():
        if child.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif child.type == "code_inline":
            parts.append(f"`{child.content}`" if keep_code else child.content)
        elif child.type in ("text", "image"):
            parts.append(child.content)
    return "".join(parts).strip()
