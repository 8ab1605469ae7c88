"""Absorbing masked diffusion (MDLM, arXiv 2406.07524; MD4, arXiv 2406.04329).

SUBS by construction: the mask has no column in the head, and visible symbols carry no cost.
"""

import numpy as np
import torch
from torch import Tensor

from isobyte.backbone.mask import BIDIRECTIONAL
from isobyte.config.objective import MaskedConfig
from isobyte.objective.base import View
from isobyte.objective.schedule import mask_probability, weight
from isobyte.random import generator


def masked_view(x_BT: Tensor, masked_BT: Tensor, vocab: int, weights_BT: Tensor, time_B: Tensor | None = None) -> View:
    """Show everything but the masked symbols (id `vocab` in their place), ask for those."""
    return View(torch.where(masked_BT, vocab, x_BT), x_BT, weights_BT, BIDIRECTIONAL, time_B)


def stratified_times(seed: int, step: int, batch: int) -> np.ndarray:
    """[batch] times in (0, 1], one per stratum of the global batch, by one shared shift (VDM, arXiv 2107.00630).

    Drawn whole on every rank and sliced, so that any number of ranks and micro-batches sees the same set.
    """
    shift = generator(seed, "time", step).random()
    return 1 - (shift + np.arange(batch) / batch) % 1


def noised_view(
    config: MaskedConfig, x_BT: Tensor, vocab: int, *, seed: int, step: int, rows: slice, batch: int
) -> View:
    """The training view of rows `rows` of step `step`'s global batch: each symbol masked with its row's p(t)."""
    t_B = torch.from_numpy(stratified_times(seed, step, batch)[rows]).float()
    p_B = mask_probability(config.schedule, t_B)
    length = x_BT.shape[1]
    noise = generator(seed, "mask", step).random((batch, length), dtype=np.float32)[rows]
    masked_BT = torch.from_numpy(noise) < p_B[:, None]
    weights_BT = masked_BT * weight(config.schedule, t_B)[:, None]
    device = x_BT.device
    time_B = p_B.to(device) if config.time_conditioning else None
    return masked_view(x_BT, masked_BT.to(device), vocab, weights_BT.to(device), time_B)
