"""Who says which of two answers is better: by nearness to the reference, or a function of the operator's.

The port and the two that ask nobody else; the third asks a model (`endpoint_judge`).
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from libs.embeddings import DEFAULT_MODEL, Embedder, create_embedder
from services.evaluation.domain import gate
from services.evaluation.examination.errors import BrokenError

DRAW = 0.5
_NEAR = 0.01
"""Cosines that differ by less say nothing."""


@dataclass(frozen=True)
class Compared:
    """Two answers to a prompt, and the better one that was held out."""

    prompt: str
    candidate: str
    champion: str
    reference: str | None


class Judge(Protocol):
    """Says of each who won: 1.0 the candidate, 0.0 the champion, 0.5 neither. Raises BrokenError where it cannot."""

    def judge(self, compared: Sequence[Compared]) -> list[float]:
        """In the order that was given."""
        ...


def judge_of(rules: gate.Judge, key: str | None, threads: int | None) -> Judge:
    """The one that a gate names. Raises BrokenError where it is not there.

    `key`: the endpoint's. `threads`: of the embedding model.
    """
    if rules.kind == "endpoint":
        from services.evaluation.examination.endpoint_judge import EndpointJudge  # noqa: PLC0415

        assert rules.url is not None
        assert rules.model is not None
        return EndpointJudge(rules.url, rules.model, key)
    if rules.kind == "python":
        assert rules.function is not None
        return FunctionJudge(rules.function)
    model = rules.model or DEFAULT_MODEL
    return SimilarityJudge(lambda: _embedder(model, threads))


class SimilarityJudge:
    """The answer nearer in meaning to the reference is better."""

    def __init__(self, embedder: Callable[[], Embedder]) -> None:
        self._embedder = embedder

    def judge(self, compared: Sequence[Compared]) -> list[float]:
        texts = [text for it in compared for text in (it.candidate, it.champion, it.reference or "")]
        vectors = self._embedder().embed(texts).reshape(len(compared), 3, -1)
        nearness = np.einsum("nad,nd->na", vectors[:, :2], vectors[:, 2])
        return [
            DRAW if it.candidate == it.champion or it.reference is None or abs(one - other) < _NEAR
            else float(one > other)
            for it, (one, other) in zip(compared, nearness.tolist(), strict=True)
        ]  # fmt: skip


class FunctionJudge:
    """A function of the operator's, `package.module:function`."""

    def __init__(self, name: str) -> None:
        self._name = name
        module, _, function = name.partition(":")
        try:
            self._function: Callable[..., Any] = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise BrokenError(f"the judge {name} cannot be imported: {error}; it must be on PYTHONPATH") from None
        if not callable(self._function):
            raise BrokenError(f"the judge {name} is no function")

    def judge(self, compared: Sequence[Compared]) -> list[float]:
        return [self._one(it) for it in compared]

    def _one(self, it: Compared) -> float:
        try:
            found = self._function(it.prompt, it.candidate, it.champion, it.reference)
        except Exception as error:
            # It may quote what it was given: only its kind is told.
            raise BrokenError(f"the judge {self._name} raised {type(error).__name__}; mend it") from error
        if isinstance(found, bool) or found not in (0.0, DRAW, 1.0):
            raise BrokenError(f"the judge {self._name} returned {found!r:.80}; it must return 1.0, 0.5 or 0.0")
        return float(found)


def _embedder(model: str, threads: int | None) -> Embedder:
    try:
        return create_embedder(model, threads=threads)
    except (ImportError, OSError, ValueError) as error:
        raise BrokenError(f"the judge's embedding model {model} cannot be loaded: {error}") from None
