"""Walks over digits (MDM-Prime, arXiv 2505.18495): whole symbols, or digit by digit."""

import torch
from torch import Tensor

from isobyte.backbone.mask import BIDIRECTIONAL
from isobyte.config.objective import digit_shape
from isobyte.objective.base import LogProbs, Network, View, answer
from isobyte.objective.digits import as_symbols, contradicted, digit_marginals
from isobyte.objective.walk import Choose, Walk, masked_walk, reveal


def consistent_log_probs(network: Network) -> LogProbs:
    """In float64, with no probability on symbols that contradict a visible digit, as a walk must have it."""
    codes_VL = network.codes
    assert codes_VL is not None

    def log_probs(view: View) -> Tensor:
        ruled_out = contradicted(view.inputs, codes_VL)
        return answer(network, view).double().masked_fill(ruled_out, -torch.inf).log_softmax(-1)

    return log_probs


def symbol_by_symbol(network: Network, x_WT: Tensor, choose: Choose) -> Walk:
    """All digits of a symbol at once, by the head's joint probability."""
    assert network.codes is not None
    log_probs = as_symbols(consistent_log_probs(network), network.codes)
    return masked_walk(log_probs, x_WT, network.vocab, choose)


def digit_by_digit(log_probs: LogProbs, codes_VL: Tensor, x_WT: Tensor, choose: Choose) -> Walk:
    """Digits by their marginals; `choose` sees [W, T * digits, base], and symbols sent are digits.

    Two digits of one symbol depend on each other, so a step reveals one of each at most. `log_probs` must rule out
    contradicted symbols, or the digits may end up as no symbol at all.
    """
    vocab, digits = codes_VL.shape
    base = digit_shape(vocab, digits)[1]
    hidden_WTL = (x_WT == vocab)[..., None].expand(-1, -1, digits)
    d_WTL = torch.where(hidden_WTL, base, codes_VL[x_WT.clamp(max=vocab - 1)])
    d_WN = d_WTL.flatten(1)
    while (hidden_WN := d_WN == base).any():
        log_WTV = log_probs(View(d_WN.view(d_WTL.shape), BIDIRECTIONAL))
        log_WNb = digit_marginals(log_WTV.double(), codes_VL).flatten(1, 2)
        chosen_WTL = choose(log_WNb, hidden_WN).view(d_WTL.shape)
        first_WTL = chosen_WTL & (chosen_WTL.cumsum(-1) == 1)
        yield from reveal(d_WN, first_WTL.flatten(1), log_WNb)
    return symbols_of(d_WN.view(d_WTL.shape), codes_VL)


def symbols_of(digits_WTL: Tensor, codes_VL: Tensor) -> Tensor:
    """[W, T] symbols of whole codes."""
    vocab, digits = codes_VL.shape
    base = digit_shape(vocab, digits)[1]
    worth = base ** torch.arange(digits - 1, -1, -1, device=codes_VL.device)
    symbol_of = torch.full((base**digits,), vocab, device=codes_VL.device)
    symbol_of[(codes_VL * worth).sum(-1)] = torch.arange(vocab, device=codes_VL.device)
    return symbol_of[(digits_WTL * worth).sum(-1)]
