"""What simple means already achieve on a text: the lines a model's bits per byte are read against."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isobyte.data import classical


@dataclass(frozen=True)
class ReferenceRates:
    """Bits per byte of one text of `bytes` bytes, documents joined.

    `unigram` is the entropy of its byte frequencies and `bigram` that of a byte given the one before; their tables
    are free, so they are no code lengths. `zstd` (level 19), `xz` (preset 9) and `ppmd` (variant H, order 16) are sizes
    of complete files; `ppmd` is NaN where it is not installed.
    """

    bytes: int
    unigram: float
    bigram: float
    zstd: float
    xz: float
    ppmd: float = math.nan


def reference_rates(documents: Iterable[bytes]) -> ReferenceRates:
    """One pass in flat memory; the compressors take about a second per megabyte. NaN for an empty text."""
    singles, pairs = np.zeros(256, np.int64), np.zeros(1 << 16, np.int64)
    compressors = [classical.zstd(), classical.xz(), *([ppmd] if (ppmd := classical.ppmd()) is not None else [])]
    packed = np.zeros(3, np.int64)
    last = b""
    for text in documents:
        here = np.frombuffer(last + text, np.uint8)
        singles += np.bincount(here[len(last) :], minlength=256)
        pairs += np.bincount(here[:-1].astype(np.int64) * 256 + here[1:], minlength=1 << 16)
        for index, compressor in enumerate(compressors):
            packed[index] += len(compressor.compress(text))
        last = text[-1:] or last
    for index, compressor in enumerate(compressors):
        packed[index] += len(compressor.flush())
    size = int(singles.sum())
    if not size:
        return ReferenceRates(0, *[math.nan] * 4)
    joint = pairs.reshape(256, 256)
    return ReferenceRates(
        bytes=size,
        unigram=_bits(singles) / size,
        bigram=(_bits(joint) - _bits(joint.sum(1))) / max(1, size - 1),
        zstd=float(packed[0] * 8 / size),
        xz=float(packed[1] * 8 / size),
        ppmd=float(packed[2] * 8 / size) if len(compressors) > 2 else math.nan,
    )


def _bits(counts: NDArray[np.int64]) -> float:
    """Total bits of an ideal code for these counts: their sum times the entropy of their frequencies."""
    n = counts[counts > 0]
    return float((n * np.log2(n.sum() / n)).sum()) if n.size else 0.0
