"""Noise that belongs to a place: uniform numbers as a pure function of (seed, name, row, ...), on any device.

A generator's numbers depend on how many were drawn before; these do not, so a window comes out the same alone as in
a batch, and the same whether or not a step was computed twice.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from isobyte.random import generator

_GOLDEN, _FIRST, _SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
"""The constants of SplitMix64 (Steele, Lea and Flood 2014) as signed 64-bit numbers."""


@dataclass(frozen=True)
class Noise:
    """The noise of windows `first`, `first` + 1, ... under `seed`."""

    seed: int
    first: int = 0

    def uniform(self, name: str, rows: Tensor, *counters: Tensor) -> Tensor:
        """Float64 in (0, 1), one for each of the integer tensors' broadcast elements. `rows` start at 0."""
        mixed = torch.full_like(rows, _key(self.seed, name))
        for counter in (rows + self.first, *counters):
            mixed = _mix(mixed + (counter + 1) * _GOLDEN)
        return (_shift(mixed, 12).double() + 0.5) * 2.0**-52


@cache
def _key(seed: int, name: str) -> int:
    return int(generator(seed, "sample", name).integers(2**63))


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * _FIRST
    z = (z ^ _shift(z, 27)) * _SECOND
    return z ^ _shift(z, 31)


def _shift(z: Tensor, bits: int) -> Tensor:
    """Right, with zeros from the left: integers are signed here."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
