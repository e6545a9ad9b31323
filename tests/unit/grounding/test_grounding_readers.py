"""Documents of four kinds to structure; what cannot be read is refused with what to do about it."""

import base64

import pytest

from libs.bus import Rejected
from services.grounding.domain.blocks import Block
from services.grounding.domain.readers import read_document, read_html, read_markdown, read_pdf, read_plain
from tests.unit.grounding.conftest import MakeDocument, MakePdf

MARKDOWN = """---
title: "The guide"
---
Intro with *stress*, `code` and [a link](http://example.com).

# Install

## Linux

- one
- two

```sh
# no heading
apt install it
```

| name | value |
|------|-------|
| a    | 1     |

## Windows
Run the
installer.

# Use
> Quoted words.
"""


def test_markdown_keeps_structure_under_its_heading_path() -> None:
    structure = read_markdown(MARKDOWN)
    assert structure.title == "The guide"
    assert list(structure.blocks) == [
        Block("paragraph", "Intro with stress, `code` and a link."),
        Block("list", "- one\n- two", ("Install", "Linux")),
        Block("code", "# no heading\napt install it", ("Install", "Linux")),
        Block("table", "| name | value |\n|------|-------|\n| a    | 1     |", ("Install", "Linux")),
        Block("paragraph", "Run the\ninstaller.", ("Install", "Windows")),
        Block("paragraph", "> Quoted words.", ("Use",)),
    ]
    assert [b.location for b in structure.blocks][:2] == [None, "Install > Linux"]


def test_a_leading_heading_is_the_title_of_markdown_without_front_matter() -> None:
    assert read_markdown("# The *big* guide\n\ntext").title == "The big guide"
    assert read_markdown("text\n\n# Later").title is None


def test_markdown_with_html_inside_keeps_its_words() -> None:
    blocks = read_markdown("# A\n\n<div><p>Inside <b>html</b>.</p></div>\n\nAfter.").blocks
    assert [b.text for b in blocks] == ["Inside html.", "After."]
    assert blocks[0].path == ("A",)


HTML = """<!doctype html><html><head><title> The page </title><style>p {}</style></head><body>
<nav><a href="/">Home</a></nav><script>alert(1)</script><!-- hidden -->
<h1>Install</h1><p>First <b>bold</b><br>line.</p>Loose words
<div><h2>Linux<a>¶</a></h2><ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul>
<pre>apt install it
  --now</pre></div><table><tr><th>name</th><th>value</th></tr><tr><td>a</td><td>1</td></tr></table>
<h1>Use</h1><ol><li>start</li><li>stop</li></ol></body></html>"""


def test_html_keeps_structure_and_drops_what_is_no_content() -> None:
    structure = read_html(HTML)
    assert structure.title == "The page"
    assert list(structure.blocks) == [
        Block("paragraph", "First bold line.", ("Install",)),
        Block("paragraph", "Loose words", ("Install",)),
        Block("list", "- one\n  - inner\n- two", ("Install", "Linux")),
        Block("code", "apt install it\n  --now", ("Install", "Linux")),
        Block("table", "| name | value |\n| a | 1 |", ("Install", "Linux")),
        Block("list", "1. start\n2. stop", ("Use",)),
    ]


def test_html_without_a_title_is_called_after_its_first_heading() -> None:
    assert read_html("<h1>A  guide</h1><p>x").title == "A guide"


def test_plain_text_is_its_paragraphs_and_pages() -> None:
    assert [b.text for b in read_plain("one\r\ntwo\r\n\r\n  \r\nthree").blocks] == ["one\ntwo", "three"]
    assert [b.location for b in read_plain("one\fthree").blocks] == ["page 1", "page 2"]


def test_a_pdf_is_read_page_by_page(make_pdf: MakePdf) -> None:
    structure = read_pdf(make_pdf(["Kafka brokers\nrestart slowly.", "The sec-\nond page."], title="Operations"))
    assert structure.title == "Operations"
    assert [(b.text, b.location) for b in structure.blocks] == [
        ("Kafka brokers\nrestart slowly.", "page 1"),
        ("The second page.", "page 2"),
    ]


def test_an_encrypted_pdf_is_refused_unless_it_opens_without_a_password(make_pdf: MakePdf) -> None:
    with pytest.raises(Rejected, match="encrypted"):
        read_pdf(make_pdf(["secret"], password="x"))
    assert read_pdf(make_pdf(["open"], password="")).blocks[0].text == "open"


def test_a_pdf_without_text_is_refused_with_the_likely_reason(make_pdf: MakePdf) -> None:
    with pytest.raises(Rejected, match="text recognition"):
        read_pdf(make_pdf([""]))


@pytest.mark.parametrize("size", [0, 1, 9, 100, 400])
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_pdf_is_refused_and_nothing_else(size: int, make_pdf: MakePdf) -> None:
    whole = make_pdf(["Kafka brokers restart slowly."])
    with pytest.raises(Rejected, match=r"the PDF (cannot be read|holds no text)"):
        read_pdf(whole[:size])


def test_noise_instead_of_a_pdf_is_refused() -> None:
    with pytest.raises(Rejected, match="the PDF cannot be read"):
        read_pdf(bytes(range(256)) * 40)


@pytest.mark.parametrize("media_type", ["text/markdown", "text/html", "text/plain"])
@pytest.mark.parametrize("content", ["", " \n\n\t"])
def test_a_document_without_text_is_refused(media_type: str, content: str, make_document: MakeDocument) -> None:
    with pytest.raises(Rejected, match="holds no text"):
        read_document(make_document(content, media_type=media_type))


def test_text_may_come_as_base64_and_must_then_be_utf8(make_document: MakeDocument) -> None:
    def sent(data: bytes) -> str:
        document = make_document(None, content_base64=base64.b64encode(data).decode(), media_type="text/plain")
        return read_document(document).blocks[0].text

    assert sent("Grüße".encode()) == "Grüße"
    with pytest.raises(Rejected, match="must be UTF-8; byte 2"):
        sent("Grüße".encode("latin-1"))


def test_base64_that_is_none_is_refused(make_document: MakeDocument) -> None:
    with pytest.raises(Rejected, match="not valid base64"):
        read_document(make_document(None, content_base64="%%%", media_type="application/pdf"))
