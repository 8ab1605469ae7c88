"""Small nets and sources that the laws are checked on."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from isobyte.backbone.flat import FlatModel
from isobyte.config.backbone import FlatConfig
from isobyte.config.objective import (
    AnyOrderConfig,
    ArConfig,
    BlockConfig,
    DigitsConfig,
    EsoConfig,
    MaskedConfig,
    Objective,
    SpanConfig,
)
from isobyte.config.spans import FixedSpans, GeometricSpans
from isobyte.likelihood import exhaustive
from isobyte.likelihood.enumeration import count_costs, enumerated_bound, step_bound
from isobyte.likelihood.estimator import Settings, build_estimator
from isobyte.likelihood.evaluate import Windows, evaluate
from isobyte.likelihood.value import Likelihood
from isobyte.objective.base import LogProbs, View
from isobyte.objective.network import build_network
from isobyte.representation.digits import code_table

SHAPE = FlatConfig(layers=2, width=16, heads=2)


def random_net(
    vocab: int,
    seed: int = 0,
    *,
    shape: FlatConfig = SHAPE,
    time_conditioning: bool = False,
    objective: Objective | None = None,
) -> FlatModel:
    """A float64 net of confident random opinions, so that no law holds by being close to uniform."""
    if objective is None:
        model = FlatModel(shape, vocab, time_conditioning=time_conditioning).double()
    else:
        model = build_network(shape, objective, vocab).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                scale = 1.5 / math.sqrt(weight.shape[1])
                weight.copy_(torch.randn(weight.shape, generator=generator, dtype=weight.dtype) * scale)
    return model


def random_table(vocab: int, length: int, seed: int = 0, *, holes: float = 0.0) -> Tensor:
    """A distribution over vocab^length sequences, a share `holes` of them impossible."""
    generator = torch.Generator().manual_seed(seed)
    mass = torch.rand([vocab] * length, generator=generator, dtype=torch.float64).pow(3)
    mass *= torch.rand(mass.shape, generator=generator) >= holes
    return mass / mass.sum()


def entropy(table: Tensor) -> float:
    """Nats."""
    return -float(torch.special.xlogy(table, table).sum())


def binary_entropy(p: float) -> float:
    """Nats."""
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def measure(
    log_probs: LogProbs,
    objective: Objective,
    windows: Windows,
    vocab: int,
    *,
    passes: int,
    seed: int,
    estimator: str | None = None,
    **settings: Any,
) -> Likelihood:
    """The likelihood of `windows` by one of the objective's estimators, its own unless named."""
    told = Settings(passes, seed, vocab, **settings)
    return evaluate(log_probs, build_estimator(objective, told, estimator), windows)


def codes_of(vocab: int, objective: DigitsConfig) -> Tensor:
    """The code table of a digits objective [V, digits]."""
    return torch.from_numpy(code_table(vocab, objective.digits, shuffle=objective.shuffle, seed=objective.shuffle_seed))


def told_steps(log_probs: LogProbs, x_BT: Tensor, vocab: int, steps: int) -> Tensor:
    """[B] nats: the bound of `steps` reveal steps of a network that is told the rate of each."""
    total, length = torch.zeros(len(x_BT), dtype=torch.float64), x_BT.shape[1]
    for k in range(1, steps + 1):

        def at_this_rate(view: View, p: float = k / steps) -> Tensor:
            return log_probs(replace(view, time_B=torch.full((len(view.inputs),), p)))

        weights = torch.from_numpy(binom.pmf(np.arange(length + 1), length, k / steps))
        total += count_costs(at_this_rate, x_BT, vocab) @ weights / k
    return total


CACHED = {True: "cached", False: "uncached"}

EXACT_FORMS: dict[str, tuple[Objective, str]] = {
    "ar": (ArConfig(), "exact"),
    "masked": (MaskedConfig(), "count-stratified"),
    "masked left to right": (MaskedConfig(), "duel:left_to_right"),
    "masked confidence": (MaskedConfig(), "duel:confidence"),
    "masked margin": (MaskedConfig(), "duel:margin"),
    "masked entropy": (MaskedConfig(), "duel:entropy"),
    **{f"block {size}": (BlockConfig(block=size), "exact" if size == 1 else "block") for size in (1, 2, 3, 4, 6)},
    "any order": (AnyOrderConfig(), "order"),
    **{
        f"eso {alpha0} {name}": (EsoConfig(alpha0=alpha0, cached=cached), "exact" if alpha0 == 0 else "eso")
        for alpha0 in (0.0, 0.3, 0.8, 1.0)
        for cached, name in CACHED.items()
    },
    "span of one": (SpanConfig(spans=FixedSpans(length=1)), "span"),
}
"""Ways to a likelihood that reveal one symbol at a time: under exact posteriors they cost the entropy, on average."""

LOOSE_FORMS: dict[str, tuple[Objective, str]] = {
    "span fixed": (SpanConfig(spans=FixedSpans(length=2)), "span"),
    "span geometric": (SpanConfig(spans=GeometricSpans(mean=2)), "span"),
    "steps": (MaskedConfig(), "t-steps"),
}
"""Those that reveal several at once, each blind to the others."""

FORMS = EXACT_FORMS | LOOSE_FORMS


def truth(
    form: tuple[Objective, str], log_probs: LogProbs, x_BT: Tensor, vocab: int, *, steps: int = 3, per_step: int = 1
) -> Tensor:
    """[B] nats that the estimator estimates, with nothing left to chance."""
    objective, name = form
    settings = Settings(2, 0, vocab, steps=steps, per_step=per_step)
    match objective:
        case MaskedConfig() if name == "t-steps":
            if objective.time_conditioning:
                return told_steps(log_probs, x_BT, vocab, steps)
            return torch.from_numpy(step_bound(count_costs(log_probs, x_BT, vocab), steps))
        case MaskedConfig() if not name.startswith("duel"):
            return enumerated_bound(log_probs, x_BT, vocab, told_rate=objective.time_conditioning)
        case SpanConfig() if name == "count-stratified":
            return enumerated_bound(log_probs, x_BT, vocab)
        case SpanConfig() if not name.startswith("duel"):
            return exhaustive.span_bound(log_probs, x_BT, objective.spans, vocab)
        case BlockConfig() if objective.block > 1:
            return exhaustive.block_bound(log_probs, x_BT, objective.block, vocab)
        case AnyOrderConfig():
            return exhaustive.order_costs(log_probs, x_BT, vocab).mean(1)
        case EsoConfig() if objective.alpha0 > 0:
            return exhaustive.eso_bound(log_probs, x_BT, objective, vocab)
    return build_estimator(objective, settings, name).nats(log_probs, x_BT, 0)[:, 0]
