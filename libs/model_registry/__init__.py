"""Trained adapters: content-named folders with their cards, and the registry that says which one is `champion`.

Importing this package loads no MLflow; `libs.model_registry.registry` does.
"""

from libs.model_registry.adapters import Adapter, AdapterError, Adapters
from libs.model_registry.address import registry_uri
from libs.model_registry.card import Base, Change, ModelCard, Trained
from libs.model_registry.champions import Champions, Serving, Turn, under_trial
from libs.model_registry.examinations import Examinations

__all__ = [
    "Adapter",
    "AdapterError",
    "Adapters",
    "Base",
    "Champions",
    "Change",
    "Examinations",
    "ModelCard",
    "Serving",
    "Trained",
    "Turn",
    "registry_uri",
    "under_trial",
]
