"""Autoregression."""

import torch
from torch import Tensor

from isobyte.backbone.mask import CAUSAL, Patched
from isobyte.objective.base import Network, Question, View


def ar_view(x_BT: Tensor, vocab: int) -> View:
    """BOS (id `vocab`) and the window but its last symbol; every cell is asked for the symbol after it."""
    bos = torch.full_like(x_BT[:, :1], vocab)
    return View(torch.cat((bos, x_BT[:, :-1]), 1), CAUSAL)


def ar_question(x_BT: Tensor, network: Network) -> Question:
    """Every symbol from those before it, at weight one."""
    view = ar_view(x_BT, network.vocab)
    return Question(View(view.inputs, network.left_to_right(view.inputs)), x_BT)


def padded_question(x_BT: Tensor, length_B: Tensor, starts: Tensor, vocab: int) -> Question:
    """As `ar_question`, of rows whose patches [B, T + 1] are known; what comes after a row's length weighs nothing."""
    own_BT = torch.arange(x_BT.shape[1], device=x_BT.device) < length_B[:, None]
    return Question(View(ar_view(x_BT, vocab).inputs, Patched(starts)), x_BT, own_BT.float())
