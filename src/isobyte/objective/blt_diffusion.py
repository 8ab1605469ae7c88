"""Autoregression with masked diffusion of the blocks that begin with patches (BLT-D, arXiv 2605.08044)."""

import torch
from torch import Tensor

from isobyte.backbone.mask import PatchBlocks, Patched
from isobyte.config.objective import BltDiffusionConfig
from isobyte.objective.base import Question, View
from isobyte.objective.draw import Draw


def blt_diffusion_question(config: BltDiffusionConfig, ar: Question, draw: Draw) -> Question:
    """The autoregressive question `ar`, and one block per patch but the first, some of its cells hidden.

    A cell stands for the byte at its own place. Each row has one t, each cell is hidden with that probability, and a
    hidden one weighs lambda / t. Cells that lie beyond the row are always hidden and weigh nothing.
    """
    assert isinstance(ar.view.mask, Patched)
    blocks = PatchBlocks.of(ar.view.mask.starts, config.block)
    t_B, hidden_BC = _hidden(config, blocks, draw)
    return _question(ar, blocks, hidden_BC, config.lambda_mask / t_B)


def block_targets(x_BT: Tensor, blocks: PatchBlocks) -> tuple[Tensor, Tensor]:
    """The symbols [B, C] that the cells of blocks stand for, and whether there are such: place p holds symbol p - 1."""
    places_BC = blocks.places_BC
    real_BC = (blocks.begins_BJ.repeat_interleave(blocks.size, 1) >= 0) & (places_BC <= x_BT.shape[1])
    return x_BT.gather(1, (places_BC - 1).clamp(0, x_BT.shape[1] - 1)), real_BC


def _hidden(config: BltDiffusionConfig, blocks: PatchBlocks, draw: Draw) -> tuple[Tensor, Tensor]:
    """t [B] and what is hidden [B, C]."""
    device = blocks.begins_BJ.device
    t_B = config.t_min + (1 - config.t_min) * torch.from_numpy(draw.times()).float()
    coins_BJK = torch.from_numpy(draw.uniform_along("mask", blocks.begins_BJ.shape[1], blocks.size))
    return t_B.to(device), (coins_BJK.flatten(1) < t_B[:, None]).to(device)


def _question(ar: Question, blocks: PatchBlocks, hidden_BC: Tensor, weight_B: Tensor) -> Question:
    assert isinstance(ar.view.mask, Patched)
    x_BT = ar.targets_BT
    cells_BC, real_BC = block_targets(x_BT, blocks)
    own_BT = torch.ones_like(x_BT, dtype=torch.float32) if ar.weights_BT is None else ar.weights_BT
    if ar.weights_BT is not None:  # what is padding there is beyond the row
        real_BC = real_BC & (own_BT.gather(1, (blocks.places_BC - 1).clamp(0, x_BT.shape[1] - 1)) > 0)
    inputs = torch.cat((ar.view.inputs, torch.where(hidden_BC | ~real_BC, 256, cells_BC)), 1)
    return Question(
        View(inputs, Patched(ar.view.mask.starts, blocks)),
        torch.cat((x_BT, cells_BC), 1),
        torch.cat((own_BT, (hidden_BC & real_BC) * weight_B[:, None]), 1),
        scored=x_BT.shape[1],
    )
