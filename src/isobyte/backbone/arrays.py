"""What compiled loops are given, as plain arrays."""

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class BlockWeights(NamedTuple):
    """Of L blocks, as compiled loops take them: matrices in fp32 or as the bits of fp16, gains in fp32."""

    norm: Array
    """Gains [L, D] before qkv."""
    qkv: Array
    """[L, (H + 2 H_kv) d, D]; in queries and keys the coordinates that turn together lie side by side."""
    out: Array
    """[L, D, H d]."""
    ffn_norm: Array
    gate_up: Array
    """[L, 2 F, D]."""
    down: Array
    """[L, D, F]."""
    heads: int
    eps: float


class CrossWeights(NamedTuple):
    """Of L layers of attention between bytes and patches."""

    norm: Array
    """Gains [L, D] before queries, with attention's scale in them."""
    query: Array
    held_norm: Array
    key_value: Array
    """[L, 2 D, D]."""
    out: Array
    heads: int
    eps: float
    residual: float
    """How much of what asks stays."""


class Sight(NamedTuple):
    """What N new rows see: places of their text, one after another, and cells of a block beside it."""

    kv: Array
    """Keys and values [L, texts, 2 H_kv, block + R, d]: cells of the block, then place p at `block` + p modulo R."""
    block: int
    rows_6N: Array
    """Of each row its text, its place, where it is kept, the first place that it sees, the one after the last, and how
    many cells it sees."""

    @classmethod
    def back_to(cls, kv: Array, block: int, texts_N: Array, places_N: Array, since_N: Array) -> "Sight":
        """Rows that see places of their texts from `since_N` up to their own."""
        slots_N = block + places_N % (kv.shape[3] - block)
        return cls(kv, block, np.stack((texts_N, places_N, slots_N, since_N, places_N + 1, np.zeros_like(places_N))))
