"""Counting the training text: how unsure one is of the next byte after the last few."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from isobyte.backbone.byte_ids import COUNT, OFFSET
from isobyte.backbone.patching.patcher import NgramTable

Read = Callable[[int, int], NDArray[np.unsignedinteger]]
"""Bytes start..stop-1 of a text, cut off at its end."""

_BYTES_AT_ONCE = 1 << 22
_CONTEXTS_AT_ONCE = 4096


def fit_ngram(table: NgramTable, read: Read, n_bytes: int) -> None:
    """Fill `table` from the first `n_bytes` bytes of a text; documents follow each other as they do in a window.

    Where one of the last bytes is no byte but an id such as the beginning, the bytes after it decide.
    """
    shorter = _entropies(read, n_bytes, table.context)
    ids = np.full((COUNT,) * table.context, shorter[0][()])
    if table.context >= 1:
        ids[..., OFFSET:] = shorter[1]
    if table.context == 2:
        ids[OFFSET:, OFFSET:] = shorter[2]
    table.entropy.copy_(torch.from_numpy(ids.reshape(-1).astype(np.float32)))


def _entropies(read: Read, n_bytes: int, context: int) -> list[NDArray[np.float64]]:
    """Nats of the next byte after the last 0, 1, .., `context` bytes: arrays [], [256], [256, 256]."""
    counts = _counts(read, n_bytes, context)
    found: list[NDArray[np.float64]] = []
    shorter = np.full((1, 256), 1 / 256)
    for order in range(context + 1):
        seen = counts.reshape(-1, 256**order, 256).sum(0, dtype=np.int64) if order < context else counts
        p, entropy = _smoothed(seen, shorter, keep=order < context)
        found.append(entropy.reshape((256,) * order))
        shorter = p
    return found


def _counts(read: Read, n_bytes: int, context: int) -> NDArray[np.int64]:
    """[256**context, 256]: how often each byte came after the last `context` bytes, the oldest of them first."""
    size = 256 ** (context + 1)
    counts = np.zeros(size, np.int64)
    for start in range(0, n_bytes, _BYTES_AT_ONCE):
        stop = min(start + _BYTES_AT_ONCE, n_bytes)
        text = read(max(0, start - context), stop)
        code = np.zeros(max(0, len(text) - context), np.int32)
        for place in range(context + 1):
            code = code * 256 + text[place : place + len(code)]
        counts += np.bincount(code, minlength=size)
    return counts.reshape(-1, 256)


def _smoothed(
    seen: NDArray[np.integer], shorter: NDArray[np.float64], *, keep: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Witten-Bell: (n(c) + kinds p'(c)) / (n + kinds), p' by the context without its oldest byte.

    `seen` [contexts, 256]; `shorter` [contexts / 256 or 1, 256], whose rows are those of the contexts in turn.
    Distributions [contexts, 256], empty unless they are kept, and their entropies [contexts].
    """
    kept, entropy = np.empty((len(seen) if keep else 0, 256)), np.empty(len(seen))
    for first in range(0, len(seen), _CONTEXTS_AT_ONCE):
        block = seen[first : first + _CONTEXTS_AT_ONCE].astype(np.float64)
        back = np.tile(shorter, (len(block) // len(shorter), 1))
        kinds, total = (block > 0).sum(1, keepdims=True), block.sum(1, keepdims=True)
        p = np.where(total > 0, (block + kinds * back) / np.maximum(total + kinds, 1), back)
        entropy[first : first + len(block)] = -(p * np.log(p)).sum(1)
        if keep:
            kept[first : first + len(block)] = p
    return kept, entropy
