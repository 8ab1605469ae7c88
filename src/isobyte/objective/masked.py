"""Absorbing masked diffusion (MDLM, arXiv 2406.07524; MD4, arXiv 2406.04329).

SUBS by construction: the mask has no column in the head, and visible symbols carry no cost.
"""

import numpy as np
import torch
from torch import Tensor

from isobyte.backbone.mask import BIDIRECTIONAL
from isobyte.config.objective import MaskedConfig, Schedule
from isobyte.objective.base import Question, View
from isobyte.objective.draw import Draw
from isobyte.objective.schedule import mask_probability, weight


def masked_view(x_BT: Tensor, masked_BT: Tensor, vocab: int, time_B: Tensor | None = None) -> View:
    """Everything but the masked symbols, which show id `vocab` in their place."""
    return View(torch.where(masked_BT, vocab, x_BT), BIDIRECTIONAL, time_B=time_B)


def rates(schedule: Schedule, draw: Draw, clip: tuple[float, float] = (0.0, 1.0)) -> tuple[Tensor, Tensor]:
    """[rows] mask probabilities of these rows and the weights of their costs, t stratified over the global batch."""
    low, high = clip
    t_B = torch.from_numpy(low + (high - low) * draw.times()).float()
    return mask_probability(schedule, t_B), weight(schedule, t_B)


def masked_question(config: MaskedConfig, x_BT: Tensor, vocab: int, draw: Draw) -> Question:
    """Each symbol is masked with its row's p(t), and asked for at the weight of t."""
    p_B, weight_B = rates(config.schedule, draw, config.clip)
    if config.weighting == "uniform":
        weight_B = torch.ones_like(weight_B)
    masked_BT = torch.from_numpy(draw.uniform("mask", x_BT.shape[1])) < p_B[:, None]
    device = x_BT.device
    weights_BT = (masked_BT * weight_B[:, None]).to(device)
    time_B = p_B.to(device) if config.time_conditioning else None
    return Question(masked_view(x_BT, masked_BT.to(device), vocab, time_B), x_BT, weights_BT)


def ranks_of(keys_BT: np.ndarray) -> np.ndarray:
    """The place of each entry among its row's, ascending: random keys make random permutations."""
    return keys_BT.argsort(-1).argsort(-1)
