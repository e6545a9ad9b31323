"""How likely a model finds texts. Texts of a batch are one tree of tokens: what several begin with is computed once.

Chosen and rejected share their prompt, and all prompts the system message; a row's tokens attend to what stands before
them in their own text alone (a mask over the tree, as in Miao et al. 2024, SpecInfer). Nothing is padded.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from services.evaluation.examination.tokens import Tokens, common

_MOST = {"cpu": 512, "cuda": 4096}
"""Tokens of a tree: each looks at all, so that twice as many cost four times the attention."""


class Likelihood(NamedTuple):
    """Natural logarithm, and the tokens that it is the sum of."""

    total: float
    tokens: int

    @property
    def mean(self) -> float:
        """In nats per token."""
        return self.total / self.tokens


class Tree(NamedTuple):
    """`before`: the token that each follows, -1: none. `paths`: where each text's tokens are."""

    tokens: list[int]
    before: list[int]
    depths: list[int]
    paths: list[list[int]]


def batches(texts: Sequence[Tokens], device: str) -> list[list[Tokens]]:
    """The texts, each once; those that begin alike stand together."""
    found: list[list[Tokens]] = []
    size = 0
    for text in sorted(set(texts)):
        new = len(text.ids) - (common(found[-1][-1].ids, text.ids) if found else 0)
        if found and size + new <= _MOST[device]:
            found[-1].append(text)
            size += new
        else:
            found.append([text])
            size = len(text.ids)
    return found


def tree_of(texts: Sequence[Tokens]) -> Tree:
    """All of them in one."""
    places: dict[tuple[int, int], int] = {}
    tree = Tree([], [], [], [])
    for text in texts:
        last, path = -1, []
        for depth, token in enumerate(text.ids):
            place = places.setdefault((last, token), len(tree.tokens))
            if place == len(tree.tokens):
                tree.tokens.append(token)
                tree.before.append(last)
                tree.depths.append(depth)
            path.append(place)
            last = place
        tree.paths.append(path)
    return tree


def likelihoods(model: Any, texts: Sequence[Tokens], device: torch.device) -> list[Likelihood]:
    """Of each text of a batch."""
    tree = tree_of(texts)
    # The vocabulary is wide: logits only where a counted token is foretold.
    asked = [(path[at - 1], text.ids[at]) for text, path in zip(texts, tree.paths, strict=True)
             for at in range(text.start, len(text.ids))]  # fmt: skip
    kept = {place: row for row, place in enumerate(sorted({place for place, _ in asked}))}
    logits = model(
        input_ids=torch.tensor([tree.tokens], device=device),
        attention_mask=_mask(tree, model.dtype, device),
        position_ids=torch.tensor([tree.depths], device=device),
        logits_to_keep=torch.tensor(list(kept), device=device),
        use_cache=False,
    ).logits[0].float()  # fmt: skip
    rows = torch.tensor([kept[place] for place, _ in asked], device=device)
    told = torch.tensor([token for _, token in asked], device=device)
    found = (logits[rows, told] - logits.logsumexp(-1)[rows]).double().split([it.counted for it in texts])
    return [Likelihood(float(it.sum()), len(it)) for it in found]


def _mask(tree: Tree, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """[1, 1, n, n], to be added: nothing where a token sees the other, the least number where not."""
    sees = torch.eye(len(tree.tokens), dtype=torch.bool)
    for place, before in enumerate(tree.before):
        if before >= 0:
            sees[place] |= sees[before]
    mask = torch.zeros(sees.shape, dtype=dtype).masked_fill(~sees, torch.finfo(dtype).min)
    return mask[None, None].to(device)
