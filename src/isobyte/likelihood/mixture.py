"""Likelihoods of single orders, one reveal after the other, and of mixtures of orders: tighter bounds of one model.

A model of random orders draws an order o, blind to the text, and reveals symbol by symbol (`span`: span by span):
p(x) = E_o p(x | o). Its bound is E_o -log p(x | o). That of K independent orders,

    B_K = E -log mean_{k <= K} p(x | o_k),

is a bound of -log p(x) at every K, by Jensen's inequality, and falls in K from the bound, B_1, towards -log p(x)
itself (importance weighting, arXiv 1509.00519, theorem 1). Where blocks follow each other, each in an order of its own
that the next ones do not see, p(x) is a product over blocks, and so is the mixture, block by block.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isobyte.config import objective as kinds
from isobyte.errors import UserError
from isobyte.likelihood.passes import rows_at_once
from isobyte.objective.any_order import nearby, order_view
from isobyte.objective.base import LogProbs, Network, View, normalised
from isobyte.objective.block import block_view
from isobyte.objective.eso import sequential_view
from isobyte.objective.masked import masked_view, ranks_of
from isobyte.objective.span import span_starts
from isobyte.random import generator

Ask = Callable[[View, Tensor], Tensor]
"""(view, cells [N, T] bool) -> log-probabilities [M, V] that the M marked cells give, row by row."""

SHUFFLES = 8
"""Ways in which one set of orders is split into subsets: all unbiased, and together less noisy."""


class Draws(NamedTuple):
    """Orders of K windows of T: the step at which each symbol is revealed, [K, T], and how many symbols are left to
    the last pass of Eso-LM, [K] (0 elsewhere)."""

    rank_NT: Tensor
    left_N: Tensor


def ask_network(network: Network) -> Ask:
    """A network whose head sees no cells but those."""

    def ask(view: View, cells_NT: Tensor) -> Tensor:
        h_NSD = network(view.inputs, view.mask, positions=view.positions, time_B=view.time_B)
        return normalised(network.logits(h_NSD[:, : cells_NT.shape[1]][cells_NT]))

    return ask


def ask_log_probs(log_probs: LogProbs) -> Ask:
    return lambda view, cells_NT: log_probs(view)[:, : cells_NT.shape[1]][cells_NT]


def draw_orders(objective: kinds.Objective, length: int, orders: int, random: np.random.Generator) -> Draws:
    """`orders` independent orders of a window. Raises UserError for an objective without orders blind to the text."""
    keys = random.random((orders, length))
    left = np.zeros(orders, np.int64)
    match objective:
        case kinds.MaskedConfig():
            rank = ranks_of(keys)
        case kinds.AnyOrderConfig():
            rank = nearby(torch.from_numpy(keys.argsort(-1)), objective.within).numpy().argsort(-1)
        case kinds.BlockConfig():
            first = np.arange(length) // objective.block
            rank = ranks_of(first + keys) - first * objective.block
        case kinds.SpanConfig() if not objective.spans.content_dependent:
            starts = span_starts(objective.spans, np.zeros(keys.shape, np.int64), random.random(keys.shape))
            index = starts.cumsum(-1) - 1
            there = np.arange(length) <= index[:, -1:]
            rank = np.take_along_axis(ranks_of(np.where(there, keys, 2.0)), index, 1)
        case kinds.EsoConfig():
            left = random.binomial(length, 1 - objective.alpha0, orders)
            rank = _then_left_to_right(ranks_of(keys), left)
        case _:
            raise UserError(
                "reveals in no order that is drawn blind to the text, symbol by symbol",
                where=f"objective {objective.kind!r}",
                how="take a run of masked, block, any_order, eso, or span of fixed or geometric length",
            )
    return Draws(torch.from_numpy(rank), torch.from_numpy(left))


def _then_left_to_right(rank: NDArray[np.int64], left: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same ranks, but that the `left` last ones go from left to right."""
    length = rank.shape[1]
    return ranks_of(np.where(rank < length - left[:, None], rank, length + np.arange(length)))


