"""Categorical draws in float64: fp32 loses the tail of a large alphabet, which acts like a lower temperature
(arXiv 2409.02908)."""

import torch
from torch import Tensor

_IMPOSSIBLE = -700.0
"""Log-probabilities from here down are zeros that were kept finite; no temperature may raise them."""

_ROUNDING = 1e-12


def adjusted(log_NV: Tensor, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
    """[N, V] float64 log-probabilities at `temperature`, cut to the smallest set of mass `top_p`, renormalised.

    Temperature 0 leaves the likeliest symbol alone, the first of those that tie.
    """
    log_NV = log_NV.double()
    if temperature == 0:
        best = torch.zeros_like(log_NV, dtype=torch.bool).scatter(-1, log_NV.argmax(-1, keepdim=True), True)
        return torch.zeros_like(log_NV).masked_fill(~best, -torch.inf)
    log_NV = (log_NV.masked_fill(log_NV < _IMPOSSIBLE, -torch.inf) / temperature).log_softmax(-1)
    if top_p < 1:
        ordered, symbols = log_NV.sort(dim=-1, descending=True, stable=True)
        mass = ordered.exp()
        before = mass.cumsum(-1) - mass
        before[..., 0] = 0.0
        kept = torch.zeros_like(log_NV, dtype=torch.bool).scatter(-1, symbols, before < top_p - _ROUNDING)
        log_NV = log_NV.masked_fill(~kept, -torch.inf).log_softmax(-1)
    return log_NV


def draw(log_NV: Tensor, uniform_N: Tensor) -> Tensor:
    """[N] symbols, by where the uniform numbers fall in the cumulative distribution."""
    mass = log_NV.double().exp().cumsum(-1)
    all_N1 = mass[:, -1:]
    below_N1 = torch.minimum(uniform_N[:, None] * all_N1, all_N1.nextafter(torch.zeros_like(all_N1)))
    return torch.searchsorted(mass, below_N1, right=True).squeeze(-1)
