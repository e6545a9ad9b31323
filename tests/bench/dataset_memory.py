"""Memory and speed of making a data set of so many judged answers: `python -m tests.bench.dataset_memory 1000000`.

Examples are made as they are read, so that what grows is the maker. Prints one JSON line. With a second argument, the
folder to work in (default: the system's temporary one).
"""

import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from libs.datasets import Datasets, read_policy
from schemas.base import Message, ModelUsed
from schemas.feedback import ExampleRecorded, Judgement

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_WORDS = tuple(f"{a}{b}{c}" for a in ("ba", "do", "ke", "li", "mu", "sa") for b in ("n", "r", "st", "ll", "m") for c in
               ("a", "e", "ing", "or", "y", "um", "ed", "is"))  # fmt: skip
_PEOPLE = 20_000
_USED = ModelUsed(name="smol", version="1")


def examples(count: int, seed: int = 7) -> Iterator[ExampleRecorded]:
    """Thumbs on all; an edit on every tenth, a sibling of the one before for every tenth, a near-copy of it as well."""
    draw = random.Random(seed)
    asked = answer = ""
    for number in range(count):
        if number % 10 not in (1, 2):
            asked = " ".join(draw.choices(_WORDS, k=15))
        near = number % 10 == 2
        answer = f"{answer} {draw.choice(_WORDS)}" if near else " ".join(draw.choices(_WORDS, k=50))
        yield _example(number, asked, answer, draw)


def _example(number: int, asked: str, answer: str, draw: random.Random) -> ExampleRecorded:
    who = f"person-{draw.randrange(_PEOPLE)}"
    told: list[tuple[str, bool | str]] = [("thumb", number % 10 == 1 or draw.random() < 0.6)]
    if number % 10 == 5:
        told.append(("edit", f"{answer[40:]} {' '.join(draw.choices(_WORDS, k=5))}"))
    return ExampleRecorded(
        response_id=f"resp_{number:032x}",
        tenant="default",
        prompt_id=f"prompt-{number}",
        conversation_id=f"conversation-{number // 3}",
        messages=(Message(role="system", content="You answer briefly."), Message(role="user", content=asked)),
        text=answer,
        model=_USED,
        template="answer@1",
        policy="default@1",
        answered_at=_AT,
        judgements=tuple(
            Judgement.model_validate(
                {"feedback_id": f"{kind}-{number}", "kind": kind, "value": value, "subject": who, "consent": True,
                 "created_at": _AT}
            )
            for kind, value in told
        ),
    )  # fmt: skip


def measure(count: int, folder: Path) -> dict[str, object]:
    """Seconds of processor and of the clock, and the most memory the process has held, in MB."""
    before, began, used = _peak(), time.perf_counter(), time.process_time()
    made = sum(1 for _ in examples(count))
    making = time.process_time() - used
    began, used = time.perf_counter(), time.process_time()
    published = Datasets(folder).publish(examples(made), read_policy())
    manifest = published.dataset.manifest
    return {
        "examples": count,
        "judgements": manifest.read["judgements"],
        "rows": {kind: manifest.rows_of(kind) for kind in manifest.rows},
        "left_out": manifest.left_out,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - used - making, 1),
        "rss_mb": _peak(),
        "rss_before_mb": before,
        "disk_mb": sum(it.bytes for it in manifest.files.values()) >> 20,
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as place:
        print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000, Path(place))), flush=True)
