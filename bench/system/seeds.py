"""Random streams by name: a stream depends on the names that spell it, and on nothing else.

Comparisons are paired: label mask, data order and augmentation depend on (dataset, fold, ratio,
seed, ...) and never on the method's name, so two methods see the same frames in the same order.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream_seed(*names: object) -> int:
    """Return a 63-bit seed for the stream that `names` spell: `stream_seed("order", "bp4d", 0)`."""
    text = "\x1f".join(map(str, names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*names: object) -> np.random.Generator:
    """Return a fresh numpy generator for the stream that `names` spell."""
    return np.random.default_rng(stream_seed(*names))
