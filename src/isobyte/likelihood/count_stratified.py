"""The masked-diffusion bound, by exact mask counts stratified over passes.

The bound is E_{k ~ U{1..L}} (L/k) E_{|M| = k} sum_{i in M} -log p(x_i | the rest) (arXiv 2406.03736,
2502.09992): no time, no truncation near zero, and the strata spread k evenly over each window's passes.
"""

import numpy as np
import torch
from torch import Tensor

from isobyte.backbone.mask import BIDIRECTIONAL
from isobyte.objective.base import LogProbs, View
from isobyte.random import generator


def stratified_counts(first: int, length: int, passes: int) -> np.ndarray:
    """[passes] mask counts in 1..length, spread evenly, cyclic from `first`; each uniform if `first` is."""
    return (first - 1 + np.arange(passes) * length // passes) % length + 1


def window_masks(length: int, passes: int, seed: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks [2, passes / 2, T] and counts [2, passes / 2] of one window: two independent stratified sets."""
    draw = generator(seed, "count-stratified", window)
    half = passes // 2
    counts = np.stack([stratified_counts(int(draw.integers(1, length + 1)), length, half) for _ in range(2)])
    ranks = draw.random((2, half, length)).argsort(-1).argsort(-1)
    return ranks < counts[..., None], counts


def masked_nats(
    log_probs: LogProbs,
    x_WT: Tensor,
    vocab: int,
    *,
    passes: int,
    seed: int,
    first_window: int,
    told_rate: bool = False,
    symbols_per_call: int = 16_384,
) -> Tensor:
    """[W, 2] nats: each window's bound as estimated by two independent halves of `passes` network passes.

    `told_rate` hands the network k / T as its time. Unbiased for the bound, each half on its own. The network
    sees `symbols_per_call` symbols at once, or one window.
    """
    length = x_WT.shape[1]
    drawn = [window_masks(length, passes, seed, first_window + w) for w in range(len(x_WT))]
    masked = torch.from_numpy(np.stack([mask for mask, _ in drawn])).to(x_WT.device)
    counts = torch.from_numpy(np.stack([count for _, count in drawn])).to(x_WT.device)
    x_WHPT = x_WT[:, None, None].expand(masked.shape)
    inputs = torch.where(masked, vocab, x_WHPT).flatten(0, 2)
    times = (counts / length).float().flatten() if told_rate else None
    targets, rows = x_WHPT.flatten(0, 2), max(1, symbols_per_call // length)
    costs = []
    for start in range(0, len(inputs), rows):
        call = slice(start, start + rows)
        view = View(inputs[call], BIDIRECTIONAL, time_B=None if times is None else times[call])
        log_BTV = log_probs(view)
        costs.append(-log_BTV.gather(-1, targets[call, :, None]).squeeze(-1).double())
    cost_WHPT = torch.cat(costs).view(masked.shape)
    cost_WHP = torch.where(masked, cost_WHPT, 0.0).sum(-1)
    return (cost_WHP * length / counts).mean(-1)
