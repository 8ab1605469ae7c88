"""A mean over windows, and how sure it is."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Measured:
    """`value` is None where there was nothing to measure, `stderr` where fewer than two windows were at hand."""

    value: float | None
    stderr: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def ratio(sums_N: ArrayLike, counts_N: ArrayLike) -> Measured:
    """The sum of all windows' sums over that of their counts; its standard error as that of a ratio of means over
    windows (Cochran, "Sampling Techniques", 1977, section 2.11)."""
    sums, counts = np.asarray(sums_N, np.float64), np.asarray(counts_N, np.float64)
    total, windows = counts.sum(), len(counts)
    if not total:
        return Measured(None, None)
    value = sums.sum() / total
    if windows < 2:
        return Measured(float(value), None)
    spread = ((sums - value * counts) ** 2).sum() * windows / (windows - 1)
    return Measured(float(value), math.sqrt(spread) / float(total))
