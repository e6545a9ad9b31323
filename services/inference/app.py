"""Inference hears prompts, cancellations and changes of what serves; it says chunks, completions or failed.

The only place where its parts are made.
"""

from pathlib import Path

from libs.model_registry import Adapters
from libs.service import Parts, Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from services.inference.adapters.in_service import InService
from services.inference.domain.cache import ExactCache
from services.inference.memory import finished_prompts
from services.inference.ports import AdaptingEngine
from services.inference.routes import routes, views
from services.inference.settings import InferenceSettings


def create_app(
    settings: InferenceSettings | None = None,
    service_settings: ServiceSettings | None = None,
    bus_settings: BusSettings | None = None,
) -> Service:
    """The service, described; nothing is opened before it runs."""
    chosen = settings or InferenceSettings()

    def build(runtime: Runtime) -> Parts:
        adapters = chosen.adapters or runtime.settings.data_dir / "models"
        engine = create_engine(chosen, adapters)
        serving = InService(runtime.bus, engine, runtime.metrics, Adapters(adapters))
        follows = chosen.follow_promotions
        cache = ExactCache(entries=chosen.cache_entries, lifetime=chosen.cache_for, clock=runtime.clock)
        finished = finished_prompts(chosen)
        return Parts(
            routes=routes(chosen, engine, serving, cache, finished, runtime.clock, runtime.metrics),
            memories=(finished,),
            views=views(serving, serving.positions) if follows else (),
            resources=(engine, serving) if follows else (engine,),
            checks={"engine": engine.ready},
        )

    return Service(
        "inference",
        "The model: answers cleared prompts, streaming.",
        service_settings or ServiceSettings(),
        bus_settings or BusSettings(),
        build,
    )


def create_engine(settings: InferenceSettings, adapters: Path) -> AdaptingEngine:
    """The engine the settings name; started when entered. Each import brings only its own library.

    `adapters`: their folder.
    """
    if settings.engine == "echo":
        from services.inference.adapters.echo import EchoEngine  # noqa: PLC0415

        return EchoEngine(settings.model, token_seconds=settings.echo_token_seconds)
    if settings.engine == "openai":
        from services.inference.adapters.openai_compatible import OpenAIEngine  # noqa: PLC0415

        return OpenAIEngine(settings)
    from services.inference.adapters.ray_serve import RayEngine  # noqa: PLC0415

    return RayEngine(settings, adapters)
