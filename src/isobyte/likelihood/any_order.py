"""Likelihoods of a network that is causal in any order (sigma-GPT, arXiv 2404.09562): a pass scores one order."""

import math

from torch import Tensor

from isobyte.config.objective import AnyOrderConfig
from isobyte.likelihood.passes import Settings, half_nats, rows_at_once, symbol_nats
from isobyte.objective.any_order import nearby, order_question
from isobyte.objective.base import LogProbs
from isobyte.random import generator


def order_nats(log_probs: LogProbs, x_WT: Tensor, order_WT: Tensor, vocab: int) -> Tensor:
    """[W] nats of each window in the order given: exact for that order."""
    question = order_question(x_WT, order_WT, vocab)
    return symbol_nats(log_probs(question.view), question.targets_BT).sum(-1)


def mean_order_nats(
    log_probs: LogProbs, x_WT: Tensor, objective: AnyOrderConfig, settings: Settings, first: int
) -> Tensor:
    """[W, 2] nats: the mean over random orders, a bound of the mixture of all orders."""
    return _orders(log_probs, x_WT, objective, settings, first).mean(-1)


def k_order_nats(
    log_probs: LogProbs, x_WT: Tensor, objective: AnyOrderConfig, settings: Settings, first: int
) -> Tensor:
    """[W, 2] nats: -log mean_k exp(-nats of order k) over each half's K = passes / 2 orders.

    A bound of the mixture of all orders by Jensen's inequality, tighter in expectation with every order more.
    """
    nats_WHP = _orders(log_probs, x_WT, objective, settings, first)
    return math.log(nats_WHP.shape[-1]) - (-nats_WHP).logsumexp(-1)


def _orders(log_probs: LogProbs, x_WT: Tensor, objective: AnyOrderConfig, settings: Settings, first: int) -> Tensor:
    shape = (2, settings.passes // 2, x_WT.shape[1])
    drawn = [(generator(settings.seed, "orders", first + w).random(shape).argsort(-1),) for w in range(len(x_WT))]

    def cost(x_NT: Tensor, order_NT: Tensor) -> Tensor:
        return order_nats(log_probs, x_NT, nearby(order_NT, objective.within), settings.vocab)

    return half_nats(x_WT, drawn, cost, rows_at_once(x_WT.shape[1], settings.vocab))
