"""Training views: one function from (objective, batch, counter) to what the network is shown."""

from torch import Tensor

from isobyte.config.objective import ArConfig, Objective
from isobyte.objective.ar import ar_view
from isobyte.objective.base import View
from isobyte.objective.masked import noised_view
from isobyte.random import generator


def window_length(objective: Objective, window: int, *, seed: int, step: int) -> int:
    """Symbols of this step's windows: `window`, or a uniform random length on the objective's share of the steps."""
    if isinstance(objective, ArConfig) or not objective.random_length:
        return window
    draw = generator(seed, "length", step)
    return int(draw.integers(1, window + 1)) if draw.random() < objective.random_length else window


def training_view(
    objective: Objective, x_BT: Tensor, vocab: int, *, seed: int, step: int, rows: slice, batch: int
) -> View:
    """The view of rows `rows` of step `step`'s global batch of `batch` windows."""
    if isinstance(objective, ArConfig):
        return ar_view(x_BT, vocab)
    return noised_view(objective, x_BT, vocab, seed=seed, step=step, rows=rows, batch=batch)
