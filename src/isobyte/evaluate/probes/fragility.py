"""Extra bits per byte from losing the k nearest neighbours, against losing k far ones.

A byte is predicted from all that its objective may see (`subject.Sight`: what comes before it; of masked kinds all
others; of block diffusion its block and those before). Then k of these are lost: the `near` ones (the nearest, of two
at one distance the left one first) or `far` ones, drawn at random from those at least `far_distance` away. Lost bytes
are `resampled`: those of another held-out window at the same places stand there, which every objective can be shown.
That is worse than not to know them, as the network takes them at their word: on average over independent bytes, what is
lost is I(byte; lost | rest) and the divergence of the bytes shown from what the network expects, which is what makes
local context fragile. Where an objective can hide any set of bytes, they are also `masked`, which costs the information
alone. Contexts from both sides are larger than those from one: what is compared among objectives is the shape, near
against far, more than the height. All are scores of single bytes, with the text for truth: none is a likelihood.

An objective that predicts in any order is shown the visible bytes from left to right.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isobyte.config.run import RunConfig
from isobyte.data.stream import Stream
from isobyte.evaluate.loaded import LoadedRun
from isobyte.evaluate.probes.common import ProbeSettings, mean_of, spread_windows
from isobyte.evaluate.probes.subject import Subject, hides_any, unasked
from isobyte.random import generator

WINDOWS, PLACES = 64, 8
LOST = (1, 2, 4, 8)
FAR = 16
SHORTEST_WINDOW = 8


@dataclass(frozen=True)
class Asked:
    """P places in each of W windows, in the third quarter, so that there is context on both sides."""

    x_WT: NDArray[np.int64]
    places_WP: NDArray[np.int64]
    seen_TT: NDArray[np.bool_]
    """Of the objective's context at each place."""
    far: int
    seed: int

    def near(self, place: int, k: int) -> NDArray[np.int64]:
        """[k] the nearest of the context."""
        context = self.seen_TT[place].nonzero()[0]
        away = np.abs(context - place)
        return context[np.lexsort((context, away))[:k]]

    def distant(self, window: int, nth: int, k: int) -> NDArray[np.int64]:
        """[k] random ones of the context that are far from the window's `nth` place."""
        place = int(self.places_WP[window, nth])
        context = self.seen_TT[place].nonzero()[0]
        context = context[np.abs(context - place) >= self.far]
        return generator(self.seed, "fragility far", window, nth).permutation(context)[:k]

    def donor(self, window: int, nth: int) -> NDArray[np.int64]:
        """[T] another window, whose bytes stand in for what is lost."""
        other = int(generator(self.seed, "fragility donor", window, nth).integers(len(self.x_WT) - 1))
        return self.x_WT[other + (other >= window)]

    def has(self, k: int) -> bool:
        """Whether every place has k near and k far neighbours, and no neighbour is both."""
        for place in range(int(self.places_WP.min()), int(self.places_WP.max()) + 1):
            away = np.abs(self.seen_TT[place].nonzero()[0] - place)
            if (away >= self.far).sum() < k or np.sort(away)[:k].max() >= self.far:
                return False
        return True


def probe_fragility(run: LoadedRun, stream: Stream, settings: ProbeSettings) -> dict[str, Any]:
    """See above; units are windows."""
    window = run.config.train.window
    x_WT = spread_windows(stream, window, settings.windows(WINDOWS, window), "the text")
    return measure_fragility(Subject.of(run, settings.seed), x_WT, settings.seed)


def lacks_fragility(config: RunConfig) -> str | None:
    if (why := unasked(config)) is not None:
        return why
    if config.representation.kind != "bytes":
        return "neighbours are counted in bytes, and its symbols have several"
    short = config.train.window < SHORTEST_WINDOW
    return f"windows of {config.train.window} have no far neighbours" if short else None


def measure_fragility(subject: Subject, x_WT: NDArray[np.int64], seed: int, places: int = PLACES) -> dict[str, Any]:
    """Of `places` places in each of windows [W, T]."""
    asked = draw_places(subject, x_WT, seed, places)
    length, windows = x_WT.shape[1], len(x_WT)
    nothing = {(w, p): np.empty(0, np.int64) for w in range(windows) for p in range(places)}
    base_W = _bits(subject, asked, nothing, "resampled")
    treatments = ("resampled", "masked") if hides_any(subject.objective, length) else ("resampled",)
    lost = {}
    for k in filter(asked.has, LOST):
        near = {(w, p): asked.near(int(asked.places_WP[w, p]), k) for w, p in nothing}
        far = {(w, p): asked.distant(w, p, k) for w, p in nothing}
        lost[str(k)] = {}
        for treatment in treatments:
            near_W, far_W = (_bits(subject, asked, each, treatment) for each in (near, far))
            lost[str(k)][treatment] = {
                "near": mean_of(near_W - base_W),
                "far": mean_of(far_W - base_W),
                "near_less_far": mean_of(near_W - far_W),
            }
    return {
        "unit": "window",
        "score": "bits per byte of single bytes given the others: no likelihood",
        "context": subject.sight,
        "windows": windows,
        "bytes": asked.places_WP.size,
        "far_distance": asked.far,
        "base": mean_of(base_W),
        "lost": lost,
    }


def draw_places(subject: Subject, x_WT: NDArray[np.int64], seed: int, places: int) -> Asked:
    """Random places, none twice in a window where it has as many."""
    windows, length = x_WT.shape
    quarter = np.arange(length // 2, 3 * length // 4)
    keys = np.stack([generator(seed, "fragility places", w).random(len(quarter)) for w in range(windows)])
    places_WP = quarter[keys.argsort(1)[:, np.arange(places) % len(quarter)]]
    return Asked(x_WT, places_WP, subject.seen(length).numpy(), min(FAR, length // 4), seed)


def _bits(
    subject: Subject, asked: Asked, lost: dict[tuple[int, int], NDArray[np.int64]], treatment: str
) -> NDArray[np.float64]:
    """[W] mean bits of each window's bytes when each has lost the places `lost[window, nth]`."""
    rows, hidden = [], []
    for (window, nth), gone in lost.items():
        row, place = asked.x_WT[window].copy(), int(asked.places_WP[window, nth])
        hide = ~asked.seen_TT[place]
        if treatment == "masked":
            hide[gone] = True
        else:
            row[gone] = asked.donor(window, nth)[gone]
        rows.append(row)
        hidden.append(hide)
    place_N = torch.from_numpy(asked.places_WP.flatten())
    x_NT = torch.from_numpy(np.stack(rows))
    log_NV = subject.given(x_NT, torch.from_numpy(np.stack(hidden)), place_N)
    nats_N: Tensor = -log_NV.gather(1, x_NT.gather(1, place_N[:, None])).double()
    return nats_N.view(asked.places_WP.shape).mean(1).numpy() / math.log(2)
