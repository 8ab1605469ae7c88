"""The bound of masked diffusion in spans: the count form with spans for symbols."""

import numpy as np
import torch
from torch import Tensor

from isobyte.config.spans import Spans
from isobyte.errors import UserError
from isobyte.likelihood.passes import Settings, among, exactly, half_nats, hidden_nats, rows_at_once, strata
from isobyte.objective.base import LogProbs
from isobyte.objective.masked import masked_view
from isobyte.objective.span import span_starts
from isobyte.random import generator


def span_nats(log_probs: LogProbs, x_WT: Tensor, spans: Spans, settings: Settings, first: int) -> Tensor:
    """[W, 2] nats: E E_{k ~ U{1..K}} (K/k) E_{k of the K spans} sum of masked -log p, over segmentations into K spans.

    A bound where the segmentation does not depend on the text; where it does, only a score (see `paid_nats`).
    """
    length = x_WT.shape[1]
    windows = x_WT.cpu().numpy()
    drawn = [span_masks(spans, x_T, settings.passes, settings.seed, first + w) for w, x_T in enumerate(windows)]

    def cost(x_NT: Tensor, masked_NT: Tensor, weight_N: Tensor) -> Tensor:
        log_NTV = log_probs(masked_view(x_NT, masked_NT, settings.vocab))
        return hidden_nats(log_NTV, x_NT, masked_NT) * weight_N

    return half_nats(x_WT, drawn, cost, rows_at_once(length, settings.vocab)).mean(-1)


def paid_nats(log_probs: LogProbs, x_WT: Tensor, spans: Spans, settings: Settings, first: int) -> Tensor:
    """[W, 2] nats: the boundaries that the text decides, then the text given them. Raises UserError without a code."""
    if settings.boundaries is None:
        raise UserError(
            "spans that the text decides cost their boundaries, and there is no code for those",
            where="estimator",
            how="give one fitted to the training text, or take estimator 'count-stratified'",
        )
    windows = x_WT.cpu().numpy()
    starts = span_starts(spans, windows, np.zeros(windows.shape))
    cost = torch.from_numpy(settings.boundaries.nats(starts)).to(x_WT.device)
    return cost[:, None] + span_nats(log_probs, x_WT, spans, settings, first)


def span_masks(spans: Spans, x_T: np.ndarray, passes: int, seed: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks [2, passes / 2, T] and weights K / k [2, passes / 2] of one window, a segmentation for each pass."""
    draw, shape = generator(seed, "span", window), (2, passes // 2, len(x_T))
    uniform = draw.random(shape).reshape(-1, len(x_T))
    if spans.content_dependent:
        starts = span_starts(spans, x_T[None], uniform[:1])
    else:
        starts = span_starts(spans, np.broadcast_to(x_T, uniform.shape), uniform)
    index = (np.broadcast_to(starts, uniform.shape).cumsum(-1) - 1).reshape(shape)
    number = index[..., -1] + 1
    counts = among(strata(draw, passes), number)
    chosen = exactly(draw, counts, len(x_T), number)
    return np.take_along_axis(chosen, index, axis=-1), number / counts
