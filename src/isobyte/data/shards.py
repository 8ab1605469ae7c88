"""Writing a split: shards, document table and running hashes, resumable at every checkpoint."""

import hashlib
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isobyte.data.manifest import Shard, Split

ENTRY = struct.Struct("<QQ")
"""A document in the table: its first symbol, its first byte."""
_BLOCK = 1 << 20


class Damaged(Exception):
    """What is on disk is not what the checkpoint says; begin again."""


class HashedFile:
    """An append-only file that knows its SHA-256; the first `keep` bytes of an existing one can be kept."""

    def __init__(self, path: Path, keep: int = 0) -> None:
        self.size, self._hash = 0, hashlib.sha256()
        self._file = path.open("r+b" if keep else "wb", _BLOCK)
        while keep > self.size:
            block = self._file.read(min(_BLOCK, keep - self.size))
            if not block:
                raise Damaged(path.name)
            self._count(block)
        self._file.truncate(keep)

    def _count(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self.size += len(data)

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._count(data)

    def digest(self) -> str:
        return self._hash.hexdigest()

    def sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self.sync()
        self._file.close()


class SplitWriter:
    """Appends documents to one split, from checkpoint `resumed` on; raises Damaged where that is gone."""

    def __init__(self, folder: Path, split: str, dtype: np.dtype, shard_symbols: int, resumed: Split) -> None:
        self._folder, self._split = folder, split
        self._dtype, self._shard_symbols = dtype.newbyteorder("<"), shard_symbols
        self.documents, self.bytes, self.symbols = resumed.documents, resumed.bytes, resumed.symbols
        self.text_crc32 = 0
        self._table = HashedFile(table_path(folder, split), resumed.documents * ENTRY.size)
        self._shards = list(resumed.shards)
        self._open: HashedFile | None = None
        if self._shards and self._shards[-1].symbols < shard_symbols:
            part = self._shards.pop()
            self._open = HashedFile(folder / part.name, part.symbols * dtype.itemsize)
            if self._open.digest() != part.sha256:
                raise Damaged(part.name)
        for shard in self._shards:
            path = folder / shard.name
            if not path.exists() or path.stat().st_size != shard.symbols * dtype.itemsize:
                raise Damaged(shard.name)
        if resumed.documents and self._table.digest() != resumed.table_sha256:
            raise Damaged("document table")

    def skip(self, text: bytes) -> None:
        """Pass over a document that an earlier run has written."""
        self.text_crc32 = zlib.crc32(text, self.text_crc32)

    def add(self, text: bytes, symbols: NDArray[np.unsignedinteger]) -> None:
        self.text_crc32 = zlib.crc32(text, self.text_crc32)
        self._table.write(ENTRY.pack(self.symbols, self.bytes))
        self.documents += 1
        self.bytes += len(text)
        self.symbols += len(symbols)
        symbols = np.ascontiguousarray(symbols, self._dtype)
        while len(symbols):
            out = self._open = self._open or HashedFile(self._folder / self._name())
            room = self._shard_symbols - out.size // self._dtype.itemsize
            out.write(symbols[:room].view(np.uint8).data)
            if len(symbols) >= room:
                self._shards.append(self._record(out))
                out.close()
                self._open = None
            symbols = symbols[room:]

    def _name(self) -> str:
        return f"{self._split}-{len(self._shards):05d}.bin"

    def _record(self, out: HashedFile) -> Shard:
        return Shard(name=self._name(), symbols=out.size // self._dtype.itemsize, sha256=out.digest())

    def checkpoint(self) -> Split:
        """Everything so far, safe on disk."""
        for out in (self._table, self._open):
            if out:
                out.sync()
        return Split(
            documents=self.documents,
            bytes=self.bytes,
            symbols=self.symbols,
            shards=(*self._shards, *([self._record(self._open)] if self._open else [])),
            table_sha256=self._table.digest(),
            text_crc32=self.text_crc32,
        )

    def close(self) -> None:
        for out in (self._table, self._open):
            if out:
                out.close()


def table_path(folder: Path, split: str) -> Path:
    return folder / f"{split}.documents"


def clear(folder: Path) -> None:
    """Remove what an abandoned preparation left."""
    for pattern in ("train-*.bin", "heldout-*.bin", "*.documents"):
        for path in folder.glob(pattern):
            path.unlink()
