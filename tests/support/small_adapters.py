"""Adapters of two numbers, for tests that need no model: folders, cards, and nothing that could be loaded."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from libs.model_registry import Adapter, Adapters, Base, Change, ModelCard, Trained
from libs.model_registry.adapters import CONFIG, WEIGHTS

MORNING = datetime(2026, 3, 2, 8, tzinfo=UTC)
CONFIGURED = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj", "v_proj"], "base_model_name_or_path": "/a/b"}


def saved(folder: Path, number: float = 1.0, **config: Any) -> Path:
    """As PEFT saves an adapter."""
    folder.mkdir(parents=True)
    save_file({"q_proj.lora_A.weight": torch.full((4, 8), number)}, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps({**CONFIGURED, **config}, indent=2))
    return folder


def card_by(run_id: str = "run-1", trained_at: datetime = MORNING) -> Callable[[str, str], ModelCard]:
    """What makes the card, asked with name and digest."""
    return lambda name, digest: ModelCard(
        name=name,
        digest=digest,
        run_id=run_id,
        request_id="q-1",
        recipe="mine@1-abc",
        method="dpo",
        rules={"beta": 0.1},
        base=Base(name="smol", digest="5" * 64),
        started_from=None,
        trained=trained_on("d" * 64),
        seed=77,
        workers=1,
        device="cpu",
        libraries={"trl": "1.2.3", "peft": "4.5.6"},
        change=Change(steps=30, epochs=3, seconds=9.6, metrics={"train_loss": 0.25}),
        trained_at=trained_at,
    )


def small(adapters: Adapters, number: float, recipe: str = "mine", **card: Any) -> Adapter:
    """One among the others; another number, another adapter. `card`: what its card says otherwise."""
    work, told = adapters.folder.parent / f"trained-{recipe}-{number}", card_by(f"run-{number}")
    return adapters.add(saved(work, number), recipe, lambda *content: told(*content).model_copy(update=card))


def trained_on(dataset: str) -> Trained:
    """For a card: some rows of that data set."""
    return Trained(dataset=dataset, policy="test@1-def", train=40, replayed=3, validation=2)
