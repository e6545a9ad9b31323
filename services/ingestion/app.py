"""Ingestion hears prompt-submitted and document-submitted, and says accepted, refused, failed or repeated.

The only place where its parts are made.
"""

from libs.language_models.tokens import TokenCounter
from libs.service import Parts, Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from services.ingestion.domain import Limits
from services.ingestion.memory import seen_prompts
from services.ingestion.routes import routes
from services.ingestion.settings import IngestionSettings


def create_app(
    settings: IngestionSettings | None = None,
    service_settings: ServiceSettings | None = None,
    bus_settings: BusSettings | None = None,
) -> Service:
    """The service, described; nothing is opened before it runs."""
    chosen = settings or IngestionSettings()

    def build(runtime: Runtime) -> Parts:
        seen = seen_prompts(chosen)
        limits = Limits(
            chosen.max_characters, chosen.max_prompt_tokens, chosen.max_completion_tokens, chosen.max_document_bytes
        )
        tokens = TokenCounter.from_name(chosen.tokenizer)
        return Parts(routes=routes(limits, tokens, seen, runtime.clock, runtime.metrics), memories=(seen,))

    return Service(
        "ingestion",
        "The door: validates prompts and documents, once each.",
        service_settings or ServiceSettings(),
        bus_settings or BusSettings(),
        build,
    )
