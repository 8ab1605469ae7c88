"""Kraft sums of a trained model: over all windows of one or two symbols, is what it calls a code length one?

The probabilities exp(-nats) of all windows may not sum to more than one. Bounds are had by asking every mask.
"""

import math

import numpy as np
import torch
from torch import Tensor

from isobyte.backbone.mask import PatchesHidden
from isobyte.config import objective as kinds
from isobyte.config.spans import FixedSpans, GeometricSpans, Spans
from isobyte.likelihood.any_order import order_nats
from isobyte.likelihood.boundaries import BoundaryCoder
from isobyte.likelihood.enumeration import count_costs, enumerated_bound
from isobyte.likelihood.exact import ar_nats
from isobyte.likelihood.exhaustive import block_bound, eso_bound
from isobyte.likelihood.oracle import all_sequences
from isobyte.likelihood.passes import Settings
from isobyte.likelihood.patch_order import patch_order_nats
from isobyte.likelihood.patchwise import count_nats, hidden_patches_nats, left_to_right_nats
from isobyte.objective.any_order import nearby
from isobyte.objective.base import LogProbs
from isobyte.objective.digits import digit_marginals, digit_view
from isobyte.objective.span import span_starts

MOST_WINDOWS = 1 << 17
MOST_ROWS = 1 << 20
AT_ONCE = 1 << 12


def kraft_length(objective: kinds.Objective, vocab: int) -> int:
    """Symbols of the windows that are enumerated: two where the alphabet allows, and one of digits."""
    return 1 if isinstance(objective, kinds.DigitsConfig) or vocab**2 > MOST_WINDOWS else 2


def kraft_sums(
    log_probs: LogProbs,
    objective: kinds.Objective,
    vocab: int,
    *,
    codes_VL: Tensor | None = None,
    boundaries: BoundaryCoder | None = None,
    told: Settings | None = None,
) -> dict[str, float]:
    """Sums by the name of the number: the objective's own likelihood, and what is published or unpaid beside it.

    `told` says of a network of patches how windows fall into them. Empty where there are too many masks to ask. Best
    in float64.
    """
    if isinstance(objective, kinds.DigitsConfig):
        assert codes_VL is not None
        return _digit_sums(log_probs, codes_VL)
    windows = all_sequences(vocab, kraft_length(objective, vocab))
    sums: dict[str, float] = {}
    for x_NT in windows.split(AT_ONCE):
        if isinstance(objective, kinds.PatchwiseConfig):
            assert told is not None
            found = _patch_nats(log_probs, objective, x_NT, told)
        else:
            found = _nats(log_probs, objective, x_NT, vocab, boundaries)
        for name, nats_N in found.items():
            sums[name] = sums.get(name, 0.0) + float((-nats_N).exp().sum())
    return sums


def _nats(
    log_probs: LogProbs, objective: kinds.Objective, x_NT: Tensor, vocab: int, boundaries: BoundaryCoder | None
) -> dict[str, Tensor]:
    length = x_NT.shape[1]
    match objective:
        case kinds.CausalConfig():
            return {"exact": ar_nats(log_probs, x_NT, vocab)}
        case kinds.BlockConfig():
            return {"block": block_bound(log_probs, x_NT, objective.block, vocab)}
        case kinds.EsoConfig():
            return {"eso": eso_bound(log_probs, x_NT, objective, vocab)}
        case kinds.AnyOrderConfig():
            orders = [torch.arange(length), torch.arange(length).flip(0)][:length]
            orders = [nearby(order, objective.within).expand(len(x_NT), -1) for order in orders]
            nats = [order_nats(log_probs, x_NT, order, vocab) for order in orders]
            return {"order": torch.stack(nats).mean(0)}
        case kinds.SpanConfig():
            return _span_nats(log_probs, objective.spans, x_NT, vocab, boundaries)
    told = objective.time_conditioning
    return {"count-stratified": enumerated_bound(log_probs, x_NT, vocab, told_rate=told)}


def _span_nats(
    log_probs: LogProbs, spans: Spans, x_NT: Tensor, vocab: int, boundaries: BoundaryCoder | None
) -> dict[str, Tensor]:
    """Of at most two symbols: they are one span or two, and the two are two symbols."""
    costs_NK = count_costs(log_probs, x_NT, vocab)
    apart = (costs_NK[:, 1:] / torch.arange(1, costs_NK.shape[1])).sum(-1)
    if x_NT.shape[1] == 1:
        return {"span": apart}
    if isinstance(spans, FixedSpans | GeometricSpans):
        share = 1 / (spans.length if isinstance(spans, FixedSpans) else spans.mean)
        return {"span": share * apart + (1 - share) * costs_NK[:, 2]}
    starts_NT = span_starts(spans, x_NT.numpy(), np.zeros(x_NT.shape))
    unpaid = torch.where(torch.from_numpy(starts_NT[:, 1]), apart, costs_NK[:, 2])
    assert boundaries is not None
    return {"span": unpaid + torch.from_numpy(boundaries.nats(starts_NT)), "span-unpaid": unpaid}


def _patch_nats(
    log_probs: LogProbs, objective: kinds.PatchwiseConfig, x_NT: Tensor, told: Settings
) -> dict[str, Tensor]:
    """Of windows of a few symbols: all sets of hidden patches, those of k patches at 1 / k of their mean."""
    if not isinstance(objective, kinds.PatchMaskedConfig):
        return {"exact": left_to_right_nats(log_probs, x_NT, told)}
    assert told.grouping is not None
    starts = told.grouping.starts(x_NT)
    nats_N = count_nats(told, starts)
    for count in starts.sum(1).unique().tolist():
        rows = (starts.sum(1) == count).nonzero()[:, 0]
        for hidden_M in all_sequences(2, count).bool()[1:]:
            mask = PatchesHidden(starts[rows], hidden_M.expand(len(rows), -1))
            k = int(hidden_M.sum())
            share = 1 / (k * math.comb(count, k))
            nats_N[rows] += share * hidden_patches_nats(log_probs, told.grouping, x_NT[rows], mask)
    return {"patch-count": nats_N, "patch-order": patch_order_nats(log_probs, x_NT, told)}


def _digit_sums(log_probs: LogProbs, codes_VL: Tensor) -> dict[str, float]:
    """Of one symbol: the marginal form, whole symbols, and the published number, over all masks of its digits."""
    vocab, digits = codes_VL.shape
    if vocab << digits > MOST_ROWS:
        return {}
    x_V1 = torch.arange(vocab)[:, None]
    by_count = {name: torch.zeros(vocab, digits + 1).double() for name in ("digit-marginal", "joint_ce")}
    number = torch.zeros(digits + 1).double()
    for masked_L in all_sequences(2, digits).bool():
        log_V1V = log_probs(digit_view(x_V1, masked_L.expand(vocab, 1, -1), codes_VL)).double()
        marginal_VL = digit_marginals(log_V1V, codes_VL)[:, 0].gather(-1, codes_VL[..., None])[..., 0]
        count = int(masked_L.sum())
        by_count["digit-marginal"][:, count] -= marginal_VL[:, masked_L].sum(-1)
        by_count["joint_ce"][:, count] -= log_V1V[:, 0].gather(-1, x_V1)[:, 0]
        number[count] += 1
    weights = 1 / (number[1:] * torch.arange(1, digits + 1))
    sums = {name: float((-(costs[:, 1:] @ weights)).exp().sum()) for name, costs in by_count.items()}
    return sums | {"symbol": float((-by_count["joint_ce"][:, digits]).exp().sum())}
