"""The runs that a law is fitted to: parameters, data, compute and loss, one row a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isobyte.errors import UserError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Value = Any
"""A float, or an array of one value per bootstrap draw."""

SPLIT = 1.25
"""Two neighbours in sorted compute whose ratio exceeds this belong to different budgets."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Finished training runs of one design, as equal-length arrays of shape (runs,).

    `N` parameters, `D` training data (bytes here; any one unit will do), `C` training FLOPs as
    achieved, `L` final loss (BPB here). `budget` labels the nominal compute budget of each run; where
    it is absent the budgets are found by clustering C. `seed` tells repeats of one cell apart.

    Raises `UserError` for values that are missing, not finite or not positive.
    """

    N: Floats
    D: Floats
    C: Floats
    L: Floats
    budget: NDArray[np.generic] | None = None
    seed: Ints | None = None

    def __post_init__(self) -> None:
        for name in ("N", "D", "C", "L"):
            object.__setattr__(self, name, _positive(name, getattr(self, name), self.L))
        for name in ("budget", "seed"):
            labels = getattr(self, name)
            if labels is None:
                continue
            labels = np.asarray(labels)
            if labels.shape != self.L.shape:
                raise UserError(f"{labels.size} values of {name} for {self.L.size} runs")
            object.__setattr__(self, name, labels)

    def __len__(self) -> int:
        return self.L.size

    def take(self, rows: Ints | NDArray[np.bool_]) -> "Runs":
        """The runs at `rows`, in that order."""
        budget = None if self.budget is None else self.budget[rows]
        seed = None if self.seed is None else self.seed[rows]
        return Runs(self.N[rows], self.D[rows], self.C[rows], self.L[rows], budget, seed)

    def require(self, *, points: int, distinct: int) -> None:
        """Raise `UserError` unless there are that many runs, and that many distinct N and D."""
        if len(self) < points:
            raise UserError(f"{len(self)} runs, and the fit needs at least {points}", how="add runs")
        for name, column in (("N", self.N), ("D", self.D)):
            found = distinct_values(column)
            if found < distinct:
                raise UserError(
                    f"{found} distinct values of {name}, and the fit needs at least {distinct}",
                    how=f"add runs at other {name}: an exponent cannot be read off fewer",
                )


def budgets_of(runs: Runs) -> Ints:
    """Index of each run's budget, shape (runs,), 0 for the smallest compute.

    By the `budget` labels where there are any; else runs are sorted by C and cut wherever two
    neighbours differ by more than a factor `SPLIT`, so that C as achieved may wander a little.
    """
    log_c = np.log(runs.C)
    if runs.budget is None:
        order = np.argsort(log_c, kind="stable")
        index = np.empty(len(runs), np.int64)
        index[order] = np.concatenate([[0], np.cumsum(np.diff(log_c[order]) > np.log(SPLIT))])
        return index
    _, label = np.unique(runs.budget, return_inverse=True)
    middle = np.array([np.median(log_c[label == k]) for k in range(label.max() + 1)])
    rank = np.argsort(np.argsort(middle, kind="stable"), kind="stable")
    return rank[label].astype(np.int64)


def cells_of(runs: Runs) -> Ints:
    """Index of each run's cell, shape (runs,): same budget and same N, so seeds aside the same run."""
    size = np.unique(np.round(np.log(runs.N), 6), return_inverse=True)[1]
    return np.unique(budgets_of(runs) * (size.max() + 1) + size, return_inverse=True)[1].astype(np.int64)


def distinct_values(column: Floats) -> int:
    """How many values of `column` differ by more than one part in a million."""
    return int(np.unique(np.round(np.log(column), 6)).size)


def slope(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(slope, intercept) of y on x along the last axis, skipping NaN; NaN with fewer than two points."""
    seen = np.isfinite(x) & np.isfinite(y)
    count = np.maximum(seen.sum(axis=-1), 1)
    x, y = np.where(seen, x, 0.0), np.where(seen, y, 0.0)
    x_mean, y_mean = x.sum(axis=-1) / count, y.sum(axis=-1) / count
    dx, dy = np.where(seen, x - x_mean[..., None], 0.0), np.where(seen, y - y_mean[..., None], 0.0)
    spread = (dx * dx).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = np.where((seen.sum(axis=-1) >= 2) & (spread > 0), (dx * dy).sum(axis=-1) / spread, np.nan)
    return rise, y_mean - rise * x_mean


def name_rows(rows: Sequence[int] | Ints) -> str:
    """`row 3` or `rows 3, 7, 9 and 4 more`, counted from 1."""
    shown = ", ".join(str(int(row) + 1) for row in rows[:5])
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{more}"


def _positive(name: str, values: ArrayLike, like: ArrayLike) -> Floats:
    try:
        column = np.array(values, dtype=np.float64, copy=True)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} is not a column of numbers") from error
    if column.ndim != 1 or column.size != np.size(like):
        raise UserError(f"{name} has shape {column.shape}, and L has {np.size(like)} values")
    wrong = np.flatnonzero(~(np.isfinite(column) & (column > 0)))
    if wrong.size:
        raise UserError(
            f"{name} must be finite and positive, and is {column[wrong[0]]:g} in {name_rows(wrong)}",
            how="repair or drop these runs",
        )
    column.flags.writeable = False
    return column
