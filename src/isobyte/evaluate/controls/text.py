"""Statistics of windows of symbols: their histogram, how much neighbours tell, their n-grams, their tokens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isobyte.evaluate.controls.measured import Measured, ratio
from isobyte.random import generator
from isobyte.representation import Representation

Windows = NDArray[np.int64]
"""[N, T] symbols."""

SHUFFLES = 8
"""Of the symbols at the later place, for what pairs seem to tell by chance."""


def total_variation(x_NT: Windows, y_NT: Windows, vocab: int) -> float:
    """Half the absolute difference of two histograms: 0 alike, 1 with no symbol in common."""
    one, other = (np.bincount(w.ravel(), minlength=vocab) / w.size for w in (x_NT, y_NT))
    return float(np.abs(one - other).sum() / 2)


def entropy(x_NT: Windows, vocab: int) -> Measured:
    """Bits a symbol, of the histogram (plug-in)."""
    share = np.bincount(x_NT.ravel(), minlength=vocab) / x_NT.size
    bits_V = -np.log2(np.where(share > 0, share, 1))
    return ratio(bits_V[x_NT].sum(1), np.full(len(x_NT), x_NT.shape[1]))


@dataclass(frozen=True)
class Told:
    """What a symbol tells of the one `lag` places after it, in bits: `plug_in - shuffled`."""

    bits: float
    stderr: float | None
    plug_in: float
    shuffled: float


def mutual_information(x_NT: Windows, lags: Sequence[int], seed: int) -> dict[int, Told]:
    """By lag, of pairs inside windows; lags that no window holds are left out.

    The plug-in estimate is biased upwards by about (cells of the table) / (2 pairs). What it comes to on the same
    symbols with the later ones of all pairs shuffled is taken off; where symbols depend on each other strongly their
    table has fewer cells than the shuffled one, and the difference errs low. The standard error has two parts: the
    spread over windows of the mean log-ratio (first order), and that of the shuffled estimates, which is what is left
    where nothing is told; there both say the same, and it is wider than it need be.
    """
    symbols, index = np.unique(x_NT, return_inverse=True)
    x_NT, size = index.reshape(x_NT.shape), len(symbols)
    return {lag: _told(x_NT, lag, size, seed) for lag in lags if lag < x_NT.shape[1]}


def _told(x_NT: Windows, lag: int, size: int, seed: int) -> Told:
    first, second = x_NT[:, :-lag] * size, x_NT[:, lag:]
    codes = first + second
    table = _log_ratios(codes, size)
    plug_in = ratio(table[codes].sum(1), np.full(len(codes), codes.shape[1]))
    random, flat = generator(seed, "controls", "shuffle", lag), second.ravel()
    chance = []
    for _ in range(SHUFFLES):
        drawn = first.ravel() + random.permutation(flat)
        chance.append(float(_log_ratios(drawn, size)[drawn].mean()))
    shuffled, spread = float(np.mean(chance)), float(np.std(chance, ddof=1))
    assert plug_in.value is not None
    stderr = None if plug_in.stderr is None else math.hypot(plug_in.stderr, spread * math.sqrt(1 + 1 / SHUFFLES))
    return Told(plug_in.value - shuffled, stderr, plug_in.value, shuffled)


def _log_ratios(codes: Windows, size: int) -> NDArray[np.float64]:
    """[size * size]: log2 p(a, b) / (p(a) p(b)) of each pair that occurs, 0 of the others."""
    joint = np.bincount(codes.ravel(), minlength=size * size).reshape(size, size) / codes.size
    apart = joint.sum(1)[:, None] * joint.sum(0)
    return np.log2(np.divide(joint, apart, out=np.ones_like(joint), where=joint > 0)).ravel()


def ngram_overlap(read_NT: Windows, text_NT: Windows, n: int) -> Measured:
    """Share of what is read's n-grams of bytes (n <= 8) that the text has too, each as often as both have it; n-grams
    lie inside windows. The spread over windows takes as given how often each occurs in all."""
    read, text = _ngrams(read_NT, n), _ngrams(text_NT, n)
    found, index, times = np.unique(read, return_inverse=True, return_counts=True)
    known, known_times = np.unique(text, return_counts=True)
    at = np.searchsorted(known, found).clip(max=len(known) - 1)
    both = np.minimum(np.where(known[at] == found, known_times[at], 0), times)
    share = (both / times)[index].reshape(read.shape)
    return ratio(share.sum(1), np.full(len(read), read.shape[1]))


def _ngrams(x_NT: Windows, n: int) -> NDArray[np.uint64]:
    """[N, T - n + 1] one number each."""
    views = np.lib.stride_tricks.sliding_window_view(x_NT.astype(np.uint64), n, axis=1)
    return (views << np.arange(0, 8 * n, 8, dtype=np.uint64)).sum(-1)


def bytes_per_token(windows: Sequence[bytes], tokens: Representation) -> Measured:
    """Windows are encoded one by one: no token spans two."""
    return ratio([len(text) for text in windows], [len(ids) for ids in tokens.encode_many(windows)])
