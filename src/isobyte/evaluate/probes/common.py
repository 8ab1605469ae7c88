"""What probes share: settings, means with standard errors, and the text that a run was trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isobyte.config.run import RunConfig
from isobyte.data.heldout import piece_bytes, spread, training_sample
from isobyte.data.stream import Stream
from isobyte.errors import UserError
from isobyte.evaluate.loaded import LoadedRun
from isobyte.likelihood import ratio

TRAINING_BYTES = 1 << 20
"""Of the run's training text, for counts and merges."""


@dataclass(frozen=True)
class ProbeSettings:
    max_bytes: int | None = None
    """Look at as many windows as have room in so many bytes; each probe has its own number where left out."""
    seed: int = 0
    vocab: int = 512
    """Symbols of the BPE whose token starts are looked for, learned from the run's training text."""
    tokenizer: str | None = None
    """A `tokenizer.json` to take instead."""
    training: Stream | None = None
    """The run's training text where it lies prepared; read from its corpus again where left out."""

    def windows(self, default: int, window_bytes: int) -> int:
        """How many windows to look at: at least two, or there would be no standard error."""
        return default if self.max_bytes is None else max(2, self.max_bytes // window_bytes)


Measure = Callable[[LoadedRun, Stream, ProbeSettings], dict[str, Any]]
Lacks = Callable[[RunConfig], str | None]


def mean_of(values_U: NDArray[np.floating]) -> dict[str, Any]:
    """Mean over units and its standard error, None for one unit."""
    return ratio_of(values_U, np.ones(len(values_U)))


def ratio_of(sums_U: NDArray[np.floating], sizes_U: NDArray[Any]) -> dict[str, Any]:
    """sum of `sums` / sum of `sizes`, with the standard error of a ratio when the U units are the sample."""
    mean, stderr = ratio.ratio_of(sums_U, sizes_U)
    return {"mean": mean, "stderr": stderr, "units": len(sums_U)}


def spread_windows(stream: Stream, window: int, count: int, where: str) -> NDArray[np.int64]:
    """[W, window] symbols: at most `count` windows that do not overlap, evenly spaced over the text.

    Raises UserError for a text that is shorter than two of them.
    """
    if len(stream) < 2 * window:
        raise UserError(f"a text of {len(stream)} symbols has no two windows of {window}", where=where, how="give more")
    starts = np.linspace(0, len(stream) - window, min(count, len(stream) // window)).astype(np.int64)
    return np.stack([stream.read(start, start + window) for start in starts.tolist()]).astype(np.int64)


def training_text(run: LoadedRun, settings: ProbeSettings) -> list[bytes]:
    """Some of the run's training documents: the same ones wherever they are read."""
    if settings.training is not None:
        return spread(settings.training.documents(), TRAINING_BYTES)
    data = run.config.data
    return training_sample(data, piece_bytes(data), TRAINING_BYTES)
