"""Small nets and sources that the laws are checked on."""

import math

import torch
from torch import Tensor

from isobyte.backbone.flat import FlatModel
from isobyte.config.backbone import FlatConfig
from isobyte.config.objective import Objective
from isobyte.likelihood.estimator import Settings, build_estimator
from isobyte.likelihood.evaluate import Windows, evaluate
from isobyte.likelihood.value import Likelihood
from isobyte.objective.base import LogProbs

SHAPE = FlatConfig(layers=2, width=16, heads=2)


def random_net(vocab: int, seed: int = 0, *, shape: FlatConfig = SHAPE, time_conditioning: bool = False) -> FlatModel:
    """A float64 net of confident random opinions, so that no law holds by being close to uniform."""
    model = FlatModel(shape, vocab, time_conditioning=time_conditioning).double()
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
) -> Likelihood:
    """The likelihood of `windows` by one of the objective's estimators, its own unless named."""
    return evaluate(log_probs, build_estimator(objective, Settings(passes, seed, vocab), estimator), windows)
