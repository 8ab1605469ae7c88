"""The noise of a training step: whole for the global batch, sliced to the rows at hand."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isobyte.random import generator


@dataclass(frozen=True)
class Draw:
    """Step `step` of a run with seed `seed`: rows `rows` of its global batch of `batch` windows.

    Every rank and micro-batch draws all of it and takes its share, so all of them see the same numbers.
    """

    seed: int
    step: int
    rows: slice
    batch: int

    def uniform(self, name: str, *shape: int) -> NDArray[np.float32]:
        """[rows, *shape] independent numbers in [0, 1)."""
        return generator(self.seed, name, self.step).random((self.batch, *shape), dtype=np.float32)[self.rows]

    def uniform_along(self, name: str, length: int, *shape: int) -> NDArray[np.float32]:
        """[rows, length, *shape] such numbers, of which a longer draw's first `length` are the same: rows that are
        longer beside them change nothing."""
        drawn = generator(self.seed, name, self.step).random((length, self.batch, *shape), dtype=np.float32)
        return np.moveaxis(drawn[:, self.rows], 1, 0)

    def times(self, per_row: int | None = None) -> NDArray[np.float64]:
        """Times in (0, 1], [rows] or [rows, per_row], one per stratum of the whole batch (VDM, arXiv 2107.00630).

        One shared shift; the times of a row are spread over the strata.
        """
        count = self.batch * (per_row or 1)
        shift = generator(self.seed, "time", self.step).random()
        times = 1 - (shift + np.arange(count) / count) % 1
        return times[self.rows] if per_row is None else times.reshape(per_row, self.batch).T[self.rows]

    def index(self) -> NDArray[np.int64]:
        """[rows] places in the global batch."""
        return np.arange(self.batch)[self.rows]
