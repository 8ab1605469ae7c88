"""The bound of Eso-LM (arXiv 2506.01928) by exact mask counts.

Diffusion reveals symbols until n0 are left, n0 ~ Binomial(T, 1 - alpha0); those follow from left to right:
E_{n0} [ sum_{k > n0} c_k / k + s_{n0} ], where c_k is the mean cost of k masked symbols in the diffusion view and
s_n that of n in the sequential one. With k drawn in proportion to P(n0 < k) the first sum is T alpha0 E[c_k / k];
with n drawn in proportion to n P(n0 = n) the second is T (1 - alpha0) E[s_n / n]: costs per symbol, which vary little.
"""

from functools import lru_cache

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from isobyte.config.objective import EsoConfig
from isobyte.likelihood.passes import Settings, exactly, half_nats, hidden_nats, rows_at_once, strata
from isobyte.objective.base import LogProbs
from isobyte.objective.eso import diffusion_view, sequential_view
from isobyte.random import generator


def eso_passes(alpha0: float, passes: int) -> tuple[int, int]:
    """Passes for the diffusion and the sequential term, both even: half each, or all for the only one there is."""
    if alpha0 == 1:
        return passes, 0
    diffusion = max(1, passes // 4) * 2
    return diffusion, max(2, passes - diffusion)


def eso_nats(log_probs: LogProbs, x_WT: Tensor, objective: EsoConfig, settings: Settings, first: int) -> Tensor:
    """[W, 2] nats of each window's bound, for alpha0 above 0."""
    length = x_WT.shape[1]
    diffusion, sequential = eso_passes(objective.alpha0, settings.passes)
    above, left = _distributions(length, objective.alpha0)
    rows = rows_at_once(length, settings.vocab)

    def draw(name: str, passes: int, cumulative: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        drawn = []
        for window in range(first, first + len(x_WT)):
            random = generator(settings.seed, name, window)
            counts = np.searchsorted(cumulative, strata(random, passes), side="right")
            masked = exactly(random, counts, length)
            drawn.append((masked, counts, random.random(masked.shape)))
        return drawn

    def diffuse(x_NT: Tensor, masked_NT: Tensor, counts_N: Tensor, key_NT: Tensor) -> Tensor:
        view = diffusion_view(x_NT, masked_NT, key_NT, settings.vocab, cached=objective.cached)
        return hidden_nats(log_probs(view), x_NT, masked_NT) * length * objective.alpha0 / counts_N

    def follow(x_NT: Tensor, masked_NT: Tensor, counts_N: Tensor, key_NT: Tensor) -> Tensor:
        view = sequential_view(x_NT, masked_NT, key_NT, settings.vocab, cached=objective.cached)
        return hidden_nats(log_probs(view), x_NT, masked_NT) * length * (1 - objective.alpha0) / counts_N

    nats_W2 = half_nats(x_WT, draw("eso-diffusion", diffusion, above), diffuse, rows).mean(-1)
    if sequential:
        nats_W2 = nats_W2 + half_nats(x_WT, draw("eso-sequential", sequential, left), follow, rows).mean(-1)
    return nats_W2


def left_to_right_nats(log_probs: LogProbs, x_WT: Tensor, objective: EsoConfig, vocab: int) -> Tensor:
    """[W] nats of alpha0 = 0: everything is left to the sequential phase, whose chain rule is exact."""
    masked = torch.ones_like(x_WT, dtype=torch.bool)
    view = sequential_view(x_WT, masked, torch.zeros_like(x_WT, dtype=torch.double), vocab, cached=objective.cached)
    return hidden_nats(log_probs(view), x_WT, masked)


@lru_cache(maxsize=32)
def _distributions(length: int, alpha0: float) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative over 0..T: of k in proportion to P(n0 < k), and of n in proportion to n P(n0 = n)."""
    counts, p0 = np.arange(length + 1), 1 - alpha0
    above = np.append(0.0, binom.cdf(counts[:-1], length, p0)).cumsum()
    left = (counts * binom.pmf(counts, length, p0)).cumsum()
    return above / above[-1], left / left[-1] if p0 else left
