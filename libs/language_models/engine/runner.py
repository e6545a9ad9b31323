"""The model and its slot cache: reads pieces of prompts, decodes one token for every row, in one pass where it can.

Knows tokens and rows, not requests, text or time.
"""

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import accumulate

import torch
from transformers import PreTrainedModel

from libs.language_models.engine.low_rank import Beside, LowRank, Owner
from libs.language_models.engine.packing import may_pack, slot_attention
from libs.language_models.engine.slots import SlotCache


@dataclass(frozen=True)
class Piece:
    """A piece of a prompt, for a row behind those that decode."""

    row: int
    tokens: Sequence[int]
    start: int
    """The position of its first token."""
    adapter: LowRank | None = None


Read = torch.Tensor | torch.OutOfMemoryError
"""Logits after a piece, [vocabulary], or why it could not be read."""


class Runner:
    """Rows 0 to n-1 decode; prompts being read sit in the rows behind them."""

    def __init__(self, model: PreTrainedModel, slots: int, max_length: int) -> None:
        self._config = model.config.get_text_config()
        self._model = model
        self._device = next(model.parameters()).device
        self._beside = Beside(model)
        self._cache = SlotCache(self._config.num_hidden_layers, slots, max_length)
        self.packs = False
        self.packs = slots > 1 and may_pack(self._config) and self._packing_agrees()

    def step(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        pieces: Sequence[Piece],
        adapters: Sequence[LowRank | None] = (),
    ) -> tuple[torch.Tensor, list[Read]]:
        """Decodes rows 0 to n-1 as `decode` does, and reads these pieces. Logits: [n, vocabulary], and each piece's.

        One pass reads the weights once for all; where memory does not suffice for that, one after the other.
        """
        if self.packs and len(pieces) + bool(tokens) > 1:
            with suppress(torch.OutOfMemoryError):
                return self._packed(tokens, positions, pieces, adapters)
        decoded = self.decode(tokens, positions, adapters) if tokens else torch.empty(0, 1)
        return decoded, [self._try_to_read(piece) for piece in pieces]

    def _try_to_read(self, piece: Piece) -> Read:
        try:
            return self.read(piece)
        except torch.OutOfMemoryError as error:
            return error

    @torch.inference_mode()
    def read(self, piece: Piece) -> torch.Tensor:
        """Reads a piece by itself. Logits after it: [vocabulary]."""
        return self._forward(slice(piece.row, piece.row + 1), [piece.tokens], [_places(piece)], [piece.adapter])[0]

    @torch.inference_mode()
    def decode(
        self, tokens: Sequence[int], positions: Sequence[int], adapters: Sequence[LowRank | None] = ()
    ) -> torch.Tensor:
        """One step of rows 0 to n-1, each with its last token at its own position. Logits: [n, vocabulary].

        `adapters`: that of each row; empty: none has one.
        """
        places = [[place] for place in positions]
        return self._forward(slice(0, len(tokens)), [[token] for token in tokens], places, adapters)

    @torch.inference_mode()
    def move(self, source: int, target: int, length: int) -> None:
        """Gives `target` the contents of `source`."""
        if source != target:
            self._cache.move(source, target, length)

    @torch.inference_mode()
    def swap(self, one: int, other: int, length: int) -> None:
        """Exchanges the contents of two rows."""
        self._cache.swap(one, other, length)

    def _forward(
        self,
        rows: slice,
        tokens: Sequence[Sequence[int]],
        places: Sequence[Sequence[int]],
        adapters: Sequence[LowRank | None],
    ) -> torch.Tensor:
        view = self._cache.look(rows, self._tensor(places))
        owners = [(adapter, len(places[0])) for adapter in adapters]
        attention = slot_attention(self._config) if self.packs else nullcontext()
        with attention, self._beside.of(owners, self._device):
            output = self._model(
                input_ids=self._tensor(tokens),
                attention_mask=view.mask,
                position_ids=view.positions,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    @torch.inference_mode()
    def _packed(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        pieces: Sequence[Piece],
        adapters: Sequence[LowRank | None] = (),
    ) -> tuple[torch.Tensor, list[Read]]:
        parts = [(slice(0, len(tokens)), self._tensor([[place] for place in positions]))] if tokens else []
        parts += [(slice(piece.row, piece.row + 1), self._tensor([_places(piece)])) for piece in pieces]
        ids = [*tokens, *(token for piece in pieces for token in piece.tokens)]
        lasts = [end - 1 for end in accumulate([1] * len(tokens) + [len(piece.tokens) for piece in pieces])]
        view = self._cache.look_packed(parts)
        owners: list[Owner] = [(adapter, 1) for adapter in adapters or [None] * len(tokens)]
        owners += [(piece.adapter, len(piece.tokens)) for piece in pieces]
        with slot_attention(self._config), self._beside.of(owners, self._device):
            output = self._model(
                input_ids=self._tensor([ids]),
                attention_mask=view.parts[0].mask,  # not used, but where there is one, the model makes none
                position_ids=view.positions[None],
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=self._tensor(lasts),
                slot_views=view.parts,
            )
        logits: torch.Tensor = output.logits[0]
        return logits[: len(tokens)], list(logits[len(tokens) :])

    def _packing_agrees(self) -> bool:
        """Whether a packed pass gives what passes apart give: then this model's attention can be replaced."""
        tokens = [number % self._config.vocab_size for number in range(3, 12)]
        piece = Piece(1, tokens, 2)
        try:
            for row in (0, 1):
                self.read(Piece(row, tokens[row : row + 2], 0))
            decoded, read = self._packed(tokens[:1], [2], [piece])
            apart = torch.stack([self.decode(tokens[:1], [2])[0], self.read(piece)])
            packed = torch.stack([decoded[0], *(logits for logits in read if isinstance(logits, torch.Tensor))])
        except Exception:
            return False
        allowed = 1e-3 if apart.dtype is torch.float32 else 5e-2
        return bool((packed - apart).norm() <= allowed * apart.norm())

    def _tensor(self, values: Sequence[Sequence[int]] | Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, device=self._device)


def _places(piece: Piece) -> list[int]:
    return list(range(piece.start, piece.start + len(piece.tokens)))
