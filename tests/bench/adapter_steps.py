"""What adapters cost a decoding step: `python -m tests.bench.adapter_steps [PRECISION]`, on the default model.

CPU seconds of one thread, so that other work on the machine counts little; variants take turns.
"""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from libs.language_models import default_model_dir
from libs.language_models.engine.adapter_files import read_adapter
from libs.language_models.engine.low_rank import LowRank, layers_of
from libs.language_models.engine.runner import Piece, Runner
from libs.language_models.engine.weights import load_model
from tests.support.adapters import drawn

PROMPT, REPEATS = 64, 12


def main(precision: Any = "int8") -> None:
    """Prints tokens a second of CPU, by variant and batch."""
    torch.set_num_threads(1)
    model = load_model(default_model_dir(), precision=precision, device="cpu")
    runner = Runner(model, 16, 512)
    for row in range(16):
        runner.read(Piece(row, range(5, 5 + PROMPT), 0))
    with tempfile.TemporaryDirectory() as folder:
        one, other = (
            read_adapter(
                drawn(default_model_dir(), Path(folder) / f"{seed}", seed, r=16),
                layers_of(model),
                dtype=next(model.parameters()).dtype,
            )
            for seed in (1, 2)
        )
    variants: dict[str, list[LowRank | None]] = {
        "none": [None], "one": [one], "two": [one, other], "one and none": [one, None],
    }  # fmt: skip
    for batch in (1, 16):
        print(json.dumps({"batch": batch, **_rates(runner, batch, variants)}))


def _rates(runner: Runner, batch: int, variants: dict[str, list[LowRank | None]]) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(REPEATS):
        for name, owners in variants.items():
            # The first step of a variant puts its hooks on.
            _, *kept = (_step(runner, batch, owners) for _ in range(3))
            found[name].append(min(kept))
    return {name: round(batch / sorted(seconds)[REPEATS // 4], 1) for name, seconds in found.items()}


def _step(runner: Runner, batch: int, owners: Sequence[LowRank | None]) -> float:
    began = time.thread_time()
    runner.decode([7] * batch, [PROMPT] * batch, [owners[row % len(owners)] for row in range(batch)])
    return time.thread_time() - began


if __name__ == "__main__":
    main(*sys.argv[1:])
