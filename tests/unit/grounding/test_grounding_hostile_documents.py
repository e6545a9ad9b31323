"""Documents made to stall the reader: refused, or read in bounded time."""

import time

import pytest

from libs.bus import Rejected
from services.grounding.domain.chunking import Sizes, chunk
from services.grounding.domain.readers import read_html, read_markdown, read_pdf, read_plain
from tests.support.hostile.documents import one_page_pdf

BOUND = 10
"""Seconds of CPU time; unbounded, each of these takes minutes."""


@pytest.mark.parametrize("text", ["<ul><li>" * 3_000 + "x", "<div>" * 5_000, "<b>" * 5_000, "<p>x</p>" * 50_001])
def test_html_that_is_too_deep_or_too_large_is_refused(text: str) -> None:
    began = time.process_time()
    with pytest.raises(Rejected, match=r"nested deeper|tags"):
        read_html(text)
    assert time.process_time() - began < BOUND


@pytest.mark.parametrize("opening", ["<!--", "<![CDATA[", "<?", "<a ", "</a ", "<!x "])
def test_tags_that_never_end_are_read_once(opening: str) -> None:
    began = time.process_time()
    read_html("<p>kept</p>" + opening * 40_000)
    assert time.process_time() - began < BOUND


def test_comments_are_left_out_and_a_last_mark_is_text() -> None:
    structure = read_html("<p>a<!-- no -->b</p><p>1 < 2")
    assert [block.text for block in structure.blocks] == ["ab", "1 < 2"]


def test_quotations_beyond_all_measure_are_refused() -> None:
    with pytest.raises(Rejected, match="flatter"):
        read_markdown("> " * 20_000 + "x")
    assert read_markdown("> > > x").blocks


@pytest.mark.parametrize("text", ["[" * 300_000, "![](" * 90_000, "_" * 300_000 + "a", "*a **a " * 50_000])
def test_markdown_that_is_all_marks_is_read_as_text(text: str) -> None:
    began = time.process_time()
    assert read_markdown(text).blocks
    assert time.process_time() - began < BOUND


def test_many_pieces_without_a_token_make_passages_of_bounded_size() -> None:
    began = time.process_time()
    passages = list(chunk(read_plain(". " * 30_000).blocks, lambda _: 0, Sizes(200, 20)))
    assert max(len(passage.text) for passage in passages) <= 2_000
    assert time.process_time() - began < BOUND


@pytest.mark.parametrize("text", [b"(x) Tj " * 300_000, b"\x00" * 9_000_000])
def test_a_pdf_that_unpacks_to_much_is_refused(text: bytes) -> None:
    with pytest.raises(Rejected, match="unpacks to more"):
        read_pdf(one_page_pdf(text))
