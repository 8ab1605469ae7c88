"""Windows revealed step by step: the one path that codecs, exact likelihoods of an order, and samplers share.

A walk yields which cells come next and what the network thinks of them, and is told what they are. It sees nothing
else, so a decoder that is told what it just decoded walks exactly as the encoder did. Many windows of one length
walk side by side; every call of the network has shapes that depend on their number and length alone.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from isobyte.backbone.layers import Positions
from isobyte.backbone.mask import BIDIRECTIONAL, CAUSAL, Ranked
from isobyte.config import objective as kinds
from isobyte.objective.any_order import nearby
from isobyte.objective.base import LogProbs, Network, View, network_log_probs, normalised
from isobyte.objective.order import Order

Choose = Callable[[Tensor, Tensor], Tensor]
"""Log-probabilities [W, T, V] and hidden cells [W, T] -> the hidden cells [W, T] to reveal next."""


@dataclass(frozen=True)
class Reveal:
    """Log-probabilities [N, V] of what is at `places` of `rows` [N], row by row."""

    rows: Tensor
    places: Tensor
    log_NV: Tensor


Walk = Generator[Reveal, Tensor, Tensor]
"""Is sent the symbols [N] of each Reveal; returns the windows [W, T], whole."""


def drive(walk: Walk, symbols_of: Callable[[Reveal], Tensor]) -> Tensor:
    """Walk to the end, by the symbols that `symbols_of` names; the windows [W, T]."""
    try:
        reveal = next(walk)
        while True:
            reveal = walk.send(symbols_of(reveal))
    except StopIteration as end:
        return end.value


def symbol_walk(objective: kinds.Objective, network: Network, x_WT: Tensor, order: Order) -> Walk:
    """The walk of `objective` over windows x [W, T], symbol by symbol; id `vocab` stands where one is hidden.

    `order` decides for `masked`, `span` and `digits`, and inside each block of `block`. `ar` goes from left to right,
    `any_order` and `eso` in random orders, which `order` seeds.
    """
    match objective:
        case kinds.CausalConfig():
            return ar_walk(network, x_WT)
        case kinds.AnyOrderConfig():
            return any_order_walk(network, x_WT, nearby(order.permutation(x_WT.shape[1]), objective.within))
        case kinds.BlockConfig():
            return block_walk(network, x_WT, objective.block, order.choose)
        case kinds.MaskedConfig() | kinds.SpanConfig():
            told = objective.time_conditioning
            if order.blind:
                return blind_walk(network, x_WT, order, told_rate=told)
            return masked_walk(network_log_probs(network), x_WT, network.vocab, order.choose, told_rate=told)
        case kinds.EsoConfig():
            from isobyte.objective.walk_eso import eso_walk

            return eso_walk(objective, network, x_WT, order)
        case kinds.DigitsConfig():
            from isobyte.objective.walk_digits import symbol_by_symbol

            return symbol_by_symbol(network, x_WT, order.choose)
        case kinds.PatchwiseConfig():
            raise ValueError("patches are not revealed symbol by symbol: see objective.walk_patches")


def masked_walk(log_probs: LogProbs, x_WT: Tensor, vocab: int, choose: Choose, *, told_rate: bool = False) -> Walk:
    """A full pass over the windows at every step."""
    x_WT = x_WT.clone()
    while (hidden_WT := x_WT == vocab).any():
        rate_W = hidden_WT.float().mean(1) if told_rate else None
        log_WTV = log_probs(View(x_WT, BIDIRECTIONAL, time_B=rate_W))
        yield from reveal(x_WT, choose(log_WTV, hidden_WT), log_WTV)
    return x_WT


def blind_walk(network: Network, x_WT: Tensor, order: Order, *, told_rate: bool = False) -> Walk:
    """As `masked_walk`, where it is known beforehand which cells come next: the head sees no others."""
    x_WT, vocab = x_WT.clone(), network.vocab
    while (hidden_WT := x_WT == vocab).any():
        rate_W = hidden_WT.float().mean(1) if told_rate else None
        rows, places = order.choose_blind(hidden_WT).nonzero(as_tuple=True)
        h_WTD = network(x_WT, BIDIRECTIONAL, time_B=rate_W)
        log_NV = normalised(network.logits(h_WTD[rows, places]))
        x_WT[rows, places] = (yield Reveal(rows, places, log_NV)).to(x_WT)
    return x_WT


def ar_walk(network: Network, x_WT: Tensor) -> Walk:
    """From left to right, one new cell a step; what all windows have given at their start is read in one pass."""
    x_WT, vocab = x_WT.clone(), network.vocab
    windows, length = x_WT.shape
    cache = network.new_cache(windows, length)
    start = int((x_WT < vocab).all(0).cumprod(0).sum())
    cells = torch.cat((torch.full_like(x_WT[:, :1], vocab), x_WT[:, :start]), 1)
    for place in range(start, length):
        at = torch.arange(place + 1 - cells.shape[1], place + 1, device=x_WT.device)
        h_WSD = network(cells, CAUSAL, positions=Positions(at, at), cache=cache, keep=cells.shape[1])
        at = at[-1:].expand(windows, 1)
        yield from reveal_at(x_WT, at, normalised(network.logits(h_WSD[:, -1:])), vocab)
        cells = x_WT[:, place : place + 1]
    return x_WT


def any_order_walk(network: Network, x_WT: Tensor, order_T: Tensor) -> Walk:
    """In one order for all windows, but that each first reads what it has given; one new cell a step."""
    x_WT, vocab = x_WT.clone(), network.vocab
    windows, length = x_WT.shape
    cache = network.new_cache(windows, length)
    order_WT = given_first(x_WT == vocab, order_T)
    cell, held = torch.full_like(x_WT[:, :1], vocab), torch.full_like(x_WT[:, :1], -1)
    for step in range(length):
        asked = order_WT[:, step : step + 1]
        h_WSD = network(cell, CAUSAL, positions=Positions(asked, held), cache=cache, keep=1)
        yield from reveal_at(x_WT, asked, normalised(network.logits(h_WSD)), vocab)
        cell, held = x_WT.gather(1, asked), asked
    return x_WT


def ranked_walk(network: Network, x_WT: Tensor, order_WT: Tensor, sizes: list[int]) -> Walk:
    """In an order of each window's own, `sizes` at a time, blind to each other: what was revealed last stays in the
    cache, and the next cells, hidden, ask. Exact for block size 1 and for the cached Eso-LM."""
    x_WT, vocab = x_WT.clone(), network.vocab
    windows, length = x_WT.shape
    cache = network.new_cache(windows, length + max(sizes, default=0))
    last = order_WT[:, :0]
    for asked in order_WT.split(sizes, 1):
        places = torch.cat((last, asked), 1)
        cells = torch.cat((x_WT.gather(1, last), torch.full_like(asked, vocab)), 1)
        mask = clean_then_asking(last.shape[1], asked.shape[1], str(x_WT.device))
        at = Positions(places, places)
        h_WSD = network(cells, mask, positions=at, cache=cache, keep=last.shape[1])[:, last.shape[1] :]
        yield from reveal_at(x_WT, asked, normalised(network.logits(h_WSD)), vocab)
        last = asked
    return x_WT


def block_walk(network: Network, x_WT: Tensor, block: int, choose: Choose) -> Walk:
    """Block after block, each by `choose`; finished ones stay in the cache, read once more in clear."""
    x_WT, vocab = x_WT.clone(), network.vocab
    windows, length = x_WT.shape
    cache = network.new_cache(windows, length)
    for start in range(0, length, block):
        cells = x_WT[:, start : start + block]
        at = torch.arange(start, start + cells.shape[1], device=x_WT.device)
        places = Positions(at, at)
        while (hidden := cells == vocab).any():
            log_WBV = normalised(network.logits(network(cells, BIDIRECTIONAL, positions=places, cache=cache)))
            yield from reveal(cells, choose(log_WBV, hidden), log_WBV, start)
        if start + block < length:
            network(cells, BIDIRECTIONAL, positions=places, cache=cache, keep=cells.shape[1])
    return x_WT


@lru_cache(maxsize=64)
def clean_then_asking(clean: int, asking: int, device: str) -> Ranked:
    """`clean` cells, each of which sees those before it, and `asking` ones that see them all, and not each other."""
    with torch.inference_mode(False):
        cells = torch.arange(clean + asking, device=device)[None]
        return Ranked(cells, cells >= clean)


def given_first(hidden_WT: Tensor, order_T: Tensor) -> Tensor:
    """[W, T] positions: the given ones, then the hidden ones, each in the order given."""
    return order_T.to(hidden_WT.device)[hidden_WT[:, order_T].int().argsort(stable=True, dim=-1)]


def reveal(x_WT: Tensor, chosen_WT: Tensor, log_WTV: Tensor, start: int = 0) -> Generator[Reveal, Tensor, None]:
    """Ask for the chosen cells and write what they are into `x_WT`, whose first cell is at place `start`."""
    rows, places = chosen_WT.nonzero(as_tuple=True)
    if len(rows):
        x_WT[rows, places] = (yield Reveal(rows, places + start, log_WTV[rows, places])).to(x_WT)


def reveal_at(x_WT: Tensor, places_WK: Tensor, log_WKV: Tensor, vocab: int) -> Generator[Reveal, Tensor, None]:
    """Ask for those cells at `places_WK` that are hidden, and write what they are into `x_WT`."""
    rows, index = (x_WT.gather(1, places_WK) == vocab).nonzero(as_tuple=True)
    if len(rows):
        places = places_WK[rows, index]
        x_WT[rows, places] = (yield Reveal(rows, places, log_WKV[rows, index])).to(x_WT)
