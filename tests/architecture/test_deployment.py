"""Compose file, Kubernetes base and Dockerfile speak of the services, topics' jobs and settings that there are."""

import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic_settings import BaseSettings

from libs import settings as shared
from schemas.topics import REPLY_PARTITIONS, Service

ROOT = Path(__file__).parents[2]
SERVICES = set(get_args(Service))
# Read by our own code without a settings class: the shared cache, a stack's folder, and an image's own name.
PLAIN = {"TAILRACE_CACHE", "TAILRACE_HOME", "TAILRACE_SERVICE", "TAILRACE_UID"}
DEPLOYED = ("docker-compose.yml", "infra/docker/service.Dockerfile", "infra/k8s/base/*.yaml", "infra/k8s/*.md")


def test_every_service_has_a_container_and_a_stateful_set() -> None:
    jobs = {"kafka", "qdrant", "postgres", "otel-collector", "topics", "models"}
    assert set(_compose()["services"]) - jobs == SERVICES
    sets = [
        item for item in _manifests() if item["kind"] == "StatefulSet" and item["metadata"]["name"] != "every-service"
    ]
    assert {item["metadata"]["name"].replace("-", "_") for item in sets} == SERVICES


def test_every_service_has_an_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) >= SERVICES | {"console", "local", "all"}
    (everything,) = extras["all"]
    assert set(everything.removeprefix("tailrace[").removesuffix("]").split(",")) == set(extras) - {"all"}


def test_every_setting_that_a_deployment_names_exists() -> None:
    known = PLAIN | {name for module in _settings_modules() for name in _names_in(module)}
    named = {
        name
        for pattern in DEPLOYED
        for path in ROOT.glob(pattern)
        for name in re.findall(r"\bTAILRACE_[A-Z_]+[A-Z]\b", path.read_text(encoding="utf-8"))
    }
    assert named
    assert not named - known


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in _compose()["services"].values() for port in service.get("ports", ())]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)


def test_services_wait_for_their_topics_and_restart() -> None:
    for name in SERVICES:
        service = _compose()["services"][name]
        assert service["depends_on"]["topics"]["condition"] == "service_completed_successfully"
        assert service["restart"] == "unless-stopped"
        assert "infra.docker.healthy" in service["healthcheck"]["test"]


def test_the_gateways_of_the_base_find_a_partition_of_replies_each() -> None:
    (gateway,) = [i for i in _manifests() if i["kind"] == "StatefulSet" and i["metadata"]["name"] == "gateway"]
    assert gateway["spec"]["replicas"] <= REPLY_PARTITIONS


def _compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return document


def _manifests() -> list[dict[str, Any]]:
    files = sorted((ROOT / "infra" / "k8s" / "base").glob("*.yaml"))
    return [item for file in files for item in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def _settings_modules() -> list[Any]:
    return [shared, *(import_module(f"services.{name}.settings") for name in SERVICES)]


def _names_in(module: Any) -> set[str]:
    classes = [c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, BaseSettings)]
    return {f"{c.model_config.get('env_prefix', '')}{field}".upper() for c in classes for field in c.model_fields}
