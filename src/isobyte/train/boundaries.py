"""The code for the boundaries of spans that the text decides, fitted to the training text."""

import numpy as np
import torch
from numpy.typing import NDArray

from isobyte.config.objective import PatchMaskedConfig, SpanConfig
from isobyte.config.run import RunConfig
from isobyte.data.prepared import Prepared
from isobyte.likelihood.boundaries import BoundaryCoder
from isobyte.likelihood.patch_counts import PatchCounts
from isobyte.objective.network import Model
from isobyte.objective.patchwise import content_dependent, grouping_of
from isobyte.objective.permutation import TRAINING, reading_of
from isobyte.objective.span import span_starts

FIT_SYMBOLS = 4_000_000


def fit_patch_counts(config: RunConfig, prepared: Prepared, model: Model) -> PatchCounts | None:
    """As `fit_boundaries`, of how many patches a window has; None where that needs no paying."""
    grouping = grouping_of(model)
    if not isinstance(config.objective, PatchMaskedConfig) or grouping is None or not content_dependent(grouping.rule):
        return None
    windows = torch.from_numpy(_windows(config, prepared))
    return PatchCounts.fit(torch.cat([grouping.starts(part.to(model.device)).cpu() for part in windows.split(1024)]))


def fit_boundaries(config: RunConfig, prepared: Prepared) -> BoundaryCoder | None:
    """From the first megabytes of the training text, in windows; None where boundaries need no paying."""
    objective = config.objective
    if not isinstance(objective, SpanConfig) or not objective.spans.content_dependent:
        return None
    windows = _windows(config, prepared)
    return BoundaryCoder.fit(span_starts(objective.spans, windows, np.zeros(windows.shape)))


def _windows(config: RunConfig, prepared: Prepared) -> NDArray[np.int64]:
    """The first megabytes of the training text as the network reads them."""
    window = config.train.window
    symbols = prepared.stream("train").read(0, FIT_SYMBOLS).astype(np.int64)
    windows = symbols[: len(symbols) // window * window].reshape(-1, window)
    reading = reading_of(config)
    if reading is not None:
        windows = reading.read(torch.from_numpy(windows), TRAINING, np.arange(len(windows))).numpy()
    return windows
