"""Makers of events and small documents; each says only what a test does not care about."""

import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from libs.telemetry import Metrics
from schemas.base import Message
from schemas.documents import DocumentAccepted
from schemas.prompts import PromptAccepted

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MakePrompt = Callable[..., PromptAccepted]
MakeDocument = Callable[..., DocumentAccepted]
MakePdf = Callable[..., bytes]


@pytest.fixture
def make_prompt() -> MakePrompt:
    def make(*contents: str, **fields: Any) -> PromptAccepted:
        roles = ("user", "assistant")
        messages = [Message(role=roles[i % 2], content=text) for i, text in enumerate(contents or ("Hello?",))]
        made: dict[str, Any] = {
            "prompt_id": "p1",
            "tenant": "acme",
            "conversation_id": fields.get("prompt_id", "p1"),
            "submitted_at": NOW,
            "messages": tuple(messages),
            "fingerprint": "f",
        }
        return PromptAccepted(**{**made, **fields})

    return make


@pytest.fixture
def make_document() -> MakeDocument:
    def make(content: str | None = "# Title\n\nSome text.", **fields: Any) -> DocumentAccepted:
        made: dict[str, Any] = {
            "document_id": "guide",
            "tenant": "acme",
            "collection": "handbook",
            "media_type": "text/markdown",
            "content": content,
            "content_hash": "v1",
        }
        return DocumentAccepted(**{**made, **fields})

    return make


@pytest.fixture
def make_pdf() -> MakePdf:
    """PDF bytes with one page for each text; lines are parted by line feeds."""

    def make(pages: Sequence[str], *, title: str | None = None, password: str | None = None) -> bytes:
        writer = PdfWriter()
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        for text in pages:
            page = writer.add_blank_page(612, 792)
            fonts = DictionaryObject({NameObject("/F1"): font})
            page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
            stream = DecodedStreamObject()
            lines = " ".join(f"({line}) Tj 0 -14 Td" for line in text.split("\n"))
            stream.set_data(f"BT /F1 12 Tf 72 720 Td {lines} ET".encode("latin-1"))
            page[NameObject("/Contents")] = stream
        if title is not None:
            writer.add_metadata({"/Title": title})
        if password is not None:
            writer.encrypt(password, algorithm="RC4-128")
        out = io.BytesIO()
        writer.write(out)
        return out.getvalue()

    return make


@pytest.fixture(scope="session")
def metrics() -> Metrics:
    """Instruments that nobody reads."""
    return Metrics(MeterProvider().get_meter("test"))
