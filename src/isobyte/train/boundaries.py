"""The code for the boundaries of spans that the text decides, fitted to the training text."""

import numpy as np
import torch

from isobyte.config.objective import SpanConfig
from isobyte.config.run import RunConfig
from isobyte.data.prepared import Prepared
from isobyte.likelihood.boundaries import BoundaryCoder
from isobyte.objective.permutation import TRAINING, reading_of
from isobyte.objective.span import span_starts

FIT_SYMBOLS = 4_000_000


def fit_boundaries(config: RunConfig, prepared: Prepared) -> BoundaryCoder | None:
    """From the first megabytes of the training text, in windows; None where boundaries need no paying."""
    objective, window = config.objective, config.train.window
    if not isinstance(objective, SpanConfig) or not objective.spans.content_dependent:
        return None
    symbols = prepared.stream("train").read(0, FIT_SYMBOLS).astype(np.int64)
    windows = symbols[: len(symbols) // window * window].reshape(-1, window)
    reading = reading_of(config)
    if reading is not None:
        windows = reading.read(torch.from_numpy(windows), TRAINING, np.arange(len(windows))).numpy()
    return BoundaryCoder.fit(span_starts(objective.spans, windows, np.zeros(windows.shape)))
