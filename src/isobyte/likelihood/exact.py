"""The exact likelihood of an autoregressive model."""

from collections.abc import Callable

from torch import Tensor

from isobyte.backbone.mask import MaskSpec
from isobyte.objective.ar import ar_view

LogProbs = Callable[[Tensor, MaskSpec, "Tensor | None"], Tensor]
"""inputs [B, T], mask spec, time [B] or None -> natural log-probabilities [B, T, vocab]."""


def ar_nats(log_probs: LogProbs, x_WT: Tensor, vocab: int) -> Tensor:
    """[W] nats of each window: the sum of -log p(x_i | BOS, x_<i)."""
    view = ar_view(x_WT, vocab)
    log_WTV = log_probs(view.inputs_BT, view.mask, None)
    return -log_WTV.gather(-1, x_WT[..., None]).squeeze(-1).double().sum(-1)
