"""The exact likelihood of an autoregressive model."""

from torch import Tensor

from isobyte.objective.ar import ar_view
from isobyte.objective.base import LogProbs


def ar_nats(log_probs: LogProbs, x_WT: Tensor, vocab: int) -> Tensor:
    """[W] nats of each window: the sum of -log p(x_i | BOS, x_<i)."""
    log_WTV = log_probs(ar_view(x_WT, vocab))
    return -log_WTV.gather(-1, x_WT[..., None]).squeeze(-1).double().sum(-1)
