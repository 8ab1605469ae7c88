"""A prepared folder, opened: two streams and the representation they are in."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from isobyte.data.heldout import SPLITS, SplitName
from isobyte.data.manifest import Manifest, read_manifest
from isobyte.data.shards import ENTRY, table_path
from isobyte.data.stream import Stream
from isobyte.errors import UserError
from isobyte.representation import Representation, load

MANIFEST = "manifest.json"
REPRESENTATION = "representation"
VERIFY_BYTES = 1 << 30
"""Up to this size every opening verifies the checksums: half a second at most."""


@dataclass(frozen=True)
class Prepared:
    folder: Path
    manifest: Manifest
    representation: Representation

    @classmethod
    def open(cls, folder: Path, *, verify: bool | None = None) -> Self:
        """Raises UserError, naming the file, where one is missing, of the wrong size or damaged.

        Sizes are always checked; checksums with `verify`, and with None where there is at most a gigabyte.
        """
        manifest = read_manifest(folder / MANIFEST)
        prepared = cls(folder, manifest, load(folder / REPRESENTATION))
        if prepared.representation.record() != manifest.alphabet:
            raise _damaged(folder / REPRESENTATION, "it is not the one of the manifest")
        sizes = [path.stat().st_size for path, *_ in prepared._checked_sizes()]
        if verify or (verify is None and sum(sizes) <= VERIFY_BYTES):
            prepared.verify()
        return prepared

    def stream(self, split: SplitName) -> Stream:
        parts = [_map(path, self.representation.dtype) for path, *_ in self._shards(split)]
        table = _map(table_path(self.folder, split), np.dtype(np.uint64)).reshape(-1, 2)
        return Stream(self.representation, parts, table, self.manifest.split(split).bytes)

    def verify(self) -> None:
        """Compare every file with its checksum."""
        for path, _, sha256 in self._files():
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    raise _damaged(path, "its checksum is wrong")

    def _checked_sizes(self) -> list[tuple[Path, int, str]]:
        for path, size, _ in (files := self._files()):
            found = path.stat().st_size if path.exists() else None
            if found is None:
                raise _damaged(path, "it is missing")
            if found != size:
                raise _damaged(path, f"it has {found} bytes, not {size}")
        return files

    def _files(self) -> list[tuple[Path, int, str]]:
        """(path, bytes, SHA-256) of every data file."""
        found = []
        for name in SPLITS:
            split = self.manifest.split(name)
            table = table_path(self.folder, name)
            found += [*self._shards(name), (table, split.documents * ENTRY.size, split.table_sha256)]
        return found

    def _shards(self, split: SplitName) -> list[tuple[Path, int, str]]:
        width = self.representation.dtype.itemsize
        return [
            (self.folder / shard.name, shard.symbols * width, shard.sha256)
            for shard in self.manifest.split(split).shards
        ]


def _map(path: Path, dtype: np.dtype) -> NDArray[np.unsignedinteger]:
    """Plain array over the mapped file: slices of `np.memmap` itself cost ten times as much."""
    return np.asarray(np.memmap(path, dtype.newbyteorder("<"), "r"))


def _damaged(path: Path, what: str) -> UserError:
    return UserError(
        f"a prepared file cannot be used: {what}", where=str(path), how="remove the folder and prepare again"
    )
