"""The forward pass of BERT (Devlin et al. 2018) for one sequence, mean-pooled and normalised. Shapes: n tokens, d wide.

Post-norm residuals, erf GELU. Operations work in place where they can: the time goes into memory traffic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from libs.embeddings.embedder import Vectors

_LAYER_NORM_EPSILON = np.float32(1e-12)
# Abramowitz and Stegun 7.1.26: erf to 1.5e-7, about float32's own precision.
_ERF = tuple(np.float32(c) for c in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592))
_ERF_P = np.float32(0.3275911)


@dataclass(frozen=True, slots=True)
class Linear:
    """y = x @ weight + bias, or for a norm: x * weight + bias."""

    weight: Vectors
    bias: Vectors


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer block. `qkv` joins query, key and value: [d, 3d]."""

    qkv: Linear
    attended: Linear
    attended_norm: Linear
    wide: Linear
    narrow: Linear
    output_norm: Linear


@dataclass(frozen=True, slots=True)
class BertWeights:
    """All that the forward pass reads."""

    words: Vectors
    positions: Vectors
    embedded_norm: Linear
    layers: tuple[Layer, ...]
    heads: int

    @classmethod
    def load(cls, path: Path, config: dict[str, Any]) -> "BertWeights":
        """Reads a Hugging Face safetensors file of a BertModel."""
        from safetensors import safe_open  # noqa: PLC0415 - loaded only by who embeds

        with safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name).astype(np.float32, copy=False) for name in file.keys()}  # noqa: SIM118
        # Sentences are single segments: their type embedding is a constant of every position.
        positions = tensors["embeddings.position_embeddings.weight"]
        positions = positions + tensors["embeddings.token_type_embeddings.weight"][0]
        return cls(
            words=tensors["embeddings.word_embeddings.weight"],
            positions=positions,
            embedded_norm=_linear(tensors, "embeddings.LayerNorm"),
            layers=tuple(_layer(tensors, i) for i in range(config["num_hidden_layers"])),
            heads=config["num_attention_heads"],
        )


def _linear(tensors: dict[str, Vectors], *names: str) -> Linear:
    weight = np.concatenate([tensors[f"{name}.weight"] for name in names])
    return Linear(weight.T, np.concatenate([tensors[f"{name}.bias"] for name in names]))


def _layer(tensors: dict[str, Vectors], index: int) -> Layer:
    at = f"encoder.layer.{index}."
    return Layer(
        qkv=_linear(tensors, *(f"{at}attention.self.{name}" for name in ("query", "key", "value"))),
        attended=_linear(tensors, f"{at}attention.output.dense"),
        attended_norm=_linear(tensors, f"{at}attention.output.LayerNorm"),
        wide=_linear(tensors, f"{at}intermediate.dense"),
        narrow=_linear(tensors, f"{at}output.dense"),
        output_norm=_linear(tensors, f"{at}output.LayerNorm"),
    )


def encode(weights: BertWeights, ids: Sequence[int]) -> Vectors:
    """Token ids of one text, special tokens included, to its vector [d] of length 1."""
    x = weights.words[np.asarray(ids)] + weights.positions[: len(ids)]
    x = _normed(x, weights.embedded_norm)
    for layer in weights.layers:
        h = _project(_attend(x, layer, weights.heads), layer.attended)
        h += x
        x = _normed(h, layer.attended_norm)
        h = _project(_gelu(_project(x, layer.wide)), layer.narrow)
        h += x
        x = _normed(h, layer.output_norm)
    mean = x.mean(0)
    pooled: Vectors = mean / np.linalg.norm(mean)
    return pooled


def _project(x: Vectors, linear: Linear) -> Vectors:
    y: Vectors = x @ linear.weight
    y += linear.bias
    return y


def _attend(x: Vectors, layer: Layer, heads: int) -> Vectors:
    n, d = x.shape
    q, k, v = _project(x, layer.qkv).reshape(n, 3, heads, d // heads).transpose(1, 2, 0, 3)
    scores: Vectors = q @ k.transpose(0, 2, 1)
    scores *= np.float32((d // heads) ** -0.5)
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    attended: Vectors = (scores @ v).transpose(1, 0, 2).reshape(n, d)
    return attended


def _normed(x: Vectors, norm: Linear) -> Vectors:
    x -= x.mean(-1, keepdims=True)
    variance = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(x.shape[-1])
    x /= np.sqrt(variance + _LAYER_NORM_EPSILON)
    x *= norm.weight
    x += norm.bias
    return x


def _gelu(x: Vectors) -> Vectors:
    s = np.abs(x)
    s *= np.float32(0.5**0.5)
    t = s * _ERF_P
    t += 1
    np.reciprocal(t, out=t)
    y = t * _ERF[0]
    for coefficient in _ERF[1:]:
        y += coefficient
        y *= t
    np.multiply(s, s, out=s)
    np.negative(s, out=s)
    np.exp(s, out=s)
    y *= s
    np.subtract(1, y, out=y)
    np.copysign(y, x, out=y)
    y += 1
    y *= x
    y *= np.float32(0.5)
    return y
