"""Likelihoods of networks that say whole patches: exact from left to right, a bound where any may be hidden."""

import numpy as np
import torch
from torch import Tensor

from isobyte.backbone.mask import PatchesHidden
from isobyte.likelihood.passes import Settings, among, exactly, half_nats, rows_at_once, strata, symbol_nats
from isobyte.likelihood.patch_counts import code_of
from isobyte.objective.base import LogProbs, View
from isobyte.objective.patchwise import Grouping, content_dependent, patch_targets, patch_weights
from isobyte.random import generator


def left_to_right_nats(log_probs: LogProbs, x_WT: Tensor, settings: Settings) -> Tensor:
    """[W] nats: the bytes and ends of all patches, each given those before it."""
    grouping = _grouping(settings)
    return hidden_patches_nats(log_probs, grouping, x_WT, PatchesHidden(grouping.starts(x_WT), None))


def patch_nats(log_probs: LogProbs, x_WT: Tensor, settings: Settings, first: int) -> Tensor:
    """[W, 2] nats: -log p(M) + E_{k ~ U{1..M}} (M/k) E_{k of the M patches} sum of -log p(patch | the patches shown).

    The count form of masked diffusion (`likelihood.count_stratified`) with patches for symbols. A patch is its bytes
    and its end, so that its length is paid for, and nothing shows the length of a hidden one.
    """
    grouping = _grouping(settings)
    starts = grouping.starts(x_WT)
    numbers = starts.sum(1).tolist()
    length = x_WT.shape[1]
    drawn = [_masks(number, length, settings, first + w) for w, number in enumerate(numbers)]
    starts_W1 = starts[:, None, None].expand(-1, 2, settings.passes // 2, -1).flatten(0, 2)
    at = 0

    def cost(x_NT: Tensor, hidden_NT: Tensor, weight_N: Tensor) -> Tensor:
        nonlocal at
        starts_NT = starts_W1[at : at + len(x_NT)]
        at += len(x_NT)
        mask = PatchesHidden(starts_NT, hidden_NT[:, : int(starts_NT.sum(1).max())])
        return hidden_patches_nats(log_probs, grouping, x_NT, mask) * weight_N

    nats_W2 = half_nats(x_WT, drawn, cost, rows_at_once(length, settings.vocab)).mean(-1)
    return nats_W2 + count_nats(settings, starts)[:, None]


def count_nats(settings: Settings, starts: Tensor) -> Tensor:
    """[W] nats of how many patches there are. Raises UserError where the text decides it and there is no code."""
    if not content_dependent(_grouping(settings).rule):
        return torch.zeros(len(starts), dtype=torch.float64, device=starts.device)
    return code_of(settings.counts, "estimator").nats(starts)


def hidden_patches_nats(log_probs: LogProbs, grouping: Grouping, x_NT: Tensor, mask: PatchesHidden) -> Tensor:
    """[N] float64 nats of the hidden patches of each row, or from left to right of all."""
    log_NSV = log_probs(View(x_NT, mask))
    costs_NS = symbol_nats(log_NSV, patch_targets(x_NT, mask.starts))
    return torch.where(patch_weights(grouping.rule, mask).bool(), costs_NS, 0.0).sum(-1)


def _grouping(settings: Settings) -> Grouping:
    assert settings.grouping is not None, "a network of patches says how windows fall into them"
    return settings.grouping


def _masks(number: int, length: int, settings: Settings, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Hidden patches [2, passes / 2, T] of a window with `number` of them, and weights M / k [2, passes / 2]."""
    draw = generator(settings.seed, "patches", window)
    counts = among(strata(draw, settings.passes), number)
    return exactly(draw, counts, length, number), number / counts
