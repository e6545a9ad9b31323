"""The model and its slot cache: reads prompts a piece at a time, decodes one token for every row at once.

Knows tokens and rows, not requests, text or time.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from libs.language_models.engine.slots import SlotCache


class Runner:
    """Rows 0 to n-1 decode; a prompt being read sits in the row behind them."""

    def __init__(self, model: PreTrainedModel, slots: int, max_length: int) -> None:
        config = model.config.get_text_config()
        self._model = model
        self._device = next(model.parameters()).device
        self._cache = SlotCache(config.num_hidden_layers, slots, max_length)

    @torch.inference_mode()
    def read(self, row: int, tokens: Sequence[int], start: int) -> torch.Tensor:
        """Reads a piece of a prompt that begins at position `start`. Logits after it: [vocabulary]."""
        ids = torch.tensor([list(tokens)], device=self._device)
        positions = torch.arange(start, start + len(tokens), device=self._device)[None]
        return self._forward(slice(row, row + 1), ids, positions)[0]

    @torch.inference_mode()
    def decode(self, tokens: Sequence[int], positions: Sequence[int]) -> torch.Tensor:
        """One step of rows 0 to n-1, each with its last token at its own position. Logits: [n, vocabulary]."""
        ids = torch.tensor(tokens, device=self._device)[:, None]
        places = torch.tensor(positions, device=self._device)[:, None]
        return self._forward(slice(0, len(tokens)), ids, places)

    @torch.inference_mode()
    def move(self, source: int, target: int, length: int) -> None:
        """Gives `target` the contents of `source`."""
        if source != target:
            self._cache.move(source, target, length)

    @torch.inference_mode()
    def swap(self, one: int, other: int, length: int) -> None:
        """Exchanges the contents of two rows."""
        self._cache.swap(one, other, length)

    def _forward(self, rows: slice, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        mask = self._cache.look(rows, positions)
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits
