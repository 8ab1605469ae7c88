"""Can a network of whole patches see what it is asked? Change a hidden patch, and see which predictions move."""

import torch
from torch import Tensor

from isobyte.backbone.mask import PatchesHidden
from isobyte.config.objective import PatchArConfig, PatchMaskedConfig
from isobyte.objective.base import LogProbs, Network, View
from isobyte.objective.draw import Draw
from isobyte.objective.patchwise import Grouping
from isobyte.objective.training import training_questions

_OTHERS = b"et .,\n0"
"""Bytes that stand for others, where the patches stay as they were."""


def patch_leak(
    log_probs: LogProbs,
    objective: PatchArConfig | PatchMaskedConfig,
    network: Network,
    grouping: Grouping,
    x_BT: Tensor,
    *,
    seed: int = 0,
) -> tuple[float, int]:
    """The most that a probability moves that may not, and how many changes were tried.

    Asks what training asks. A changed byte of a hidden patch may move what is said of the bytes after it in its own
    patch; and from left to right of later patches, but no more. Where patches hide, nor may one byte more of a hidden
    patch move anything: how long it is has to stay hidden too. 0, but for rounding, where nothing leaks.
    """
    batch, length = x_BT.shape
    worst, tried = 0.0, 0
    for step in range(2):
        question = training_questions(objective, x_BT, network, Draw(seed, step, slice(0, batch), batch))[0]
        mask, weights = question.view.mask, question.weights_BT
        assert isinstance(mask, PatchesHidden)
        assert weights is not None
        before = log_probs(question.view).exp()
        for place in range(length):
            still = weights.bool() & ~_may_move(mask, place) & _hidden(mask, place)[:, None]
            for byte in _OTHERS:
                changed = x_BT.clone()
                changed[:, place] = byte
                alike = (grouping.starts(changed) == mask.starts).all(1) & (x_BT[:, place] != byte)
                rows = alike & still.any(1)
                if rows.any():
                    moved = (log_probs(View(changed, mask)).exp() - before).abs().amax(-1)
                    worst = max(worst, float(moved[still & rows[:, None]].max()))
                    tried += int(rows.sum())
            if mask.hidden_BM is not None and still.any():
                moved = (_longer(log_probs, x_BT, mask, place) - before).abs().amax(-1)
                worst = max(worst, float(moved[weights.bool() & _hidden(mask, place)[:, None]].max()))
                tried += int(_hidden(mask, place).sum())
    return worst, tried


def _hidden(mask: PatchesHidden, place: int) -> Tensor:
    """[B] bool: is the patch of the byte at `place` hidden, as from left to right all are?"""
    patch_B = mask.patch_BT[:, place]
    return (
        torch.ones_like(patch_B).bool() if mask.hidden_BM is None else mask.hidden_BM.gather(1, patch_B[:, None])[:, 0]
    )


def _may_move(mask: PatchesHidden, place: int) -> Tensor:
    """[B, T + M] bool: the cells that are asked for what comes after the byte at `place`, as far as it may be seen."""
    patch_BS, length = mask.patch_BS, mask.starts.shape[1]
    own_B1 = mask.patch_BT[:, place : place + 1]
    cell_S = torch.arange(patch_BS.shape[1], device=patch_BS.device)
    later = (patch_BS == own_B1) & (cell_S >= place) & (cell_S < length)
    return later | (patch_BS > own_B1) if mask.hidden_BM is None else later


def _longer(log_probs: LogProbs, x_BT: Tensor, mask: PatchesHidden, place: int) -> Tensor:
    """[B, T + M, V] probabilities of the same cells where the patch of the byte at `place` ends one byte later."""
    length = x_BT.shape[1]
    own = mask.patch_BT == mask.patch_BT[:, place : place + 1]
    place_T = torch.arange(length, device=x_BT.device)
    end_B1 = torch.where(own, place_T, -1).amax(1, keepdim=True)
    moved_BT = place_T + (place_T > end_B1)
    x_BU = torch.zeros(len(x_BT), length + 1, dtype=x_BT.dtype, device=x_BT.device).scatter(1, moved_BT, x_BT)
    starts = torch.zeros_like(x_BU, dtype=torch.bool).scatter(1, moved_BT, mask.starts)
    probs = log_probs(View(x_BU, PatchesHidden(starts, mask.hidden_BM))).exp()
    at_BT = moved_BT[..., None].expand(-1, -1, probs.shape[-1])
    return torch.cat((probs.gather(1, at_BT), probs[:, length + 1 :]), 1)
