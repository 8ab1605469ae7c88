"""A ratio of sums over a sample of units, and how far another sample would land."""

import math

import numpy as np
from numpy.typing import ArrayLike


def ratio_of(sums_U: ArrayLike, sizes_U: ArrayLike) -> tuple[float | None, float | None]:
    """(sum of `sums` / sum of `sizes`, its standard error over units): the error of a ratio of means (Cochran,
    "Sampling Techniques", 1977, section 2.11). None, None where there is nothing, and no error of a single unit."""
    sums, sizes = np.asarray(sums_U, np.float64), np.asarray(sizes_U, np.float64)
    units, total = len(sums), float(sizes.sum())
    if not total:
        return None, None
    value = float(sums.sum()) / total
    if units < 2:
        return value, None
    spread = float(((sums - value * sizes) ** 2).sum()) * units / (units - 1)
    return value, math.sqrt(spread) / total
