"""Inference hears prompt-cleared and prompt-cancelled, and says completion-chunk, completion-generated or failed.

The only place where its parts are made.
"""

from libs.service import Parts, Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from services.inference.domain.cache import ExactCache
from services.inference.memory import finished_prompts
from services.inference.ports import Engine
from services.inference.routes import routes
from services.inference.settings import InferenceSettings


def create_app(
    settings: InferenceSettings | None = None,
    service_settings: ServiceSettings | None = None,
    bus_settings: BusSettings | None = None,
) -> Service:
    """The service, described; nothing is opened before it runs."""
    chosen = settings or InferenceSettings()

    def build(runtime: Runtime) -> Parts:
        engine = create_engine(chosen)
        cache = ExactCache(entries=chosen.cache_entries, lifetime=chosen.cache_for, clock=runtime.clock)
        finished = finished_prompts(chosen)
        return Parts(
            routes=routes(chosen, engine, cache, finished, runtime.clock, runtime.metrics),
            memories=(finished,),
            resources=(engine,),
            checks={"engine": engine.ready},
        )

    return Service(
        "inference",
        "The model: answers cleared prompts, streaming.",
        service_settings or ServiceSettings(),
        bus_settings or BusSettings(),
        build,
    )


def create_engine(settings: InferenceSettings) -> Engine:
    """The engine the settings name; started when entered. Each import brings only its own library."""
    if settings.engine == "echo":
        from services.inference.adapters.echo import EchoEngine  # noqa: PLC0415

        return EchoEngine(settings.model, token_seconds=settings.echo_token_seconds)
    if settings.engine == "openai":
        from services.inference.adapters.openai_compatible import OpenAIEngine  # noqa: PLC0415

        return OpenAIEngine(settings)
    from services.inference.adapters.ray_serve import RayEngine  # noqa: PLC0415

    return RayEngine(settings)
