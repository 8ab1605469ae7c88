"""Small networks of confident random opinions, the laws of their walks by enumeration, and a chi-square test."""

import torch
from scipy.stats import chi2
from torch import Tensor

from isobyte.backbone.flat import FlatModel
from isobyte.config import objective as kinds
from isobyte.config.backbone import FlatConfig
from isobyte.decode.methods import Settings
from isobyte.decode.sample import sample
from isobyte.objective.network import build_network
from isobyte.objective.walk import Reveal, Walk, drive

VOCAB, LENGTH, DRAWS, FEWER = 2, 3, 100_000, 20_000


def net(objective: kinds.Objective, vocab: int = VOCAB, seed: int = 1) -> FlatModel:
    """Float64."""
    model = build_network(FlatConfig(layers=1, width=8, heads=2), objective, vocab).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
                weight.copy_(noise * 2.0 / weight.shape[-1] ** 0.5)
    return model


def hidden(windows: int, length: int = LENGTH, vocab: int = VOCAB) -> Tensor:
    return torch.full((windows, length), vocab)


def everything(vocab: int = VOCAB, length: int = LENGTH) -> Tensor:
    """[V ** T, T] all windows, in the order of `counts`."""
    return torch.cartesian_prod(*[torch.arange(vocab)] * length)


def drawn(
    objective: kinds.Objective, model: FlatModel, settings: Settings, vocab: int = VOCAB, draws: int = DRAWS
) -> Tensor:
    """[V ** T] how often each window came up."""
    return counts(sample(objective, model, hidden(draws, vocab=vocab), settings).x_WT, vocab)


def counts(x_WT: Tensor, vocab: int = VOCAB) -> Tensor:
    worth = vocab ** torch.arange(x_WT.shape[1] - 1, -1, -1)
    return torch.bincount((x_WT * worth).sum(-1), minlength=vocab ** x_WT.shape[1])


def assert_law(found: Tensor, law: Tensor) -> None:
    """Chi-square at 1 in 1,000, the seeds being fixed."""
    assert abs(float(law.sum()) - 1) < 1e-9
    expected = law * found.sum()
    assert expected.min() > 5
    statistic = float(((found - expected) ** 2 / expected).sum())
    assert statistic < chi2.ppf(0.999, len(law) - 1), (found / found.sum(), law)


def differs(found: Tensor, law: Tensor) -> bool:
    """Whether the same test tells these apart: what a test of laws must be able to do."""
    expected = law * found.sum()
    return float(((found - expected) ** 2 / expected).sum()) > chi2.ppf(0.999, len(law) - 1)


def walk_nats(walk: Walk, x_WT: Tensor) -> Tensor:
    """[W] the cost of x along a walk."""
    nats = torch.zeros(len(x_WT), dtype=torch.float64)

    def answer(reveal: Reveal) -> Tensor:
        symbols = x_WT[reveal.rows, reveal.places]
        nats.index_add_(0, reveal.rows, -reveal.log_NV[torch.arange(len(symbols)), symbols].double())
        return symbols

    drive(walk, answer)
    return nats


class Spy:
    """A network that counts rows of its calls, and lets itself be asked like one."""

    def __init__(self, model: FlatModel) -> None:
        self.model, self.vocab, self.codes, self.calls, self.rows = model, model.vocab, model.codes, 0, 0
        self.logits, self.new_cache = model.logits, model.new_cache

    def __call__(self, inputs: Tensor, *args: object, **named: object) -> Tensor:
        self.calls += 1
        self.rows += len(inputs)
        return self.model(inputs, *args, **named)  # type: ignore[arg-type]
