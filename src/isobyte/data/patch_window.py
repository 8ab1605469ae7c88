"""Training rows that predict the same number of whole patches each, and so have as many bytes as these have."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from isobyte.data.permutation import ROUNDS, permute
from isobyte.data.stream import Stream
from isobyte.errors import UserError
from isobyte.random import generator

Opens = Callable[[int, int], NDArray[np.bool_]]
"""Which symbols start..stop-1 of a stream open a patch."""

_PIECE = 1 << 22
"""Bits read at once while rows are counted off."""


@dataclass(frozen=True)
class PatchRows:
    """Rows of `length_N` symbols, padded to the longest: what a network is shown is BOS and all but the last symbol."""

    x_NT: NDArray[np.int64]
    """0 after a row's end."""
    length_N: NDArray[np.int64]
    starts: NDArray[np.bool_]
    """[N, T + 1]: where patches open, of BOS first; none after a row's end, so that padding is in no patch that is
    complete."""

    def __len__(self) -> int:
        return len(self.length_N)

    def part(self, start: int, stop: int) -> Self:
        """Some of the rows, padded to the longest of these."""
        length_N = self.length_N[start:stop]
        longest = int(length_N.max())
        return type(self)(self.x_NT[start:stop, :longest], length_N, self.starts[start:stop, : longest + 1])


class PatchWindows:
    """Endless rows of `stream`, shuffled, each once an epoch; a function of (seed, place) alone.

    Rows follow each other without gap or overlap: every symbol is predicted exactly once an epoch. A row is BOS, a
    patch by itself, and the next `patches` whole patches. The last of them is predicted and never shown as a patch:
    its latent is asked for in no row, so none is trained that only a row's edge has closed. A row has fewer patches at
    the end of the stream, and where they would have more than `longest` symbols: it ends with the last that fits, and
    a patch that is longer by itself is cut.
    """

    def __init__(self, stream: Stream, opens: Opens, *, patches: int, longest: int, seed: int) -> None:
        if not len(stream):
            raise UserError("the training split is empty", where="train.patches", how="give more text")
        self.stream, self.opens, self.seed = stream, opens, seed
        self.offsets = row_offsets(opens, len(stream), patches, longest)
        """[rows + 1] where rows begin; the last is the stream's end."""

    @property
    def per_epoch(self) -> int:
        return len(self.offsets) - 1

    def batch(self, first: int, count: int) -> PatchRows:
        """Rows first..first+count-1 of the endless sequence."""
        index_N = self.rows(first, count)
        start_N, stop_N = self.offsets[index_N], self.offsets[index_N + 1]
        length_N = stop_N - start_N
        longest = int(length_N.max())
        x_NT = np.zeros((count, longest), np.int64)
        starts = np.zeros((count, longest + 1), np.bool_)
        for row, (start, stop) in enumerate(zip(start_N.tolist(), stop_N.tolist(), strict=True)):
            x_NT[row, : stop - start] = self.stream.read(start, stop)
            starts[row, 1 : stop - start + 1] = self.opens(start, stop)
        starts[:, :2] = True  # BOS is a patch; what is left of a patch that was cut opens another
        return PatchRows(x_NT, length_N, starts)

    def rows(self, first: int, count: int) -> NDArray[np.int64]:
        """Which rows of the stream these are [count]."""
        epoch_N, place_N = np.divmod(np.arange(first, first + count), self.per_epoch)
        found_N = np.empty(count, np.int64)
        for epoch in np.unique(epoch_N).tolist():
            keys = generator(self.seed, "windows", epoch).integers(2**64, size=ROUNDS, dtype=np.uint64)
            mine = epoch_N == epoch
            found_N[mine] = permute(place_N[mine].astype(np.uint64), self.per_epoch, keys)
        return found_N


def row_offsets(opens: Opens, length: int, patches: int, longest: int) -> NDArray[np.int64]:
    """[rows + 1] where rows of `patches` patches and `longest` symbols at most begin in a stream of `length`."""
    found, start = [0], 0
    ahead = np.empty(0, np.int64)  # known openings after `start`; the stream's end counts as the last
    for first in range(0, length, _PIECE):
        known = min(first + _PIECE, length)
        ahead = np.concatenate((ahead, np.flatnonzero(opens(first, known)) + first))
        ahead = ahead[ahead > start]
        if known == length:
            ahead = np.append(ahead, length)
        used = 0
        while start < length:
            last = used + patches - 1
            if last < len(ahead) and ahead[last] - start <= longest:
                start, used = int(ahead[last]), last + 1
            elif known == length or start + longest < known:
                fitting = int(np.searchsorted(ahead, start + longest, "right"))
                start = int(ahead[fitting - 1]) if fitting > used else start + longest
                used = fitting
            else:
                break
            found.append(start)
    return np.array(found, np.int64)
