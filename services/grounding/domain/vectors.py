"""Vectors on the wire: base64 of little-endian float16, half a float32's size at a cosine error below 1e-3."""

import base64

import numpy as np
from numpy.typing import NDArray


def pack(vector: NDArray[np.float32]) -> str:
    """[d] to text."""
    return base64.b64encode(vector.astype("<f2").tobytes()).decode("ascii")


def unpack(text: str) -> NDArray[np.float32]:
    """Text to [d], length 1 again. Raises ValueError on damaged text."""
    vector = np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float32)
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm == 0:
        raise ValueError("a vector must be finite and not zero")
    return vector / np.float32(norm)
