"""A corpus: named documents in a fixed order, streamed, and a record of where they come from."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from isobyte.config import data as configs
from isobyte.errors import UserError
from isobyte.representation.cut import cut, pieces

Source = dict[str, Any]
"""Plain JSON: `kind`, what and whose it is, `bytes` where known. It changes when the corpus does."""


class Document(NamedTuple):
    name: str
    blocks: Iterable[bytes]
    """Its bytes, in blocks of any size, to be read before the next document is asked for."""


def documents(config: configs.Corpus) -> Iterator[Document]:
    """Raises UserError, here or while blocks are read, where the corpus is missing, damaged or ill-formed."""
    return _module(config).documents(config)


def source(config: configs.Corpus) -> Source:
    return _module(config).source(config)


def _module(config: configs.Corpus) -> Any:
    match config:
        case configs.SotuCorpus():
            from isobyte.data import sotu as module
        case configs.StdlibCorpus():
            from isobyte.data import stdlib as module
        case configs.FilesCorpus():
            from isobyte.data import files as module
        case configs.HubCorpus():
            from isobyte.data import hub as module
        case configs.SyntheticCorpus():
            from isobyte.data import synthetic as module
    return module


def text_of(row: Mapping[str, Any], column: str, where: str) -> bytes:
    """The bytes of a table row's column."""
    if column not in row:
        have = ", ".join(map(str, row))
        raise UserError(f"no column {column!r}", where=where, how=f"set column to one of: {have}")
    value = row[column]
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return value
    raise UserError(f"column {column!r} holds {type(value).__name__}, not text", where=where)


def read(config: configs.DataConfig, piece_bytes: int) -> Iterator[bytes]:
    """The corpus in pieces of 1..`piece_bytes` bytes, none of which spans two documents."""
    left = config.max_bytes
    for document in documents(config.corpus):
        for piece in _cut(document.blocks, piece_bytes):
            yield piece[:left]
            if left is not None:
                left -= len(piece)
                if left <= 0:
                    return


def _cut(blocks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """`pieces` of the joined blocks, without joining them."""
    rest = b""
    for block in blocks:
        data, start = rest + block, 0
        while len(data) - start > limit + 2:  # as far as `cut` looks
            ahead = data[start : start + limit + 2]
            size = cut(ahead, limit)
            yield ahead[:size]
            start += size
        rest = data[start:]
    yield from pieces(rest, limit)
