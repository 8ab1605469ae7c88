"""A code for where spans begin: what a content-dependent segmentation costs when it is paid for.

Masks whose units the text decides show where those units end. A cost given the boundaries is a likelihood only
together with a code for the boundaries themselves: -log p(boundaries) - log p(text | boundaries) >= -log p(text).
The code here is a small causal one, with counts of how long spans last.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isobyte.likelihood.count_tables import load_counts, save_counts

SINCE = 32
"""Ages of a span that are told apart; older ones count as this old."""
CLASSES = 7
"""Length classes of the span before: none, 1, 2-3, 4-7, 8-15, 16-31, longer."""


@dataclass(frozen=True)
class BoundaryCoder:
    """p(a span ends before symbol i | symbols since the last boundary, length class of the span before).

    The first symbol of a window begins a span for free.
    """

    counts_C2: Tensor
    """int64: how often each context was followed by no boundary and by one, in the text that it was fitted to."""

    @classmethod
    def fit(cls, starts_BT: NDArray[np.bool_]) -> Self:
        """From segmentations of windows."""
        if starts_BT.shape[1] < 2:
            return cls(torch.zeros(SINCE * CLASSES, 2, dtype=torch.int64))
        cells = contexts(starts_BT) * 2 + starts_BT[:, 1:]
        counts = np.bincount(cells.ravel(), minlength=SINCE * CLASSES * 2)
        return cls(torch.from_numpy(counts.reshape(-1, 2).astype(np.int64)))

    def nats(self, starts_BT: NDArray[np.bool_]) -> NDArray[np.float64]:
        """[B] cost of each segmentation, by add-half estimates (Krichevsky-Trofimov)."""
        if starts_BT.shape[1] < 2:
            return np.zeros(len(starts_BT))
        smoothed = self.counts_C2.numpy() + 0.5
        cost = -np.log(smoothed / smoothed.sum(1, keepdims=True))
        return cost[contexts(starts_BT), starts_BT[:, 1:].astype(np.int64)].sum(1)

    def save(self, path: Path) -> None:
        save_counts(path, "counts", self.counts_C2)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises UserError for a file that is missing or damaged."""
        shape = (SINCE * CLASSES, 2)
        return cls(load_counts(path, "counts", "table of boundary counts", lambda counts: counts.shape == shape))


def contexts(starts_BT: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[B, T - 1] context of each symbol but the first: only what came before it decides."""
    places = np.arange(starts_BT.shape[1])
    begun_BT = np.maximum.accumulate(np.where(starts_BT, places, 0), axis=1)
    last = begun_BT[:, :-1]
    since = places[1:] - last
    earlier = np.take_along_axis(begun_BT, np.maximum(last - 1, 0), axis=1)
    length = np.where(last > 0, last - earlier, 0)
    size = np.ceil(np.log2(length + 1)).astype(np.int64)
    return (np.minimum(since, SINCE) - 1) * CLASSES + np.minimum(size, CLASSES - 1)