def chain_nats(ask: Ask, objective: kinds.Objective, x_NT: Tensor, draws: Draws, vocab: int) -> Tensor:
    """[N, T] float64 nats of each symbol at its reveal, given those revealed before it; row n in the order of draw n.

    T passes (`block`: one for each symbol of a block; `span`: for each span), `any_order` and cached Eso-LM 1.
    """
    rank_NT, left_N = draws

    def nats(view: View, cells_NT: Tensor) -> Tensor:
        log_MV = ask(view, cells_NT)
        found = torch.zeros(x_NT.shape, dtype=torch.float64, device=x_NT.device)
        found[cells_NT] = -log_MV.gather(-1, x_NT[cells_NT][:, None]).squeeze(-1).double()
        return found

    def steps(view_of: Callable[[Tensor], View], cells_NT: Tensor) -> Tensor:
        total = torch.zeros(x_NT.shape, dtype=torch.float64, device=x_NT.device)
        for step in range(int(rank_NT.max()) + 1):
            now_NT = cells_NT & (rank_NT == step)
            if now_NT.any():
                total += nats(view_of(rank_NT >= step), now_NT)
        return total

    every = torch.ones_like(x_NT, dtype=torch.bool)
    match objective:
        case kinds.AnyOrderConfig():
            order_NT = rank_NT.argsort(-1)
            log_MV = ask(order_view(x_NT, order_NT, vocab), every)
            nats_NT = -log_MV.gather(-1, x_NT.gather(1, order_NT).view(-1, 1)).view(x_NT.shape).double()
            return nats_NT.gather(1, rank_NT)
        case kinds.BlockConfig():
            return steps(lambda hidden_NT: block_view(x_NT, hidden_NT, objective.block, vocab), every)
        case kinds.EsoConfig():
            last_NT = rank_NT >= x_NT.shape[1] - left_N[:, None]
            view = sequential_view(x_NT, last_NT, rank_NT.double() / x_NT.shape[1], vocab, cached=objective.cached)
            if objective.cached:  # what is visible asks too, as it was asked when it was hidden
                return nats(view, every)
            return steps(lambda hidden_NT: masked_view(x_NT, hidden_NT, vocab), ~last_NT) + nats(view, last_NT)
    told = objective.time_conditioning

    def masked(hidden_NT: Tensor) -> View:
        return masked_view(x_NT, hidden_NT, vocab, hidden_NT.float().mean(1) if told else None)

    return steps(masked, every)


def order_costs(
    ask: Ask, objective: kinds.Objective, x_WT: Tensor, orders: int, *, seed: int, first: int, vocab: int
) -> Tensor:
    """[W, U, K] float64 nats of each window in K = `orders` random orders of its own, in the U parts whose mixtures
    multiply: its blocks, or all of it. `first` is the number of the first window."""
    windows, length = x_WT.shape
    drawn = [draw_orders(objective, length, orders, generator(seed, "mixture", first + w)) for w in range(windows)]
    draws = Draws(*(torch.cat(field).to(x_WT.device) for field in zip(*drawn, strict=True)))
    x_NT, rows = x_WT.repeat_interleave(orders, 0), rows_at_once(length, vocab)
    parts = zip(x_NT.split(rows), draws.rank_NT.split(rows), draws.left_N.split(rows), strict=True)
    nats_NT = torch.cat([chain_nats(ask, objective, x, Draws(rank, left), vocab) for x, rank, left in parts])
    return by_part(objective, nats_NT).view(windows, orders, -1).transpose(1, 2)


def by_part(objective: kinds.Objective, nats_NT: Tensor) -> Tensor:
    """[N, U]."""
    size = objective.block if isinstance(objective, kinds.BlockConfig) else nats_NT.shape[1]
    return torch.stack([part.sum(1) for part in nats_NT.split(size, 1)], 1)


def mixture_nats(nats_WUK: NDArray[np.float64], orders: int, seed: int = 0) -> NDArray[np.float64]:
    """[W] nats: B_`orders` of each window, estimated without bias from its K orders: the mean over disjoint subsets.

    Subsets of twice the size are unions of these where sizes are powers of two, so that the estimates fall too.
    Raises ValueError for more orders than there are.
    """
    many = nats_WUK.shape[-1]
    if not 1 <= orders <= many:
        raise ValueError(f"a mixture of {orders} of {many} orders")
    found = np.zeros(len(nats_WUK))
    for shuffle in range(SHUFFLES):
        chosen = generator(seed, "subsets", shuffle).permutation(many)[: many // orders * orders]
        subsets = nats_WUK[..., chosen].reshape(*nats_WUK.shape[:2], -1, orders)
        mixed = math.log(orders) - np.logaddexp.reduce(-subsets, axis=-1)
        found += mixed.mean(-1).sum(-1) / SHUFFLES
    return found
