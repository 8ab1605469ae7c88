"""Likelihood bounds of masked diffusion in digits, and the published number, which is none.

Each event is scored by what it reveals: a digit alone by its marginal, a whole symbol by its probability, the digits
revealed in one step by their joint one. The published form (MDM-Prime, arXiv 2505.18495; Prime-v2, 2603.16077)
charges a whole symbol at the rate of a single digit and falls below the entropy.
"""

import torch
from torch import Tensor

from isobyte.likelihood.passes import (
    Settings,
    among,
    exactly,
    half_nats,
    hidden_nats,
    rows_at_once,
    strata,
    symbol_nats,
)
from isobyte.objective.base import LogProbs
from isobyte.objective.digits import contradicted, digit_marginals, digit_view
from isobyte.random import generator


def digit_marginal_nats(log_probs: LogProbs, x_WT: Tensor, settings: Settings, first: int) -> Tensor:
    """[W, 2] nats: E_{k ~ U{1..n}} (n/k) E sum over the k masked of a window's n digits of -log of their marginals."""
    codes_VL = _codes(settings)

    def cost(log_NTV: Tensor, x_NT: Tensor, masked_NTL: Tensor) -> Tensor:
        marginals = digit_marginals(log_NTV, codes_VL)
        nats_NTL = -marginals.gather(-1, codes_VL[x_NT].long()[..., None]).squeeze(-1)
        return torch.where(masked_NTL, nats_NTL, 0.0).sum((-1, -2))

    return _by_digit_counts(log_probs, x_WT, settings, first, cost)


def joint_ce_nats(log_probs: LogProbs, x_WT: Tensor, settings: Settings, first: int) -> Tensor:
    """[W, 2] "nats": E_{k ~ U{1..n}} (n/k) E sum over all symbols of -log p(x_i | the visible digits). A surrogate.

    The published number with its t in (0, 1] integrated out; the term of no masked digit at all, which is zero
    where contradicted symbols are ruled out and infinite otherwise, is left out.
    """

    def cost(log_NTV: Tensor, x_NT: Tensor, _masked_NTL: Tensor) -> Tensor:
        return symbol_nats(log_NTV, x_NT).sum(-1)

    return _by_digit_counts(log_probs, x_WT, settings, first, cost)


def _by_digit_counts(log_probs: LogProbs, x_WT: Tensor, settings: Settings, first: int, cost) -> Tensor:
    codes_VL = _codes(settings)
    length, digits = x_WT.shape[1], codes_VL.shape[1]
    drawn = []
    for window in range(first, first + len(x_WT)):
        draw = generator(settings.seed, "digits", window)
        counts = among(strata(draw, settings.passes), length * digits)
        masked = exactly(draw, counts, length * digits).reshape(*counts.shape, length, digits)
        drawn.append((masked, counts))

    def weighted(x_NT: Tensor, masked_NTL: Tensor, counts_N: Tensor) -> Tensor:
        log_NTV = log_probs(digit_view(x_NT, masked_NTL, codes_VL)).double()
        return cost(log_NTV, x_NT, masked_NTL) * length * digits / counts_N

    return half_nats(x_WT, drawn, weighted, rows_at_once(length, settings.vocab)).mean(-1)


def symbol_mask_nats(log_probs: LogProbs, x_WT: Tensor, settings: Settings, first: int) -> Tensor:
    """[W, 2] nats: the ordinary masked bound of the same network, all digits of a symbol hidden or none."""
    codes_VL, length = _codes(settings), x_WT.shape[1]
    drawn = []
    for window in range(first, first + len(x_WT)):
        draw = generator(settings.seed, "symbols", window)
        counts = among(strata(draw, settings.passes), length)
        drawn.append((exactly(draw, counts, length), counts))

    def cost(x_NT: Tensor, masked_NT: Tensor, counts_N: Tensor) -> Tensor:
        whole_NTL = masked_NT[..., None].expand(-1, -1, codes_VL.shape[1])
        return hidden_nats(log_probs(digit_view(x_NT, whole_NTL, codes_VL)), x_NT, masked_NT) * length / counts_N

    return half_nats(x_WT, drawn, cost, rows_at_once(length, settings.vocab)).mean(-1)


def digit_step_nats(log_probs: LogProbs, x_WT: Tensor, settings: Settings, first: int) -> Tensor:
    """[W, 2] nats: the bound of a sampler of `settings.steps` steps, which draws whole symbols and shows some digits.

    At step k a masked digit is revealed with probability 1 / k, and the digits of a symbol that are revealed at once
    cost their joint probability. Valid for any number of steps.
    """
    codes_VL, steps = _codes(settings), settings.steps
    length, digits = x_WT.shape[1], codes_VL.shape[1]
    drawn = []
    for window in range(first, first + len(x_WT)):
        draw = generator(settings.seed, "digit-steps", window)
        k = among(strata(draw, settings.passes), steps)[..., None, None]
        masked = draw.random((*k.shape[:2], length, digits)) < k / steps
        drawn.append((masked, masked & (draw.random(masked.shape) < 1 / k)))

    def cost(x_NT: Tensor, masked_NTL: Tensor, revealed_NTL: Tensor) -> Tensor:
        log_NTV = log_probs(digit_view(x_NT, masked_NTL, codes_VL)).double()
        return revealed_nats(log_NTV, x_NT, revealed_NTL, codes_VL).sum(-1) * steps

    return half_nats(x_WT, drawn, cost, rows_at_once(length, settings.vocab)).mean(-1)


def revealed_nats(log_BTV: Tensor, x_BT: Tensor, revealed_BTL: Tensor, codes_VL: Tensor) -> Tensor:
    """[B, T] nats of the revealed digits of each symbol, jointly; 0 where none is."""
    shown = digit_view(x_BT, ~revealed_BTL, codes_VL).inputs
    nats = -log_BTV.masked_fill(contradicted(shown, codes_VL), float("-inf")).logsumexp(-1)
    return torch.where(revealed_BTL.any(-1), nats, 0.0)


def _codes(settings: Settings) -> Tensor:
    assert settings.codes is not None, "an objective of digits needs its code table"
    return settings.codes
