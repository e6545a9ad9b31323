"""Examinations for tests: adapters with random weights, small gates, exams of which a test says what it cares about."""

import base64
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from libs.embeddings import HashingEmbedder
from libs.model_registry import Adapter, Adapters, Change, ModelCard, Trained
from libs.model_registry.base import base_of
from services.evaluation.domain.exam import Exam
from services.evaluation.domain.gate import Gate

SHORT: Mapping[str, int] = {
    "pairs": 4, "answers": 2, "answer_tokens": 4, "texts": 2, "questions": 0, "trials": 0, "max_length": 128,
}  # fmt: skip
"""An examination that is done in a moment."""
TARGETS = ("q_proj", "v_proj")


def random_adapter(
    models: Path, base: Path, dataset: str, *, seed: int = 1, scale: float = 0.05, recipe: str = "mine", **card: Any
) -> Adapter:
    """A LoRA adapter for that base; `scale` 0: it changes nothing. `card`: what its card says otherwise."""
    config = LoraConfig(r=2, lora_alpha=4, target_modules=list(TARGETS), task_type="CAUSAL_LM")
    model: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    chance = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = torch.randn(weight.shape, generator=chance) * scale
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return added(models, Path(folder), base, dataset, recipe, **card)


def added(models: Path, saved: Path, base: Path, dataset: str, recipe: str = "mine", **card: Any) -> Adapter:
    """What PEFT has saved becomes an adapter with a card."""

    def told(name: str, digest: str) -> ModelCard:
        facts = {
            "name": name, "digest": digest, "run_id": "run-1", "request_id": "asked-1", "recipe": f"{recipe}@1-0",
            "method": "dpo", "rules": {}, "base": base_of(str(base)), "started_from": None, "seed": 7, "workers": 1,
            "trained": Trained(dataset=dataset, policy="default@1-0", train=1, replayed=0, validation=0),
            "device": "cpu", "libraries": {}, "change": Change(steps=1, epochs=1.0, seconds=1.0, metrics={}),
            "trained_at": datetime(2026, 1, 5, tzinfo=UTC),
        }  # fmt: skip
        return ModelCard.model_validate({**facts, **card})

    return Adapters(models).add(saved, recipe, told)


def rewritten(models: Path, adapter: Adapter, change: Callable[[dict[str, torch.Tensor]], Any]) -> Adapter:
    """A copy whose tensors `change` has changed or replaced, named by what it holds then: its hashes are right."""
    with TemporaryDirectory() as folder:
        saved = Path(shutil.copytree(adapter.folder, Path(folder) / "saved"))
        tensors = load_file(saved / "adapter_model.safetensors")
        save_file(change(tensors) or tensors, saved / "adapter_model.safetensors")
        return _named_anew(models, saved, adapter)


def reconfigured(models: Path, adapter: Adapter, change: Mapping[str, Any]) -> Adapter:
    """A copy of another configuration; its hashes are right."""
    with TemporaryDirectory() as folder:
        saved = Path(shutil.copytree(adapter.folder, Path(folder) / "saved"))
        config = json.loads((saved / "adapter_config.json").read_bytes())
        (saved / "adapter_config.json").write_text(json.dumps({**config, **change}))
        return _named_anew(models, saved, adapter)


def _named_anew(models: Path, saved: Path, adapter: Adapter) -> Adapter:
    card = adapter.card
    return Adapters(models).add(
        saved, "mine", lambda name, digest: card.model_copy(update={"name": name, "digest": digest})
    )


SHOP: Mapping[str, Sequence[str]] = {
    "Returns": [
        "An order may be sent back within 14 days. Shoes are taken back for a whole season.",
        "Refunds are paid by Mondays at the latest. Vouchers are never paid out in coins.",
    ],
    "Delivery": [
        "Parcels leave the warehouse in Lyon at 17 o'clock. Fragile glass travels in wooden boxes.",
        "Islands are reached by ferry twice a week. The courier rings at most 3 times.",
    ],
    "Warranty": [
        "Batteries are covered for 24 months after purchase. Scratches are excluded from every warranty.",
        "A claim needs the receipt and a photograph of it. Repairs are done by craftsmen in Porto.",
    ],
}  # fmt: skip
"""A knowledge base: passages by title."""


def knowledge_file(
    file: Path, told: Mapping[str, Sequence[str]] = SHOP, *, model: str | None = None, dimension: int = 256
) -> Path:
    """`knowledge.jsonl` of these passages, with vectors of the embedder that needs no model."""
    lines, embedder = [], HashingEmbedder(dimension)
    for title, texts in told.items():
        for ordinal, (text, vector) in enumerate(zip(texts, embedder.embed(texts), strict=True)):
            packed = base64.b64encode(vector.astype("<f2").tobytes()).decode()
            lines.append({
                "document_id": f"default/{title}", "title": title, "ordinal": ordinal, "text": text, "vector": packed,
                "embedding_model": model or embedder.name,
            })  # fmt: skip
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


def gate(**told: Any) -> Gate:
    """A gate of one rule, short unless told otherwise."""
    exams = {**SHORT, **told.pop("exams", {})}
    rules = told.pop("rules", ({"metric": "preference_accuracy", "must": "improve"},))
    judge = told.pop("judge", {"kind": "similarity", "model": "hashing"})
    return Gate.model_validate({"name": "mine", "version": 1, "exams": exams, "rules": rules, "judge": judge, **told})


def exam(folder: Path, base: Path, model: str, **told: Any) -> Exam:
    """An exam whose data sets and models lie in the folder."""
    facts = {
        "evaluation_id": "eval-1", "request_id": "asked-1", "model": model, "champion": None, "gate": gate(),
        "dataset": None, "datasets": folder / "datasets", "models": folder / "models", "base": str(base),
        "device": "cpu", "threads": 1,
    }  # fmt: skip
    return Exam.model_validate({**facts, **told})
