"""Reconstruction of hidden words against number and distance of visible neighbours.

A word is a run of 3 to 12 bytes none of which is a space, with spaces on both sides; it is hidden whole. Of the text
around it some symbols are visible: of layout `left` those in the 2n bytes before it, of `both` those in the n bytes on
each side, always behind a gap of g hidden bytes. All else is hidden. The word is then scored by the chain rule, its
symbols revealed from left to right, so its bits are those of its probability given what is visible; they are bits of
words, and no likelihood of a text. `exact` is the share of words each of whose symbols is the likeliest one, given the
true ones before it: what greedy decoding gets right.

The words are chosen by the text alone, so every run on a text is asked for the same. An objective that hides anything
is shown a window in the middle of which the word begins, all hidden symbols masked. One that only knows what comes
before has `left` without a gap alone, in a window that begins with the 2n bytes: these are the numbers to compare, as
both kinds see the very same bytes there and nothing else. Symbols of several bytes are visible if all their bytes are
in range, and the word's may begin with the space before it, which then counts among its bytes.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isobyte.config.run import RunConfig
from isobyte.data.stream import Stream
from isobyte.errors import UserError
from isobyte.evaluate.loaded import LoadedRun
from isobyte.evaluate.probes.common import ProbeSettings, mean_of, ratio_of, training_text
from isobyte.evaluate.probes.subject import Subject, unasked

WORDS = 64
SHORTEST, LONGEST = 3, 12
VISIBLE, GAPS = (2, 4, 8, 16), (0, 1, 2, 4, 8)
MATCHED = (
    "cells of layout left and gap 0 show every objective the same bytes and ask for the same words: compare objectives "
    "there"
)
_SPACES = b" \t\n\r\v\f"
_AROUND = 64
"""Bytes that the text must have on either side of a place where a word is looked for."""
_SYMBOL_BYTES = 8
"""Of text that is encoded to fill a window, for each of its symbols, where symbols have more than one."""
Layout = Literal["left", "both"]


@dataclass(frozen=True)
class Word:
    """Symbols `begin`..`end`-1 of a window of text; `bounds` [T + 1] is where each begins, in bytes from the first
    byte of the word itself."""

    x_T: NDArray[np.int64]
    bounds: NDArray[np.int64]
    begin: int
    end: int
    letters: int
    """Bytes of the word, without a space before it."""

    @property
    def n_bytes(self) -> int:
        return int(self.bounds[self.end] - self.bounds[self.begin])

    def visible(self, layout: Layout, n: int, gap: int) -> NDArray[np.bool_]:
        """[T] bool: the symbols that lie in range."""
        before, after = (2 * n, 0) if layout == "left" else (n, n)
        starts, ends = self.bounds[:-1], self.bounds[1:]
        end = self.letters + gap
        return ((starts >= -gap - before) & (ends <= min(-gap, self.bounds[self.begin]))) | (
            (starts >= end) & (ends <= end + after)
        )


def probe_words(run: LoadedRun, stream: Stream, settings: ProbeSettings) -> dict[str, Any]:
    """See above; units are words. `unigram` is what the words cost by byte counts of the run's training text."""
    subject, window = Subject.of(run, settings.seed), run.config.train.window
    chosen = choose_words(stream, window, settings.windows(WORDS, window))
    counts = np.bincount(np.frombuffer(b"".join(training_text(run, settings)), np.uint8), minlength=256) + 0.5
    bits = -np.log2(counts / counts.sum())
    texts = [stream.representation.decode(word.x_T[word.begin : word.end]) for word in chosen]
    unigram_W = np.array([bits[list(text)].sum() for text in texts])
    return measure_words(subject, chosen) | {"unigram": ratio_of(unigram_W, np.array(list(map(len, texts))))}


def lacks_words(config: RunConfig) -> str | None:
    if (why := unasked(config)) is not None:
        return why
    least = LONGEST if config.representation.kind == "bytes" else 2 * VISIBLE[0]
    return (
        None
        if config.train.window // 2 >= least
        else f"windows of {config.train.window} have no room for words and neighbours"
    )


def measure_words(subject: Subject, chosen: list[Word]) -> dict[str, Any]:
    """The cells of the grid that the objective has and the windows have room for."""
    sizes_W, cells = np.array([word.n_bytes for word in chosen]), []
    for layout, n, gap in grid(subject):
        visible = [word.visible(layout, n, gap) for word in chosen]
        nats_W, exact_W = score(subject, chosen, visible)
        shown = [np.diff(word.bounds)[seen].sum() for word, seen in zip(chosen, visible, strict=True)]
        cells.append(
            {
                "layout": layout,
                "n": n,
                "gap": gap,
                "visible_bytes": float(np.mean(shown)),
                "bits_per_byte": ratio_of(nats_W / math.log(2), sizes_W),
                "exact": mean_of(exact_W),
            }
        )
    return {"unit": "word", "words": len(chosen), "word_bytes": int(sizes_W.sum()), "matched": MATCHED, "cells": cells}


