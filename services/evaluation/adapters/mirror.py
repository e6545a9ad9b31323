"""Keeps MLflow's alias `champion` and its notes on versions like what serves and what was examined.

Only a mirror: what serves is changed without it, and while MLflow is away nothing waits.
"""

import asyncio
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from libs.child import Child
from libs.files import write_whole
from libs.model_registry import Champions, Examinations
from libs.periodic import Periodic
from schemas.evaluation import ModelEvaluated
from services.evaluation.adapters.mirroring import REGISTRY, Note, Told

_MODULE = "services.evaluation.adapters.mirroring"
_TOLD, _LEFT = "told.json", "to-tell.json"


class Mirror(Periodic):
    """At work while it is entered, on one instance only."""

    def __init__(self, champions: Champions, ended: Examinations, registry: SecretStr, *, look: timedelta) -> None:
        super().__init__("registry", look)
        self._champions, self._ended, self._registry = champions, ended, registry

    async def look(self) -> None:
        """Tells MLflow what it does not know."""
        told, left = await asyncio.to_thread(self._left)
        if left is None:
            return
        folder = self._ended.folder
        await asyncio.to_thread(write_whole, folder / _LEFT, left.model_dump_json())
        child = Child(_MODULE, folder / "registry.log", {REGISTRY: self._registry.get_secret_value()}, grace=5)
        async with aclosing(child.run(str(folder / _LEFT))) as said:
            codes = [it async for it in said if isinstance(it, int)]
        if codes != [0]:
            raise RuntimeError(child.last_words())
        await asyncio.to_thread(write_whole, folder / _TOLD, told.model_dump_json(), durable=True)
        self._log.info("the registry knows what serves", champion=left.champion)

    def _left(self) -> tuple[Told, Told | None]:
        """All that it is to know, and what of that it does not know yet."""
        whole = Told(champion=self._champions.serving().champion, notes=tuple(map(_note, self._ended.all())))
        known = _known(self._ended.folder / _TOLD)
        if known == whole:
            return whole, None
        notes = set() if known is None else {it.model_dump_json() for it in known.notes}
        fresh = tuple(it for it in whole.notes if it.model_dump_json() not in notes)
        if known is None and whole == Told(champion=None):
            # Nothing was ever promoted or examined.
            return whole, None
        return whole, Told(champion=whole.champion, notes=fresh)


def _known(file: Path) -> Told | None:
    return Told.model_validate_json(file.read_bytes()) if file.exists() else None


def _note(said: ModelEvaluated) -> Note:
    metrics = {f"exam.{name}": both["candidate"] for name, both in said.metrics.items() if "candidate" in both}
    verdict = "passed" if said.passed else "failed"
    return Note(
        model=said.model,
        metrics=metrics,
        tags={"verdict": verdict, "gate": said.gate, "evaluation": said.evaluation_id},
    )
