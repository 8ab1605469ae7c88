"""The masked-diffusion bound in time: continuous, or in a number of reveal steps; both on the linear schedule."""

from torch import Tensor

from isobyte.likelihood.passes import Settings, among, half_nats, hidden_nats, rows_at_once, strata
from isobyte.objective.base import LogProbs
from isobyte.objective.masked import masked_view
from isobyte.random import generator


def t_stratified_nats(log_probs: LogProbs, x_WT: Tensor, settings: Settings, first: int, *, told_rate: bool) -> Tensor:
    """[W, 2] nats: E_{t ~ U(0, 1]} (1/t) E[sum of masked -log p], a coin of t per symbol (MDLM, 2406.07524).

    Nothing is cut off near zero. The same bound as `count-stratified`, with more noise: a lone masked symbol at a
    small t weighs 1/t, so the variance is infinite, if only by a logarithm, and the standard error a hint.
    """
    return _timed(log_probs, x_WT, settings, first, None, told_rate=told_rate)


def t_steps_nats(log_probs: LogProbs, x_WT: Tensor, settings: Settings, first: int, *, told_rate: bool) -> Tensor:
    """[W, 2] nats: the bound of `settings.steps` equal steps, sum_k (1/k) E[cost at t = k / steps] (MD4, 2406.04329).

    Valid for any number of steps: one is the fully factorised model, many approach the continuous-time bound.
    """
    return _timed(log_probs, x_WT, settings, first, settings.steps, told_rate=told_rate)


def _timed(
    log_probs: LogProbs, x_WT: Tensor, settings: Settings, first: int, steps: int | None, *, told_rate: bool
) -> Tensor:
    length = x_WT.shape[1]
    drawn = []
    for window in range(first, first + len(x_WT)):
        draw = generator(settings.seed, "times", window)
        uniform = strata(draw, settings.passes)
        p = 1 - uniform if steps is None else among(uniform, steps) / steps
        drawn.append((draw.random((*p.shape, length)) < p[..., None], p))

    def cost(x_NT: Tensor, masked_NT: Tensor, p_N: Tensor) -> Tensor:
        time_N = p_N.float() if told_rate else None
        log_NTV = log_probs(masked_view(x_NT, masked_NT, settings.vocab, time_N))
        return hidden_nats(log_NTV, x_NT, masked_NT) / p_N

    return half_nats(x_WT, drawn, cost, rows_at_once(length, settings.vocab)).mean(-1)
