"""A code for how many patches a window has, which masked diffusion over patches must know before it begins."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from isobyte.errors import UserError
from isobyte.likelihood.count_tables import load_counts, save_counts


@dataclass(frozen=True)
class PatchCounts:
    """p(M patches | T bytes): counts of windows of the training text, all of T bytes; uniform for other lengths."""

    counts_T: Tensor
    """int64 [T]: windows with 1, 2, ... T patches."""

    @classmethod
    def fit(cls, starts: Tensor) -> Self:
        """From windows [W, T] bool."""
        return cls(torch.bincount(starts.sum(1) - 1, minlength=starts.shape[1]))

    def log_probs(self, length: int) -> Tensor:
        """[length] float64: of 1, 2, ... patches, by add-half estimates (Krichevsky-Trofimov)."""
        if length != len(self.counts_T):
            return torch.full((length,), -math.log(length), dtype=torch.float64)
        smoothed = self.counts_T.double() + 0.5
        return (smoothed / smoothed.sum()).log()

    def nats(self, starts: Tensor) -> Tensor:
        """[B] float64 cost of each window's number of patches."""
        return -self.log_probs(starts.shape[1]).to(starts.device)[starts.sum(1) - 1]

    def save(self, path: Path) -> None:
        save_counts(path, "patches", self.counts_T)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises UserError for a file that is missing or damaged."""
        return cls(load_counts(path, "patches", "table of patch counts", lambda counts: counts.ndim == 1))


def code_of(counts: PatchCounts | None, where: str) -> PatchCounts:
    """The code that pays for patches the text decides. Raises UserError where there is none."""
    if counts is None:
        raise UserError(
            "patches that the text decides cost their number, and there is no code for that",
            where=where,
            how="give one fitted to the training text",
        )
    return counts
