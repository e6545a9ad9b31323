"""Which model adapters are trained on and belong to. Loads no torch."""

import hashlib

from libs.language_models import resolve_model
from libs.model_registry.card import Base


def base_of(name: str) -> Base:
    """The model of that name, as `resolve_model` takes it, with SHA-256 in hex over its configuration and weights.

    Raises LookupError.
    """
    found, folder = hashlib.sha256(), resolve_model(name)
    for file in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        with file.open("rb") as stream:
            found.update(hashlib.file_digest(stream, "sha256").digest())
    return Base(name=name, digest=found.hexdigest())
