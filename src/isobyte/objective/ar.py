"""Autoregression."""

import torch
from torch import Tensor

from isobyte.backbone.mask import CAUSAL
from isobyte.objective.base import View


def ar_view(x_BT: Tensor, vocab: int) -> View:
    """Inputs are BOS (id `vocab`) and the window but its last symbol; every symbol is a target of weight one."""
    bos = torch.full_like(x_BT[:, :1], vocab)
    return View(torch.cat((bos, x_BT[:, :-1]), 1), x_BT, None, CAUSAL)
