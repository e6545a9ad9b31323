"""The models that are examined: one base in memory, candidate and champion as LoRA adapters on it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from services.evaluation.examination.asking import Tick
from services.evaluation.examination.likelihood import Likelihood, batches, likelihoods
from services.evaluation.examination.tokens import Tokens
from services.evaluation.examination.writing import Written, write

Who = Literal["candidate", "champion", "base"]
BOTH: tuple[Who, Who] = ("candidate", "champion")


class Students:
    """Deterministic: the same question in the same batch has the same answer.

    `champion` None: the bare base. `ends`: tokens that end an answer, beside those that the model knows.
    """

    def __init__(
        self, base: Path, candidate: Path, champion: Path | None, device: torch.device, ends: frozenset[int]
    ) -> None:
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        bare: Any = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
        self._model: Any = PeftModel.from_pretrained(bare, candidate, adapter_name="candidate")
        if champion is not None:
            self._model.load_adapter(champion, adapter_name="champion")
        self._model.to(device).eval()
        self._device, self._has_champion = device, champion is not None
        known = bare.generation_config.eos_token_id
        self._ends = ends | set(known if isinstance(known, list) else [known] if known is not None else [])
        self._known: dict[tuple[Who, Tokens], Likelihood] = {}

    @property
    def champion_is_bare(self) -> bool:
        """Whether the champion is the base itself."""
        return not self._has_champion

    @torch.inference_mode()
    def likelihoods(self, who: Who, texts: Sequence[Tokens], tick: Tick) -> list[Likelihood]:
        """Of each text; one that was asked before, as in another exam, is not computed again."""
        acting = self._acting(who)
        with self._as(acting) as model:
            for batch in batches(texts, self._device.type):
                if new := [it for it in batch if (acting, it) not in self._known]:
                    found = likelihoods(model, new, self._device)
                    self._known |= {(acting, it): value for it, value in zip(new, found, strict=True)}
                tick()
        return [self._known[acting, it] for it in texts]

    @torch.inference_mode()
    def write(self, who: Who, prompts: Sequence[Sequence[int]], tokens: int) -> Written:
        """Answers of at most so many tokens, the likeliest token each time."""
        with self._as(self._acting(who)) as model:
            return write(model, prompts, tokens, self._ends, self._device)

    def _acting(self, who: Who) -> Who:
        return "base" if who == "champion" and not self._has_champion else who

    @contextmanager
    def _as(self, who: Who) -> Iterator[Callable[..., Any]]:
        if who == "base":
            with self._model.disable_adapter():
                yield self._model.get_base_model()
            return
        self._model.set_adapter(who, inference_mode=True)
        yield self._model.get_base_model()
