"""Windows: what a network sees at once, in training and in evaluation."""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from isobyte.data.permutation import ROUNDS, permute
from isobyte.data.stream import Stream
from isobyte.errors import UserError
from isobyte.random import generator
from isobyte.representation.cut import cut

SEGMENT_BYTES = 8192
_LOOK_BACK = 1024
_BLOCK = 1024
_COUNT_AT_ONCE = 1 << 20


class TrainWindows:
    """Endless windows [window] of `stream`, shuffled, each once an epoch; a function of (seed, place) alone.

    Each epoch has `per_epoch` windows on a grid with an offset of its own, so that over time every symbol is
    seen in every position (of digits, every byte; windows begin and end between two bytes, as in evaluation);
    fewer than two windows of symbols at the edges go unseen in an epoch.
    Raises UserError where the stream is shorter than a window.
    """

    def __init__(self, stream: Stream, window: int, seed: int) -> None:
        if len(stream) < window:
            raise UserError(
                f"the training split has {len(stream)} symbols, a window has {window}",
                where="train.window",
                how="give more text or a shorter window",
            )
        self.stream, self.window, self.seed = stream, window, seed
        self._step = stream.representation.digits_per_byte
        """Places are counted in steps of so many symbols."""
        length, width = len(stream) // self._step, _whole_bytes(stream, window) // self._step
        self.per_epoch = max(1, (length - width + 1) // width)
        self._offsets = min(width, length - self.per_epoch * width + 1)
        self._epoch = functools.lru_cache(maxsize=4)(self._draw_epoch)
        self._block = functools.lru_cache(maxsize=8)(self._shuffle_block)
        whole = stream.parts[0] if len(stream.parts) == 1 else None
        self._all = None if whole is None else np.lib.stride_tricks.sliding_window_view(whole, window)

    def batch(self, first: int, count: int) -> NDArray[np.int64]:
        """Symbols [count, window] of the windows first..first+count-1 of the endless sequence."""
        starts = self.starts(first, count)
        if self._all is not None:
            return self._all[starts].astype(np.int64)
        rows = [self.stream.read(start, start + self.window) for start in starts.tolist()]
        return np.array(rows, np.int64)

    def starts(self, first: int, count: int) -> NDArray[np.int64]:
        """Where in the stream these windows begin [count]."""
        found = []
        while count > 0:
            epoch, place = divmod(first, self.per_epoch)
            block, skip = divmod(place, _BLOCK)
            found.append(self._block(epoch, block)[skip : skip + count])
            first, count = first + len(found[-1]), count - len(found[-1])
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _shuffle_block(self, epoch: int, block: int) -> NDArray[np.int64]:
        """The starts of a block of consecutive places: many at once cost little more than one."""
        keys, offset = self._epoch(epoch)
        places = np.arange(block * _BLOCK, min((block + 1) * _BLOCK, self.per_epoch), dtype=np.uint64)
        return permute(places, self.per_epoch, keys).astype(np.int64) * self.window + offset * self._step

    def _draw_epoch(self, epoch: int) -> tuple[NDArray[np.uint64], int]:
        random = generator(self.seed, "windows", epoch)
        keys = random.integers(2**64, size=ROUNDS, dtype=np.uint64)
        return keys, int(random.integers(self._offsets))


class EvalWindows:
    """Consecutive windows of `stream`, the last at its true length: every symbol once, nothing padded.

    With `max_bytes`, of an excerpt: segments of `segment_bytes` of raw text, evenly spaced over the stream,
    joined. Which text that is depends on the raw bytes alone, so every representation is scored on the same.
    """

    def __init__(
        self, stream: Stream, window: int, max_bytes: int | None = None, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        if max_bytes is not None and max_bytes < stream.n_bytes:
            stream = Stream.of(excerpt(stream, max_bytes, segment_bytes), stream.representation)
        self.stream, self.window, self.n_bytes = stream, _whole_bytes(stream, window), stream.n_bytes

    def __len__(self) -> int:
        return -(-len(self.stream) // self.window)

    @functools.cached_property
    def bytes_W(self) -> NDArray[np.int64]:
        """Raw bytes of each window; they sum to `n_bytes`."""
        whole = len(self.stream) // self.window * self.window
        step = max(1, _COUNT_AT_ONCE // self.window) * self.window
        found = [np.empty(0, np.int64)]
        for start in range(0, whole, step):
            symbols = self.stream.read(start, min(start + step, whole))
            found.append(self.stream.representation.count_bytes(symbols.reshape(-1, self.window)))
        if whole < len(self.stream):
            found.append(self.stream.representation.count_bytes(self.stream.read(whole, len(self.stream))[None]))
        return np.concatenate(found)

    def batches(self, size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """In order, (symbols [n, T], bytes [n]): n <= size, T = window; then the rest, n = 1, T < window."""
        full = len(self.stream) // self.window
        for first in range(0, full, size):
            last = min(first + size, full)
            symbols = self.stream.read(first * self.window, last * self.window)
            yield symbols.reshape(-1, self.window).astype(np.int64), self.bytes_W[first:last]
        if full < len(self):
            rest = self.stream.read(full * self.window, len(self.stream))
            yield rest[None].astype(np.int64), self.bytes_W[full:]


def _whole_bytes(stream: Stream, window: int) -> int:
    """`window`, if it ends between two bytes. A run's config says so; raises ValueError for any other."""
    if window % stream.representation.digits_per_byte:
        raise ValueError(f"a window of {window} digits ends inside a byte")
    return window


def excerpt(stream: Stream, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> list[bytes]:
    """At most `max_bytes` of raw text: segments of equal size, evenly spaced, cut at good places."""
    count = -(-max_bytes // segment_bytes)
    size = max_bytes // count
    found, stop = [], 0
    for index in range(count):
        middle = (2 * index + 1) * stream.n_bytes // (2 * count)
        start = max(stop, _boundary(stream, max(0, middle - size // 2)))
        stop = min(start + size, stream.n_bytes)
        if (better := _boundary(stream, stop)) > start:
            stop = better
        found.append(stream.read_bytes(start, stop))
    return found


def _boundary(stream: Stream, place: int) -> int:
    """The nearest place before `place` where `cut` would cut."""
    start = max(0, place - _LOOK_BACK)
    around = stream.read_bytes(start, place + 2)
    return start + cut(around, place - start) if place > start else place
