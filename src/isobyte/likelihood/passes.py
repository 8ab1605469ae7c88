"""What the sampled estimators share: two independent halves of network passes, and strata spread over each half."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isobyte.likelihood.boundaries import BoundaryCoder
from isobyte.likelihood.patch_counts import PatchCounts
from isobyte.objective.patchwise import Grouping
from isobyte.objective.permutation import Reading

NUMBERS_PER_CALL = 1 << 23
"""Logits of one network call, or numbers of each of its hidden states."""


@dataclass(frozen=True)
class Settings:
    """What an estimator may be told: network passes per window (even), a seed, symbols in the alphabet."""

    passes: int
    seed: int
    vocab: int
    codes: Tensor | None = None
    """[vocab, digits] where symbols are shown as digits."""
    steps: int = 64
    """Reveal steps of the discrete-time bounds."""
    per_step: int = 1
    """Symbols that a deterministic rule reveals at once."""
    boundaries: BoundaryCoder | None = None
    """What the boundaries of content-dependent spans are paid with."""
    counts: PatchCounts | None = None
    """What the number of a window's patches is paid with."""
    grouping: Grouping | None = None
    """How windows fall into patches."""
    reading: Reading | None = None
    """In which order the network reads a window, if not as it stands."""


def strata(draw: np.random.Generator, passes: int) -> NDArray[np.float64]:
    """[2, passes / 2] numbers, each uniform in [0, 1); those of a half fill its strata, by one shared shift."""
    half = passes // 2
    return (draw.random((2, 1)) + np.arange(half) / half) % 1


def among(uniform: NDArray[np.float64], count: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Uniform in [0, 1) -> uniform in 1..count."""
    return np.minimum((uniform * count).astype(np.int64), count - 1) + 1


def exactly(
    draw: np.random.Generator, counts: NDArray[np.int64], length: int, of: int | NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """[*, length] masks of exactly `counts` [*] of the first `of` [*] places (all, if left out), equally likely."""
    keys = draw.random((*counts.shape, length))
    if of is not None:
        keys = np.where(np.arange(length) < np.asarray(of)[..., None], keys, 2.0)
    return keys.argsort(-1).argsort(-1) < counts[..., None]


def half_nats(
    x_WT: Tensor,
    drawn: Sequence[tuple[np.ndarray, ...]],
    cost: Callable[..., Tensor],
    rows: int,
) -> Tensor:
    """[W, 2, P] nats of each window's P passes in two halves.

    `drawn` has arrays [2, P, ...] for each window; `cost` maps at most `rows` rows of symbols [N, T] and of those
    arrays [N, ...] to nats [N].
    """
    fields = [torch.from_numpy(np.stack(field)).to(x_WT.device) for field in zip(*drawn, strict=True)]
    shape = fields[0].shape[:3]
    flat = [x_WT[:, None, None].expand(*shape, -1).flatten(0, 2), *(field.flatten(0, 2) for field in fields)]
    costs = [cost(*(field[start : start + rows] for field in flat)) for start in range(0, len(flat[0]), rows)]
    return torch.cat(costs).view(shape)


def rows_at_once(length: int, vocab: int) -> int:
    """Rows of one network call."""
    return max(1, cells_at_once(vocab) // length)


def cells_at_once(vocab: int) -> int:
    """Positions of one network call: where the alphabet is small, hidden states are what fills the memory."""
    return NUMBERS_PER_CALL // max(vocab, 256)


def symbol_nats(log_BTV: Tensor, x_BT: Tensor) -> Tensor:
    """[B, T] float64: -log p of each symbol."""
    return -log_BTV.gather(-1, x_BT[..., None]).squeeze(-1).double()


def hidden_nats(log_BTV: Tensor, x_BT: Tensor, masked_BT: Tensor) -> Tensor:
    """[B] float64: -log p summed over the masked symbols."""
    return torch.where(masked_BT, symbol_nats(log_BTV, x_BT), 0.0).sum(-1)
