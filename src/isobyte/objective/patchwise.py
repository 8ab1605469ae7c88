"""Whole patches, hidden and revealed as one (objectives `patch_masked` and `patch_ar`).

An event reveals a patch, bytes and end together, and costs what the decoder says of them once: a joint reveal that is
scored jointly. Which patch is revealed when does not depend on what it holds, since a patch is known by its number.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from isobyte.backbone.blt.patchwise import END, PatchwiseNetwork
from isobyte.backbone.mask import PatchesHidden
from isobyte.config.objective import PatchMaskedConfig, PatchwiseConfig
from isobyte.config.patching import BytePatching, Patching, StaticPatching
from isobyte.objective.base import Network, Question, View
from isobyte.objective.draw import Draw
from isobyte.objective.masked import rates


@dataclass(frozen=True)
class Grouping:
    """How windows of bytes fall into patches."""

    rule: Patching
    starts: Callable[[Tensor], Tensor]
    """Windows [B, T] -> bool [B, T]: where patches open, each row by itself."""


def grouping_of(network: object) -> Grouping | None:
    """A network's own, if it has one."""
    return Grouping(network.patcher.config, network.grouping) if isinstance(network, PatchwiseNetwork) else None


def patch_targets(x_BT: Tensor, starts: Tensor) -> Tensor:
    """[B, T + M]: after each byte the next one of its patch or the end, then the first byte of each patch (padded)."""
    ends = torch.cat((starts[:, 1:], torch.ones_like(starts[:, :1])), 1)
    after = torch.where(ends, END, x_BT.roll(-1, 1))
    count = int(starts.sum(1).max())
    places = torch.arange(x_BT.shape[1], device=x_BT.device).expand_as(x_BT)
    order = torch.where(starts, places, x_BT.shape[1]).sort(1).values[:, :count]
    return torch.cat((after, x_BT.gather(1, order.clamp(max=x_BT.shape[1] - 1))), 1)


def certain(patching: Patching, mask: PatchesHidden) -> Tensor:
    """[B, T] bool: is it known before the text whether the patch ends after this byte, so that saying so costs nothing?

    Rules that do not look at the text say it of every byte, a longest length of the bytes that reach it, and the order
    from left to right of the last byte of the window.
    """
    if not content_dependent(patching):
        return torch.ones_like(mask.starts)
    known = torch.zeros_like(mask.starts) if patching.max_length is None else mask.place_BT == patching.max_length - 1
    if mask.hidden_BM is None:
        known[:, -1] = True
    return known


def content_dependent(patching: Patching) -> bool:
    """Whether the text has a say in where patches open."""
    return not isinstance(patching, StaticPatching | BytePatching)


def patch_question(config: PatchwiseConfig, x_BT: Tensor, network: Network, draw: Draw) -> Question:
    """`patch_masked`: each patch is hidden with its row's p(t), and asked for at the weight of t; `patch_ar`: all."""
    grouping = grouping_of(network)
    assert grouping is not None
    starts = grouping.starts(x_BT)
    if not isinstance(config, PatchMaskedConfig):
        mask = PatchesHidden(starts, None)
        return Question(View(x_BT, mask), patch_targets(x_BT, starts), patch_weights(grouping.rule, mask))
    p_B, weight_B = rates(config.schedule, draw)
    hidden = torch.from_numpy(draw.uniform("mask", x_BT.shape[1])) < p_B[:, None]
    mask = PatchesHidden(starts, hidden[:, : int(starts.sum(1).max())].to(x_BT.device))
    weights = patch_weights(grouping.rule, mask) * weight_B[:, None].to(x_BT.device)
    return Question(View(x_BT, mask), patch_targets(x_BT, starts), weights)


def patch_weights(patching: Patching, mask: PatchesHidden) -> Tensor:
    """[B, T + M] 1 for the cells that a mask asks for, those of hidden patches (from left to right: of all), else 0."""
    there = mask.patch_BS < mask.count_B[:, None]
    wanted = there if mask.hidden_BM is None else there & mask.hidden_BM.gather(1, mask.patch_BS)
    length = mask.starts.shape[1]
    ends = torch.cat((mask.starts[:, 1:], torch.ones_like(mask.starts[:, :1])), 1)
    free = ends & certain(patching, mask)
    return torch.cat((wanted[:, :length] & ~free, wanted[:, length:]), 1).float()
