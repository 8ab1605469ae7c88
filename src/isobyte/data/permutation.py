"""A shuffle without a table: any place of it can be had on its own."""

import math

import numpy as np
from numpy.typing import NDArray

ROUNDS = 6
_MIX = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


def permute(index: NDArray[np.uint64], size: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A permutation of 0..size-1, keyed by `keys` [ROUNDS], at each of `index` [n].

    A Feistel network over pairs of digits in base ceil(sqrt(size)); results outside the range go through it
    again (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002).
    """
    base = np.uint64(math.isqrt(size - 1) + 1)
    out = _network(index, base, keys)
    while (outside := out >= size).any():
        out[outside] = _network(out[outside], base, keys)
    return out


def _network(index: NDArray[np.uint64], base: np.uint64, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    left, right = np.divmod(index, base)
    for key in keys:
        mixed = (right + key) * _MIX
        left, right = right, (left + (mixed ^ (mixed >> _HALF)) % base) % base
    return left * base + right
