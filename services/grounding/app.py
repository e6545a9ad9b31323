"""Grounding hears prompt-accepted, document-accepted and response-ready; it says grounded, indexed, refused or failed.

The only place where its parts are made.
"""

from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from qdrant_client import AsyncQdrantClient

from libs.embeddings import Embedder, create_embedder
from libs.language_models.tokens import TokenCounter
from libs.service import Parts, Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from services.grounding.adapters.in_memory import InMemoryIndex
from services.grounding.adapters.points import Bm25Encoder
from services.grounding.adapters.qdrant_edge import QdrantEdgeIndex
from services.grounding.adapters.qdrant_server import QdrantServerIndex
from services.grounding.adapters.template_files import OWN_TEMPLATES, read_templates
from services.grounding.domain.chunking import Sizes
from services.grounding.domain.history import Bounds
from services.grounding.domain.rendering import Budget
from services.grounding.domain.templates import Templates
from services.grounding.handlers import Choices
from services.grounding.memory import ConversationMemory, HeadMemory
from services.grounding.routes import Tools, routes, views
from services.grounding.settings import GroundingSettings

Index = QdrantEdgeIndex | QdrantServerIndex | InMemoryIndex


def create_app(
    settings: GroundingSettings | None = None,
    service_settings: ServiceSettings | None = None,
    bus_settings: BusSettings | None = None,
) -> Service:
    """The service, described; nothing is opened before it runs."""
    chosen = settings or GroundingSettings()
    shared = service_settings or ServiceSettings()

    def build(runtime: Runtime) -> Parts:
        embedder = create_embedder(chosen.embedding_model, threads=chosen.embedding_threads)
        index = create_index(chosen, embedder, shared)
        tools = _tools(chosen, embedder, index, runtime)
        # A server's index is shared: one instance writes it, in the log's order.
        writes = chosen.index != "server" or shared.instance == 0
        return Parts(
            routes=routes(tools),
            memories=(tools.conversations, tools.heads),
            views=views(tools) if writes else (),
            resources=(_resource(index),),
        )

    summary = "What is known: sources, conversation and template around each prompt."
    return Service("grounding", summary, shared, bus_settings or BusSettings(), build)


def create_index(settings: GroundingSettings, embedder: Embedder, shared: ServiceSettings) -> Index:
    """The chosen index, not yet opened. Indexes of different embedding models lie apart."""
    bm25 = Bm25Encoder(settings.bm25_language)
    model = "".join(c if c.isalnum() else "-" for c in embedder.name.lower())
    if settings.index == "memory":
        return InMemoryIndex(bm25)
    if settings.index == "edge":
        folder: Path = shared.data_dir / f"grounding-{shared.instance}" / f"{model}-{settings.bm25_language}"
        return QdrantEdgeIndex(folder, embedder.dimension, bm25)
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    client = AsyncQdrantClient(url=settings.qdrant_url, api_key=key)
    return QdrantServerIndex(client, f"{settings.qdrant_collection}-{model}", embedder.dimension, bm25)


def _resource(index: Index) -> AbstractAsyncContextManager[object]:
    return nullcontext() if isinstance(index, InMemoryIndex) else index


def _tools(settings: GroundingSettings, embedder: Embedder, index: Index, runtime: Runtime) -> Tools:
    folders = [OWN_TEMPLATES, *([settings.template_folder] if settings.template_folder else [])]
    templates = Templates(read_templates(folders))
    for name in (settings.template, settings.plain_template):
        if name not in templates.names:
            raise ValueError(f"there is no template {name!r}; there are: {', '.join(templates.names)}")
    return Tools(
        index=index,
        positions=index,
        embedder=embedder,
        tokens=TokenCounter.from_name(settings.tokenizer),
        templates=templates,
        conversations=ConversationMemory(Bounds(settings.history_turns, settings.history_bytes, settings.history_age)),
        heads=HeadMemory(),
        budget=Budget(settings.context_tokens, settings.completion_tokens, settings.history_tokens),
        sizes=Sizes(settings.chunk_tokens, settings.chunk_overlap_tokens),
        choices=Choices(settings.template, settings.plain_template, settings.top_k, settings.min_score),
        clock=runtime.clock,
        metrics=runtime.metrics,
    )
