"""The bound of block diffusion (BD3-LM, arXiv 2503.09573): the masked bound of each block given those before it."""

import numpy as np
import torch
from torch import Tensor

from isobyte.likelihood.count_stratified import masked_nats
from isobyte.likelihood.passes import Settings, among, half_nats, rows_at_once, strata, symbol_nats
from isobyte.objective.base import LogProbs
from isobyte.objective.block import block_view
from isobyte.random import generator


def block_nats(log_probs: LogProbs, x_WT: Tensor, block: int, settings: Settings, first: int) -> Tensor:
    """[W, 2] nats: for each block of size b, E_{k ~ U{1..b}} (b/k) E_{|M| = k} sum_{i in M} -log p(x_i | ...).

    One pass scores all blocks, each with a k of its own; the k are spread evenly over passes and blocks. The last
    block has its true size. A block as long as the window is the masked bound.
    """
    length = x_WT.shape[1]
    if block >= length:
        calls = rows_at_once(length, settings.vocab) * length
        return masked_nats(
            log_probs, x_WT, settings.vocab,
            passes=settings.passes, seed=settings.seed, first_window=first, symbols_per_call=calls,
        )  # fmt: skip
    sizes = block_sizes(length, block)
    drawn = [block_masks(sizes, settings.passes, settings.seed, first + w) for w in range(len(x_WT))]

    def cost(x_NT: Tensor, masked_NT: Tensor, weights_NT: Tensor) -> Tensor:
        log_NTV = log_probs(block_view(x_NT, masked_NT, block, settings.vocab))
        return torch.where(masked_NT, symbol_nats(log_NTV, x_NT) * weights_NT, 0.0).sum(-1)

    return half_nats(x_WT, drawn, cost, rows_at_once(length, settings.vocab)).mean(-1)


def block_sizes(length: int, block: int) -> np.ndarray:
    """[blocks] symbols of each block."""
    return np.diff(np.append(np.arange(0, length, block), length))


def block_masks(sizes: np.ndarray, passes: int, seed: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks and weights b / k, [2, passes / 2, T], of one window."""
    draw = generator(seed, "block", window)
    blocks, half, largest = len(sizes), passes // 2, int(sizes.max())
    spread = draw.permuted(np.tile(np.arange(blocks), (2, half, 1)), axis=-1) / (blocks * half)
    counts = among((strata(draw, passes)[..., None] + spread) % 1, sizes)
    inside = np.arange(largest) < sizes[:, None]
    keys = np.where(inside, draw.random((2, half, blocks, largest)), 2.0)
    masked = keys.argsort(-1).argsort(-1) < counts[..., None]
    weights = np.broadcast_to((sizes / counts)[..., None], masked.shape)
    return masked[..., inside], weights[..., inside]


def one_by_one_nats(log_probs: LogProbs, x_WT: Tensor, vocab: int) -> Tensor:
    """[W] nats of blocks of one symbol: autoregression, exact, in one pass."""
    view = block_view(x_WT, torch.ones_like(x_WT, dtype=torch.bool), 1, vocab)
    return symbol_nats(log_probs(view), x_WT).sum(-1)
