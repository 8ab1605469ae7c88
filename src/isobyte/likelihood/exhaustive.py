"""What the sampled estimators estimate, for short windows: every mask, order or segmentation is asked.

Time and memory grow as 2^T and T!: for proofs, not for evaluation. `enumeration` has the masked bound.
"""

from collections.abc import Callable
from itertools import permutations
from math import comb

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from isobyte.config import objective as kinds
from isobyte.config.spans import FixedSpans, GeometricSpans, Spans
from isobyte.likelihood.any_order import order_nats
from isobyte.likelihood.block import block_sizes
from isobyte.likelihood.digits import revealed_nats
from isobyte.likelihood.oracle import all_sequences
from isobyte.likelihood.passes import hidden_nats, symbol_nats
from isobyte.objective.base import LogProbs
from isobyte.objective.block import block_view
from isobyte.objective.digits import digit_marginals, digit_view
from isobyte.objective.eso import diffusion_view, sequential_view
from isobyte.objective.masked import masked_view
from isobyte.objective.span import span_starts


def block_bound(log_probs: LogProbs, x_BT: Tensor, block: int, vocab: int) -> Tensor:
    """[B] nats: the bound of block diffusion. All blocks go through the 2^block masks together."""
    length = x_BT.shape[1]
    sizes = block_sizes(length, block)
    masks_MT = all_sequences(2, min(block, length)).bool().repeat(1, len(sizes))[:, :length]

    def cost(x_NT: Tensor, masked_NT: Tensor) -> Tensor:
        nats_NT = symbol_nats(log_probs(block_view(x_NT, masked_NT, block, vocab)), x_NT)
        return torch.where(masked_NT, nats_NT, 0.0)

    cost_BMT = _for_each(x_BT, masks_MT, cost)
    total, start = cost_BMT.new_zeros(len(x_BT)), 0
    for size in sizes.tolist():
        inside = slice(start, start + size)
        counts_M = masks_MT[:, inside].sum(1)
        nats_BM = cost_BMT[..., inside].sum(-1)
        for k in range(1, size + 1):
            total += nats_BM[:, counts_M == k].mean(1) / k
        start += size
    return total


def span_bound(log_probs: LogProbs, x_BT: Tensor, spans: Spans, vocab: int) -> Tensor:
    """[B] nats: the bound of masked spans; of spans that the text decides, the unpaid score."""
    total = torch.zeros(len(x_BT), dtype=torch.float64)
    for row, x_T in enumerate(x_BT):
        for starts_T, probability in segmentations(spans, x_T.numpy()):
            index_T = torch.from_numpy(starts_T.cumsum() - 1)
            chosen_MK = all_sequences(2, int(index_T[-1]) + 1).bool()
            costs_K = _by_count(log_probs, x_T[None], chosen_MK[:, index_T], chosen_MK.sum(1), vocab)
            total[row] += probability * float((costs_K[0, 1:] / torch.arange(1, costs_K.shape[1])).sum())
    return total


