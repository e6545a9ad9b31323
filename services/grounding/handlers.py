"""Event in, event out: a prompt gets its sources, a document its place in the index, a conversation its answer."""

import asyncio
import time
from dataclasses import dataclass

from libs.bus import Context, Record, Rejected
from libs.clock import Clock
from libs.embeddings import Embedder
from libs.telemetry import Metrics
from schemas.base import Reason
from schemas.documents import DocumentAccepted, DocumentIndexed, DocumentRefused
from schemas.prompts import PromptAccepted, PromptFailed, PromptGrounded, PromptRefused
from schemas.responses import ResponseReady
from services.grounding.domain import indexing
from services.grounding.domain.chunking import Sizes, searched
from services.grounding.domain.history import Turn, as_messages
from services.grounding.domain.rendering import Budget, Rendered, render
from services.grounding.domain.retrieval import Hit, Search, good, question_of
from services.grounding.domain.templates import Templates
from services.grounding.domain.vectors import pack
from services.grounding.memory import ConversationMemory, HeadMemory
from services.grounding.ports import ChunkIndex, Positions, TokenCounter

STAGE = "grounding"


@dataclass(frozen=True, slots=True)
class Choices:
    """What an operator chose for prompts that do not choose themselves."""

    template: str = "answer@1"
    plain_template: str = "chat@1"
    top_k: int = 4
    min_score: float = 0.4


async def ground_prompt(
    event: PromptAccepted,
    *,
    context: Context,
    index: ChunkIndex,
    embedder: Embedder,
    tokens: TokenCounter,
    templates: Templates,
    conversations: ConversationMemory,
    budget: Budget,
    choices: Choices,
    clock: Clock,
    metrics: Metrics,
) -> PromptGrounded | PromptRefused | PromptFailed:
    """A prompt is rendered with what is known about it. `required` without a good source is refused."""
    if event.deadline is not None and clock() >= event.deadline:
        reason = Reason(code="deadline_exceeded", message='"deadline" passed before grounding', stage=STAGE)
        return PromptFailed(**event.carried(), reason=reason)
    partition = context.record.partition
    conversations.note_prompt(partition, event)
    turns = [] if _brings_history(event) else conversations.before(partition, event)
    template = event.template or choices.template
    hits = await _sources(event, turns, template, index, embedder, templates, choices, metrics)
    if not hits and event.grounding.mode == "required":
        return _no_source(event)
    if not hits and event.template is None:
        template = choices.plain_template
    rendered = render(event, template, hits, turns, templates=templates, tokens=tokens, budget=budget)
    if not rendered.sources and event.grounding.mode == "required":
        return _no_source(event)
    return _grounded(event, rendered, template)


def _brings_history(event: PromptAccepted) -> bool:
    """An upstream that sends the conversation itself needs none of ours."""
    return any(message.role == "assistant" for message in event.messages)


async def _sources(
    event: PromptAccepted,
    turns: list[Turn],
    template: str,
    index: ChunkIndex,
    embedder: Embedder,
    templates: Templates,
    choices: Choices,
    metrics: Metrics,
) -> list[Hit]:
    if event.grounding.mode == "off" or not templates.shows_sources(template):
        return []
    started = time.perf_counter()
    question = question_of([*as_messages(turns), *event.messages])
    vector = (await asyncio.to_thread(embedder.embed, [question]))[0]
    top_k = event.grounding.top_k or choices.top_k
    search = Search(vector, question, event.tenant, event.grounding.collections, 2 * top_k)
    found = good(await index.search(search), choices.min_score, top_k)
    metrics.record("tailrace.retrieval.duration", time.perf_counter() - started, {"found": bool(found)})
    return found


def _no_source(event: PromptAccepted) -> PromptRefused:
    message = 'no source is relevant enough; add documents, ask more precisely, or use "grounding": {"mode": "auto"}'
    return PromptRefused(**event.carried(), reason=Reason(code="no_source", message=message, stage=STAGE))


def _grounded(event: PromptAccepted, rendered: Rendered, template: str) -> PromptGrounded:
    return PromptGrounded(
        **event.carried(),
        messages=rendered.messages,
        parameters=event.parameters,
        model=event.model,
        stream=event.stream,
        metadata=event.metadata,
        prompt_tokens=rendered.tokens,
        upstream_messages=event.messages,
        sources=rendered.sources,
        sources_required=event.grounding.mode == "required",
        template=template,
    )


def remember_response(event: ResponseReady, *, context: Context, conversations: ConversationMemory) -> None:
    """An answer becomes part of its conversation."""
    conversations.note_response(context.record.partition, event)


async def index_document(
    event: DocumentAccepted,
    *,
    index: ChunkIndex,
    heads: HeadMemory,
    embedder: Embedder,
    sizes: Sizes,
    metrics: Metrics,
) -> list[DocumentIndexed] | DocumentRefused:
    """A document's new version as parts with vectors; nothing if the log has it already; refused if unreadable."""
    head = heads.find(event.tenant, event.document_id) or await index.head(event.tenant, event.document_id)
    if (head is None and event.deleted) or (head is not None and head.holds(event, embedder.name)):
        return []
    if event.deleted and head is not None:
        return indexing.deletion(event, head)
    try:
        parts = await asyncio.to_thread(indexing.index, event, embedder, sizes, head.parts if head else 1)
    except Rejected as error:
        reason = Reason(code=error.code, message=str(error), stage=STAGE)
        return DocumentRefused(document_id=event.document_id, tenant=event.tenant, reason=reason)
    metrics.count("tailrace.chunks_indexed", sum(len(part.chunks) for part in parts))
    return parts


async def apply_indexed(
    event: DocumentIndexed, record: Record, *, index: ChunkIndex, positions: Positions, embedder: Embedder
) -> None:
    """One part of the log goes into the index. Vectors of another model are made anew from the text."""
    if event.embedding_model != embedder.name:
        event = await asyncio.to_thread(_embedded_anew, event, embedder)
    await index.write(event)
    await positions.reached(record.partition, record.offset + 1)


def _embedded_anew(event: DocumentIndexed, embedder: Embedder) -> DocumentIndexed:
    texts = [searched(event.title, chunk.location, chunk.text) for chunk in event.chunks]
    chunks = [
        chunk.model_copy(update={"vector": pack(vector)})
        for chunk, vector in zip(event.chunks, embedder.embed(texts), strict=True)
    ]
    return event.model_copy(update={"chunks": tuple(chunks)})
