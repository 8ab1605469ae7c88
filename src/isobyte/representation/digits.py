"""Symbols as base-b digits (MDM-Prime, arXiv 2505.18495), numbered in a random order first if asked (Prime-v2)."""

import numpy as np
from numpy.typing import NDArray

from isobyte.config.objective import digit_shape
from isobyte.random import generator


def code_table(vocab: int, digits: int | None, *, shuffle: bool, seed: int = 0) -> NDArray[np.int64]:
    """[vocab, digits]: each symbol's digits, most significant first. All rows differ.

    Shuffling renumbers symbols among 0..vocab-1, so codes of vocab and above never occur.
    """
    count, base = digit_shape(vocab, digits)
    number = generator(seed, "digits").permutation(vocab) if shuffle else np.arange(vocab)
    return number[:, None] // base ** np.arange(count - 1, -1, -1) % base
