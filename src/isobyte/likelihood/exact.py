"""The exact likelihood of an autoregressive model."""

from torch import Tensor

from isobyte.likelihood.passes import symbol_nats
from isobyte.objective.ar import ar_view
from isobyte.objective.base import LogProbs


def ar_nats(log_probs: LogProbs, x_WT: Tensor, vocab: int) -> Tensor:
    """[W] nats of each window: the sum of -log p(x_i | BOS, x_<i)."""
    return symbol_nats(log_probs(ar_view(x_WT, vocab)), x_WT).sum(-1)