def segmentations(spans: Spans, x_T: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Every segmentation of a window and its probability."""
    length = len(x_T)
    match spans:
        case FixedSpans():
            uniform = np.repeat((np.arange(spans.length)[:, None] + 0.5) / spans.length, length, 1)
            return [(starts, 1 / spans.length) for starts in span_starts(spans, uniform.astype(np.int64), uniform)]
        case GeometricSpans():
            ends = all_sequences(2, length - 1).bool().numpy()
            weights = (1 / spans.mean) ** ends.sum(1) * (1 - 1 / spans.mean) ** (~ends).sum(1)
            return [(np.append(True, end), float(w)) for end, w in zip(ends, weights, strict=True)]
    return [(span_starts(spans, x_T[None], np.zeros((1, length)))[0], 1.0)]


def order_costs(log_probs: LogProbs, x_BT: Tensor, vocab: int) -> Tensor:
    """[B, T!] nats of each window in every order."""
    orders_MT = torch.tensor(list(permutations(range(x_BT.shape[1]))))
    return _for_each(x_BT, orders_MT, lambda x_NT, order_NT: order_nats(log_probs, x_NT, order_NT, vocab))


def eso_bound(log_probs: LogProbs, x_BT: Tensor, objective: kinds.EsoConfig, vocab: int) -> Tensor:
    """[B] nats: the bound of Eso-LM, over all masks and, where they matter, all orders of the visible symbols."""
    length = x_BT.shape[1]
    draws = []
    for mask_T in all_sequences(2, length).bool():
        visible_T = (~mask_T).nonzero().flatten()
        for order in permutations(range(len(visible_T))) if objective.cached else [range(len(visible_T))]:
            key_T = torch.zeros(length, dtype=torch.float64)
            key_T[visible_T] = torch.tensor(list(order), dtype=torch.float64) / length
            draws.append(torch.cat((mask_T.double(), key_T)))
    pairs = torch.stack(draws)
    counts_M = pairs[:, :length].sum(1).long()

    def costs(view_of: Callable) -> Tensor:
        def cost(x_NT: Tensor, pair_N: Tensor) -> Tensor:
            masked_NT, key_NT = pair_N[:, :length].bool(), pair_N[:, length:]
            view = view_of(x_NT, masked_NT, key_NT, vocab, cached=objective.cached)
            return hidden_nats(log_probs(view), x_NT, masked_NT)

        return _mean_by_count(_for_each(x_BT, pairs, cost), counts_M)

    counts, p0 = np.arange(length + 1), 1 - objective.alpha0
    above = torch.from_numpy(np.append(0.0, binom.cdf(counts[:-1], length, p0) / counts[1:]))
    left = torch.from_numpy(binom.pmf(counts, length, p0))
    return _weighed(costs(diffusion_view), above) + _weighed(costs(sequential_view), left)


def digit_bounds(log_probs: LogProbs, x_BT: Tensor, codes_VL: Tensor, steps: int) -> dict[str, Tensor]:
    """[B] nats of each form of the digits' likelihood, and of the published number, `joint_ce`, by estimator name."""
    length, digits = x_BT.shape[1], codes_VL.shape[1]
    masks_MTL = all_sequences(2, length * digits).bool().view(-1, length, digits)
    counts_M = masks_MTL.sum((1, 2))
    log_BMTV = _for_each(x_BT, masks_MTL, lambda x, masked: log_probs(digit_view(x, masked, codes_VL)).double())
    x_BMT = x_BT[:, None].expand(-1, len(masks_MTL), -1)
    marginals = digit_marginals(log_BMTV.flatten(0, 1), codes_VL)
    nats = -marginals.gather(-1, codes_VL[x_BMT.flatten(0, 1)].long()[..., None]).squeeze(-1)
    nats_BM = torch.where(masks_MTL, nats.view(*x_BMT.shape, digits), 0.0).sum((-1, -2))
    joint_BM = symbol_nats(log_BMTV, x_BMT).sum(-1)
    whole = all_sequences(2, length).bool()
    symbol_BM = _for_each(
        x_BT, whole,
        lambda x, masked: hidden_nats(
            log_probs(digit_view(x, masked[..., None].expand(-1, -1, digits), codes_VL)), x, masked
        ),
    )  # fmt: skip
    found = {
        "digit-marginal": _any_order(_mean_by_count(nats_BM, counts_M)),
        "symbol": _any_order(_mean_by_count(symbol_BM, whole.sum(1))),
        "joint_ce": _any_order(_mean_by_count(joint_BM, counts_M)),
        "digit-steps": torch.zeros(len(x_BT), dtype=torch.float64),
    }
    for mask, masked_TL in enumerate(masks_MTL):
        for revealed_TL in masks_MTL[~(masks_MTL & ~masked_TL).any((1, 2))]:
            shown, hidden = int(revealed_TL.sum()), int(masked_TL.sum())
            k = np.arange(1, steps + 1)
            chance = binom.pmf(hidden, counts_M.max(), k / steps) / comb(length * digits, hidden)
            chance = float((chance * k ** -float(shown) * (1 - 1 / k) ** (hidden - shown)).sum())
            revealed = revealed_TL.expand(len(x_BT), -1, -1)
            found["digit-steps"] += chance * revealed_nats(log_BMTV[:, mask], x_BT, revealed, codes_VL).sum(-1)
    return found


def _weighed(costs_BK: Tensor, weights_K: Tensor) -> Tensor:
    used = weights_K > 0
    return costs_BK[:, used] @ weights_K[used]


def _any_order(costs_BK: Tensor) -> Tensor:
    return (costs_BK[:, 1:] / torch.arange(1, costs_BK.shape[1])).sum(-1)


def _by_count(log_probs: LogProbs, x_BT: Tensor, masks_MT: Tensor, counts_M: Tensor, vocab: int) -> Tensor:
    cost_BM = _for_each(x_BT, masks_MT, lambda x, m: hidden_nats(log_probs(masked_view(x, m, vocab)), x, m))
    return _mean_by_count(cost_BM, counts_M)


def _for_each(x_BT: Tensor, draws_M: Tensor, cost: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """[B, M, ...] of each window under each draw."""
    batch, count = len(x_BT), len(draws_M)
    found = cost(x_BT.repeat_interleave(count, 0), draws_M.repeat(batch, *[1] * (draws_M.ndim - 1)))
    return found.view(batch, count, *found.shape[1:])


def _mean_by_count(cost_BM: Tensor, counts_M: Tensor) -> Tensor:
    """[B, K + 1] mean cost of the draws of each count."""
    return torch.stack([cost_BM[:, counts_M == k].mean(1) for k in range(int(counts_M.max()) + 1)], 1)
