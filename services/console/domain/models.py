"""Adapters as an operator looks at them: which there are, which passed, which serve."""

from dataclasses import dataclass
from typing import Any

from libs.model_registry import Adapter, AdapterError, Adapters, Champions, Examinations, Serving
from schemas.evaluation import ModelEvaluated
from services.console.domain.errors import ConsoleError


@dataclass(frozen=True)
class Models:
    """Three folders that services fill. Raises AdapterError where one is damaged."""

    adapters: Adapters
    champions: Champions
    examinations: Examinations

    def named(self, name: str) -> Adapter:
        """By name, or so many of its first letters that there is only one; `latest` is the newest."""
        found = self.adapters.list()[-1:] if name == "latest" else self.beginning(name)
        exact = next((it for it in found if it.name == name), None)
        if exact is not None or len(found) == 1:
            return exact or found[0]
        if not found:
            raise ConsoleError(f'no adapter "{name}" in {self.adapters.folder}; `tailrace models list` shows all')
        raise ConsoleError(f'"{name}" may be {", ".join(it.name for it in found[:4])}: type more of it', exit_code=2)

    def beginning(self, letters: str) -> tuple[Adapter, ...]:
        """Those whose names begin so, the oldest first."""
        return tuple(it for it in self.adapters.list() if it.name.startswith(letters))

    def facts(self) -> list[dict[str, Any]]:
        """Of each adapter, the oldest first."""
        serving, ended = self.champions.serving(), self.examinations.all()
        return [facts_of(it, serving, _last(ended, it.name)) for it in self.adapters.list()]

    def facts_of(self, adapter: Adapter) -> dict[str, Any]:
        """Of one."""
        return facts_of(adapter, self.champions.serving(), self.examinations.last(adapter.name))


def facts_of(adapter: Adapter, serving: Serving, said: ModelEvaluated | None) -> dict[str, Any]:
    """For a table, or for programs."""
    try:
        card = adapter.card
    except AdapterError as error:
        return {"name": adapter.name, "serves": serves(adapter.name, serving), "fault": str(error)}
    return {
        "name": adapter.name,
        "trained_at": f"{card.trained_at:%Y-%m-%dT%H:%M:%SZ}",
        "recipe": card.recipe,
        "method": card.method,
        "base": card.base.name,
        "started_from": card.started_from,
        "dataset": card.trained.dataset,
        "rows": card.trained.train,
        "verdict": None if said is None else "passed" if said.passed else "failed",
        "evaluation": None if said is None else said.evaluation_id,
        "serves": serves(adapter.name, serving),
    }


def serves(name: str, serving: Serving) -> str | None:
    """What it serves: all, a share, or, once rolled back to, all again."""
    if name == serving.challenger:
        return f"{serving.share:.0%} of the conversations"
    if name == serving.champion:
        return "the others" if serving.challenger is not None else "all"
    return "served before" if name in serving.before else None


def _last(ended: tuple[ModelEvaluated, ...], name: str) -> ModelEvaluated | None:
    return next((it for it in reversed(ended) if it.model == name), None)
