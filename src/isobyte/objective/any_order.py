"""Autoregression in any order (sigma-GPT, arXiv 2404.09562): one pass scores every symbol of a window in one order."""

import torch
from torch import Tensor

from isobyte.backbone.layers import Positions
from isobyte.backbone.mask import CAUSAL
from isobyte.config.objective import AnyOrderConfig
from isobyte.objective.base import Question, View
from isobyte.objective.draw import Draw
from isobyte.objective.masked import ranks_of


def order_view(x_BT: Tensor, order_BT: Tensor, vocab: int) -> View:
    """BOS, then the symbols in the order given but for the last; each cell is asked for the next one in the order.

    A key turns by the position it holds (BOS: -1), a query by the one it asks about.
    """
    shuffled = x_BT.gather(1, order_BT)
    bos = torch.full_like(x_BT[:, :1], vocab)
    held = torch.cat((torch.full_like(bos, -1), order_BT[:, :-1]), 1)
    return View(torch.cat((bos, shuffled[:, :-1]), 1), CAUSAL, Positions(order_BT, held))


def order_question(x_BT: Tensor, order_BT: Tensor, vocab: int) -> Question:
    """Every symbol from those before it in the order, at weight one."""
    return Question(order_view(x_BT, order_BT, vocab), x_BT.gather(1, order_BT))


def any_order_question(config: AnyOrderConfig, x_BT: Tensor, vocab: int, draw: Draw) -> Question:
    """A random order for each row."""
    order_BT = torch.from_numpy(ranks_of(draw.uniform("order", x_BT.shape[1]))).to(x_BT.device)
    return order_question(x_BT, nearby(order_BT, config.within), vocab)


def nearby(order_BT: Tensor, within: int | None) -> Tensor:
    """The orders, stretch by stretch of `within` symbols: of all that agree in every stretch one."""
    if within is None:
        return order_BT
    return order_BT.gather(-1, (order_BT // within).argsort(dim=-1, stable=True))
