"""Every service described with stand-ins for what it would open: an in-memory bus, small models, throw-away keys."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from opentelemetry.metrics import NoOpMeter

from libs.bus import InMemoryBus
from libs.sealing import write_key_file
from libs.service import Parts, Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from libs.telemetry import Metrics, Traces
from schemas.topics import CATALOGUE
from schemas.topics import Service as ServiceName

Action = Literal["receive", "send"]


@dataclass(frozen=True, order=True)
class Operation:
    """One thing that a service does with a topic. `group`: the consumer group it reads with, if any."""

    service: str
    action: Action
    topic: str
    description: str
    group: str | None = None


def operations() -> list[Operation]:
    """What all services hear and say, sorted."""
    with tempfile.TemporaryDirectory() as folder:
        return sorted(op for name in get_args(ServiceName) for op in _operations_of(name, Path(folder)))


def parts_of(name: str, folder: Path) -> tuple[Service, Parts]:
    """A service and its parts. `folder`: where keys may be written."""
    create_app: Any = import_module(f"services.{name}.app").create_app
    chosen, _ = get_args(get_type_hints(create_app)["settings"])
    shared = ServiceSettings(data_dir=folder)
    service: Service = create_app(chosen(**_stand_ins(name, folder)), shared, BusSettings(_env_file=None))
    bus = InMemoryBus({topic.name: topic.partitions or 1 for topic in CATALOGUE})
    return service, service.build(Runtime(bus, Metrics(NoOpMeter("asyncapi")), Traces(None), shared))


def _operations_of(name: str, folder: Path) -> Iterator[Operation]:
    service, parts = parts_of(name, folder)
    document = service.document(parts).to_specification().to_jsonable()
    grouped = {topic.name for route in parts.routes for topic in route.topics}
    for operation in document["operations"].values():
        channel = document["channels"][operation["channel"]["$ref"].removeprefix("#/channels/").replace("~1", "/")]
        topic = channel["address"]
        in_group = operation["action"] == "receive" and topic in grouped
        yield Operation(
            name, operation["action"], topic, channel["description"], f"tailrace-{name}" if in_group else None
        )


def _stand_ins(name: str, folder: Path) -> dict[str, object]:
    """Settings that let a service be described on any machine; they do not change what it hears and says."""
    seal_key = folder / "seal.json"
    api_keys = folder / "api-keys.json"
    entry = {"sha256": hashlib.sha256(b"none").hexdigest(), "tenant": "default"}
    api_keys.write_text(json.dumps([entry]), encoding="utf-8")
    public_key = write_key_file(seal_key)
    settings: dict[str, dict[str, object]] = {
        "gateway": {"api_keys_file": api_keys},
        "grounding": {"index": "memory", "embedding_model": "hashing"},
        "safety": {"seal_public_key": public_key},
        "inference": {"engine": "echo"},
        "post_processing": {"seal_key_file": seal_key},
    }
    return settings.get(name, {})
