"""Masked diffusion over patches, decoded in one order: from left to right, every patch to come hidden.

A decoder of that order is a model of its own, whose likelihood is exact, and what a codec spends on it.
"""

import torch
from torch import Tensor

from isobyte.backbone.mask import PatchesHidden
from isobyte.config.objective import PatchMaskedConfig, PatchwiseConfig
from isobyte.config.patching import Patching
from isobyte.likelihood.passes import Settings, rows_at_once, symbol_nats
from isobyte.likelihood.patch_counts import PatchCounts, code_of
from isobyte.likelihood.patchwise import count_nats
from isobyte.objective.base import LogProbs, View
from isobyte.objective.patchwise import content_dependent, patch_targets, patch_weights


def patch_order_nats(log_probs: LogProbs, x_WT: Tensor, settings: Settings) -> Tensor:
    """[W] nats: -log p(M) + sum over the M patches of -log p(patch | those before it, M), a pass for each."""
    grouping = settings.grouping
    assert grouping is not None, "a network of patches says how windows fall into them"
    starts = grouping.starts(x_WT)
    nats_W = count_nats(settings, starts)
    count = int(starts.sum(1).max())
    rows_P, number_P = (torch.arange(count, device=x_WT.device) < starts.sum(1, keepdim=True)).nonzero(as_tuple=True)
    rows = rows_at_once(x_WT.shape[1], settings.vocab)
    for rows_N, number_N in zip(rows_P.split(rows), number_P.split(rows), strict=True):
        nats_W = nats_W.index_add(0, rows_N, _nats(log_probs, grouping.rule, x_WT[rows_N], starts[rows_N], number_N))
    return nats_W


def _nats(log_probs: LogProbs, rule: Patching, x_NT: Tensor, starts: Tensor, number_N: Tensor) -> Tensor:
    """[N] nats of patch `number_N` of each row, it and those after it hidden."""
    count = int(starts.sum(1).max())
    mask = PatchesHidden(starts, torch.arange(count, device=starts.device) >= number_N[:, None])
    costs_NS = symbol_nats(log_probs(View(x_NT, mask)), patch_targets(x_NT, starts))
    # the last byte of a window ends its patch, as from left to right
    paid = patch_weights(rule, PatchesHidden(starts, None)).bool() & (mask.patch_BS == number_N[:, None])
    return torch.where(paid, costs_NS, 0.0).sum(-1)


def counted_by(objective: PatchwiseConfig, rule: Patching, counts: PatchCounts | None, length: int) -> Tensor | None:
    """[length] log-probabilities of how many patches a window has; None where that is known, or not needed.

    Raises UserError where the text decides it and there is no code.
    """
    if not isinstance(objective, PatchMaskedConfig) or not content_dependent(rule) or length == 1:
        return None
    return code_of(counts, "codec").log_probs(length)
