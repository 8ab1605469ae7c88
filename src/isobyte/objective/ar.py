"""Autoregression."""

import torch
from torch import Tensor

from isobyte.backbone.mask import CAUSAL
from isobyte.objective.base import Network, Question, View


def ar_view(x_BT: Tensor, vocab: int) -> View:
    """BOS (id `vocab`) and the window but its last symbol; every cell is asked for the symbol after it."""
    bos = torch.full_like(x_BT[:, :1], vocab)
    return View(torch.cat((bos, x_BT[:, :-1]), 1), CAUSAL)


def ar_question(x_BT: Tensor, network: Network) -> Question:
    """Every symbol from those before it, at weight one."""
    view = ar_view(x_BT, network.vocab)
    return Question(View(view.inputs, network.left_to_right(view.inputs)), x_BT)
