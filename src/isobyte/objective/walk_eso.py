"""The walk of Eso-LM (arXiv 2506.01928): some symbols in a random order, then the others from left to right."""

import torch
from torch import Tensor

from isobyte.config.objective import EsoConfig
from isobyte.objective.base import Network, network_log_probs
from isobyte.objective.eso import diffusion_view, sequential_view
from isobyte.objective.order import Order
from isobyte.objective.walk import Walk, given_first, ranked_walk, reveal_at
from isobyte.random import generator


def eso_walk(config: EsoConfig, network: Network, x_WT: Tensor, order: Order) -> Walk:
    """The number left for the second phase is binomial, as in training, and drawn once for all windows.

    The first phase reveals `order.per_step` at a time, the second one by one.
    """
    length = x_WT.shape[1]
    last = int(generator(order.seed, "eso", length).binomial(length, 1 - config.alpha0))
    first = length - last
    shuffled = order.permutation(length)
    order_T = torch.cat((shuffled[:first], shuffled[first:].sort().values))
    sizes = [min(order.per_step, first - start) for start in range(0, first, order.per_step)] + [1] * last
    order_WT = given_first(x_WT == network.vocab, order_T)
    if config.cached:
        return ranked_walk(network, x_WT, order_WT, sizes)
    return _uncached(network, x_WT, order_WT, sizes, first)


def _uncached(network: Network, x_WT: Tensor, order_WT: Tensor, sizes: list[int], first: int) -> Walk:
    """A full pass a step; the second phase hides from what is visible which symbols are still to come."""
    x_WT, vocab, done = x_WT.clone(), network.vocab, 0
    log_probs = network_log_probs(network)
    place_of_WT = order_WT.argsort(-1)
    keys = torch.zeros(x_WT.shape, device=x_WT.device)
    for asked in order_WT.split(sizes, 1):
        if done < first:
            view = diffusion_view(x_WT, x_WT == vocab, keys, vocab, cached=False)
        else:
            view = sequential_view(x_WT, place_of_WT >= first, keys, vocab, cached=False)
        log_WTV = log_probs(view)
        log_WKV = log_WTV.gather(1, asked[..., None].expand(-1, -1, log_WTV.shape[-1]))
        yield from reveal_at(x_WT, asked, log_WKV, vocab)
        done += asked.shape[1]
    return x_WT
