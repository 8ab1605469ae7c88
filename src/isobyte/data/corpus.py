"""A corpus: its documents in a fixed order, streamed."""

from collections.abc import Iterable, Iterator
from typing import Any

from isobyte.config import data as configs
from isobyte.data.document import Document, Source
from isobyte.errors import UserError
from isobyte.representation.cut import cut, pieces


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
        case configs.ElsewhereCorpus():
            raise UserError("its text is not known here", where=config.source, how="name a text by --data")
    return module


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