def grid(subject: Subject) -> list[tuple[Layout, int, int]]:
    """(layout, n, gap) of each cell: those that fit into a window around its middle."""
    if subject.sight != "around":
        return [("left", n, 0) for n in VISIBLE if 2 * n <= subject.window // 2]
    left, right = subject.window // 2, subject.window - subject.window // 2 - LONGEST
    cells: list[tuple[Layout, int, int]] = [("left", n, g) for n in VISIBLE for g in GAPS if 2 * n + g <= left]
    return cells + [("both", n, g) for n in VISIBLE for g in GAPS if n + g <= min(left, right)]


def score(
    subject: Subject, chosen: list[Word], visible: list[NDArray[np.bool_]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[W] nats of each word, and [W] whether each of its symbols was the likeliest, given the visible ones."""
    asked = [_ask(subject, word, seen_T) for word, seen_T in zip(chosen, visible, strict=True)]
    nats, exact = np.zeros(len(chosen)), np.zeros(len(chosen))
    for length in sorted({x_LT.shape[1] for x_LT, *_ in asked}):
        alike = [index for index, (x_LT, *_) in enumerate(asked) if x_LT.shape[1] == length]
        x_NT, hidden_NT, place_N = (torch.cat(each) for each in zip(*(asked[index] for index in alike), strict=True))
        log_NV = subject.given(x_NT, hidden_NT, place_N)
        truth_N = x_NT.gather(1, place_N[:, None])
        nats_N, right_N = -log_NV.gather(1, truth_N).squeeze(1).double(), log_NV.argmax(1) == truth_N.squeeze(1)
        sizes = [len(asked[index][0]) for index in alike]
        for index, own, right in zip(alike, nats_N.split(sizes), right_N.split(sizes), strict=True):
            nats[index], exact[index] = float(own.sum()), bool(right.all())
    return nats, exact


def _ask(subject: Subject, word: Word, visible_T: NDArray[np.bool_]) -> tuple[Tensor, Tensor, Tensor]:
    """Windows [L, T], what of them is hidden [L, T], and the place asked for [L]: the word's symbols, one by one."""
    first = 0
    if subject.sight != "around":  # a window that begins with what is visible
        first = int(np.append(visible_T[: word.begin], True).argmax())
    x_T, visible = torch.from_numpy(word.x_T[first:]), torch.from_numpy(visible_T[first:])
    place_L, place_T = torch.arange(word.begin - first, word.end - first), torch.arange(len(x_T))
    revealed_LT = visible | ((place_T >= place_L[0]) & (place_T < place_L[:, None]))
    return x_T.expand(len(place_L), -1), ~revealed_LT, place_L


def choose_words(stream: Stream, window: int, count: int) -> list[Word]:
    """At most `count` words, evenly spaced over the text. Raises UserError where there are none."""
    size, around = _AROUND, max(_AROUND, window * (1 if stream.representation.vocab_size == 256 else _SYMBOL_BYTES))
    last = stream.n_bytes - 2 * size
    found = {}
    for place in np.linspace(size, last, count).astype(np.int64).tolist() if last >= size else ():
        begin = _word_in(stream.read_bytes(place, place + size))
        if begin is not None:
            start = place + begin[0]
            found[start] = begin[1] - begin[0]
    chosen = [_in_window(stream, window, start, length, around) for start, length in found.items()]
    chosen = [word for word in chosen if word is not None]
    if not chosen:
        raise UserError("has no words to hide", where="the text", how="give a longer one, with spaces between words")
    return chosen


def _word_in(text: bytes) -> tuple[int, int] | None:
    """(start, end) of the first word in `text` that surely is whole."""
    space = np.isin(np.frombuffer(text, np.uint8), list(_SPACES))
    edges = space.nonzero()[0]
    lengths = np.diff(edges) - 1
    fits = ((lengths >= SHORTEST) & (lengths <= LONGEST)).nonzero()[0]
    return None if not len(fits) else (int(edges[fits[0]]) + 1, int(edges[fits[0] + 1]))


def _in_window(stream: Stream, window: int, start: int, length: int, around: int) -> Word | None:
    """The word in a window in whose middle it begins; None where its symbols reach into what is beside it."""
    begin = max(0, start - around)
    text = stream.read_bytes(begin, start + length + around)
    symbols = stream.representation.encode(text).astype(np.int64)
    bounds = np.concatenate(([0], np.cumsum(stream.byte_lengths[symbols]))) - (start - begin)
    end = int(np.searchsorted(bounds, length))
    first = int(np.searchsorted(bounds, 0, side="right")) - 1
    left = max(0, first - window // 2)
    beside = text[start - begin + bounds[first] : start - begin].strip(_SPACES)
    if bounds[end] != length or beside or end - left > window:
        return None
    kept = slice(left, left + window)
    return Word(symbols[kept], bounds[left : left + window + 1], first - left, end - left, length)
