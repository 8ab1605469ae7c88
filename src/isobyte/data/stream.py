"""One split as a sequence of symbols, with the raw bytes behind every one of them."""

import bisect
import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from isobyte.config.data import DataConfig, FilesCorpus
from isobyte.data.corpus import read
from isobyte.errors import UserError
from isobyte.representation import Representation


@dataclass(frozen=True, eq=False)
class Stream:
    """Documents one after the other, nothing between them.

    `parts` are symbol arrays, all of one length but the last; `table` [documents, 2] has the first symbol and
    the first byte of each document; `n_bytes` is the length of the raw text.
    """

    representation: Representation
    parts: Sequence[NDArray[np.unsignedinteger]]
    table: NDArray[np.unsignedinteger]
    n_bytes: int

    @classmethod
    def of(cls, documents: Iterable[bytes], representation: Representation) -> Self:
        """A stream in memory."""
        texts = list(documents)
        encoded = representation.encode_many(texts)
        symbols = np.concatenate([*encoded, np.empty(0, representation.dtype)])
        sizes = np.array([[len(e), len(t)] for e, t in zip(encoded, texts, strict=True)], np.uint64)
        ends = np.cumsum(sizes.reshape(-1, 2), axis=0)
        return cls(representation, (symbols,), ends - sizes.reshape(-1, 2), sum(map(len, texts)))

    def __len__(self) -> int:
        """Symbols."""
        return (len(self.parts) - 1) * len(self.parts[0]) + len(self.parts[-1])

    @functools.cached_property
    def byte_lengths(self) -> NDArray[np.int64]:
        """Bytes of each symbol of the alphabet [vocab_size]. Raises UserError for digits."""
        return self.representation.byte_lengths()

    def read(self, start: int, stop: int) -> NDArray[np.unsignedinteger]:
        """Symbols start..stop-1, cut off at the end of the stream."""
        stop = min(stop, len(self))
        found = []
        while start < stop:
            part, offset = divmod(start, len(self.parts[0]))
            found.append(self.parts[part][offset : offset + stop - start])
            start += len(found[-1])
        return found[0] if len(found) == 1 else np.concatenate([*found, self.parts[0][:0]])

    def documents(self) -> Iterator[bytes]:
        """The raw text, document by document."""
        for index in range(len(self.table)):
            yield self.document(index)

    def document(self, index: int) -> bytes:
        start = int(self.table[index, 0])
        stop = int(self.table[index + 1, 0]) if index + 1 < len(self.table) else len(self)
        return self.representation.decode(self.read(start, stop))

    def read_bytes(self, start: int, stop: int) -> bytes:
        """Bytes start..stop-1 of the raw text."""
        index = bisect.bisect_right(self.table, start, key=lambda row: int(row[1])) - 1
        begin, text = int(self.table[index, 1]), b""
        while begin + len(text) < min(stop, self.n_bytes):
            text += self.document(index)
            index += 1
        return text[start - begin : stop - begin]


def stream_from_file(path: str, representation: Representation, column: str = "text") -> Stream:
    """A file, folder or glob of the user's, read as a `files` corpus is, in memory and with nothing held out.

    Any bytes will do, UTF-8 or not. Raises UserError where it is missing, empty or unreadable.
    """
    data = DataConfig(corpus=FilesCorpus(paths=(path,), column=column))
    stream = Stream.of(read(data, data.piece_bytes), representation)
    if not stream.n_bytes:
        raise UserError("it is empty", where=path, how="give a text")
    return stream
