"""The masked-diffusion bound, by exact mask counts stratified over passes.

The bound is E_{k ~ U{1..L}} (L/k) E_{|M| = k} sum_{i in M} -log p(x_i | the rest) (arXiv 2406.03736,
2502.09992): no time, no truncation near zero, and the strata spread k evenly over each window's passes.
"""

import numpy as np
from torch import Tensor

from isobyte.likelihood.passes import exactly, half_nats, hidden_nats
from isobyte.objective.base import LogProbs
from isobyte.objective.masked import masked_view
from isobyte.random import generator


def stratified_counts(first: int, length: int, passes: int) -> np.ndarray:
    """[passes] mask counts in 1..length, spread evenly, cyclic from `first`; each uniform if `first` is."""
    return (first - 1 + np.arange(passes) * length // passes) % length + 1


def window_masks(length: int, passes: int, seed: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks [2, passes / 2, T] and counts [2, passes / 2] of one window: two independent stratified sets."""
    draw = generator(seed, "count-stratified", window)
    half = passes // 2
    counts = np.stack([stratified_counts(int(draw.integers(1, length + 1)), length, half) for _ in range(2)])
    return exactly(draw, counts, length), counts


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

    def cost(x_NT: Tensor, masked_NT: Tensor, counts_N: Tensor) -> Tensor:
        time_N = (counts_N / length).float() if told_rate else None
        log_NTV = log_probs(masked_view(x_NT, masked_NT, vocab, time_N))
        return hidden_nats(log_NTV, x_NT, masked_NT) * length / counts_N

    return half_nats(x_WT, drawn, cost, max(1, symbols_per_call // length)).mean(-1)
