"""Masked diffusion of digits (MDM-Prime, arXiv 2505.18495; Prime-v2, arXiv 2603.16077), scored by true bounds.

The head predicts whole symbols, jointly in their digits. A bound scores each digit at the event that reveals it, by
its marginal (or a whole symbol, where all of it is revealed at once); the published loss charges a whole symbol's
cost at the rate of one digit, and is a surrogate.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from isobyte.backbone.mask import BIDIRECTIONAL
from isobyte.config.objective import DigitsConfig, Objective, digit_shape
from isobyte.objective.base import LogProbs, Network, Question, View, answer, network_log_probs, normalised
from isobyte.objective.draw import Draw
from isobyte.objective.masked import rates


def digit_view(x_BT: Tensor, masked_BTL: Tensor, codes_VL: Tensor) -> View:
    """The digits of each symbol, `base` in place of the masked ones."""
    base = digit_shape(*codes_VL.shape)[1]
    return View(torch.where(masked_BTL, base, codes_VL[x_BT]), BIDIRECTIONAL)


def one_hot_codes(codes_VL: Tensor, dtype: torch.dtype) -> Tensor:
    """[V, L * base]."""
    base = digit_shape(*codes_VL.shape)[1]
    return F.one_hot(codes_VL.long(), base).flatten(1).to(dtype)


def contradicted(inputs_BTL: Tensor, codes_VL: Tensor) -> Tensor:
    """[B, T, V] bool: the symbols that disagree with a visible digit, by one product with the code table."""
    base = digit_shape(*codes_VL.shape)[1]
    visible = inputs_BTL < base
    shown = (F.one_hot(inputs_BTL.clamp(max=base - 1).long(), base) * visible[..., None]).flatten(-2)
    agree = shown.float() @ one_hot_codes(codes_VL, torch.float32).T
    return agree < visible.sum(-1, keepdim=True)


def objective_log_probs(objective: Objective, network: Network) -> LogProbs:
    """The log-probabilities that `objective` scores and samples by: `digits` may rule out contradicted symbols."""
    if not isinstance(objective, DigitsConfig) or not objective.consistent:
        return network_log_probs(network)
    codes_VL = network.codes
    assert codes_VL is not None

    def log_probs(view: View) -> Tensor:
        return normalised(answer(network, view).masked_fill(contradicted(view.inputs, codes_VL), float("-inf")))

    return log_probs


def as_symbols(log_probs: LogProbs, codes_VL: Tensor) -> LogProbs:
    """A network of digits, shown whole symbols: all digits of a symbol hidden (id `vocab`) or none."""
    vocab, digits = codes_VL.shape

    def asked(view: View) -> Tensor:
        assert view.mask == BIDIRECTIONAL
        masked_BTL = (view.inputs == vocab)[..., None].expand(-1, -1, digits)
        return log_probs(digit_view(view.inputs.clamp(max=vocab - 1), masked_BTL, codes_VL))

    return asked


def digit_marginals(log_BTV: Tensor, codes_VL: Tensor) -> Tensor:
    """[B, T, L, base] log-probabilities of each digit, by one product with the code table."""
    base = digit_shape(*codes_VL.shape)[1]
    mass = log_BTV.exp() @ one_hot_codes(codes_VL, log_BTV.dtype)
    return mass.clamp_min(torch.finfo(mass.dtype).tiny).log().unflatten(-1, (codes_VL.shape[1], base))


@dataclass(frozen=True)
class DigitQuestion(Question):
    """`weights_BT` [B, T] weigh whole symbols; `digit_weights` [B, T, L], where given, their digits' marginals."""

    codes_VL: Tensor | None = None
    digit_weights: Tensor | None = None
    consistent: bool = True

    def cost(self, logits_BTV: Tensor) -> Tensor:
        assert self.codes_VL is not None
        logits = logits_BTV.float()
        if self.consistent:
            logits = logits.masked_fill(contradicted(self.view.inputs, self.codes_VL), float("-inf"))
        if self.digit_weights is None:
            return super().cost(logits)
        marginals = digit_marginals(logits.log_softmax(-1), self.codes_VL)
        nats = -marginals.gather(-1, self.codes_VL[self.targets_BT].long()[..., None]).squeeze(-1)
        return (nats * self.digit_weights).sum()


def digits_question(config: DigitsConfig, x_BT: Tensor, codes_VL: Tensor, draw: Draw) -> DigitQuestion:
    """By `config.loss`: a coin per digit, or one per symbol, at its row's p(t), each asked for at the weight of t."""
    p_B, weight_B = rates(config.schedule, draw)
    device, (length, digits) = x_BT.device, (x_BT.shape[1], codes_VL.shape[1])
    coins = torch.from_numpy(draw.uniform("mask", length, digits))
    whole = torch.full_like(p_B, config.loss == "symbol", dtype=torch.bool)
    if config.chunk is not None:
        whole = torch.from_numpy(draw.times()) > config.chunk
    coins = torch.where(whole[:, None, None], coins[..., :1], coins)
    masked_BTL = coins < p_B[:, None, None]
    view = digit_view(x_BT, masked_BTL.to(device), codes_VL)
    weights_BT = digit_weights = None
    if config.loss == "marginal":
        digit_weights = (masked_BTL * weight_B[:, None, None]).to(device)
    elif config.loss == "symbol":
        weights_BT = (masked_BTL[..., 0] * weight_B[:, None]).to(device)
    else:
        weights_BT = weight_B[:, None].expand(-1, length).to(device)
    return DigitQuestion(
        view, x_BT, weights_BT, codes_VL=codes_VL, digit_weights=digit_weights, consistent=config.consistent
    )
