"""Patches of a prepared corpus: one bit per byte, stored beside its shards, a folder for each patcher."""

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from isobyte.backbone.patching.document import document_bits
from isobyte.backbone.patching.patcher import Patcher
from isobyte.config.base import Config
from isobyte.config.patching import EntropyPatching, FlatScorer
from isobyte.data.heldout import SPLITS, SplitName
from isobyte.data.prepared import Prepared
from isobyte.data.stream import Stream
from isobyte.errors import UserError
from isobyte.files import write_atomic, write_json

MANIFEST = "patches.json"


def patcher_hash(patcher: Patcher) -> str:
    """What decides its patches: the rule, thresholds and the scorer's weights, not how they were come by."""
    rule = patcher.config.model_dump(mode="json")
    rule.pop("mean_length", None)
    for name in ("threshold", "rise", "scorer"):  # these are among the tensors
        rule.pop(name, None)
    digest = hashlib.sha256(repr((sorted(rule.items()), patcher.documents)).encode())
    if isinstance(patcher.config, EntropyPatching) and isinstance(patcher.config.scorer, FlatScorer):
        digest.update(patcher.config.scorer.shape.canonical_json().encode())
    for name, value in sorted(patcher.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def patches_folder(folder: Path, patcher: str) -> Path:
    """Where a prepared folder has the bits of the patcher with this hash: never another's, so they never change."""
    return folder / "patches" / patcher


class PatchFile(Config):
    """Bits of one shard: eight to a byte, the first in the highest place."""

    name: str
    symbols: int
    patches: int
    sha256: str


class PatchManifest(Config):
    """Written last: where it is, the bits are whole."""

    format: Literal[1] = 1
    patcher_hash: str
    train: tuple[PatchFile, ...]
    heldout: tuple[PatchFile, ...]

    def split(self, name: SplitName) -> tuple[PatchFile, ...]:
        return self.train if name == "train" else self.heldout


def store_patches(
    patcher: Patcher, prepared: Prepared, progress: Callable[[int], None] = lambda _bytes: None
) -> PatchManifest:
    """Write which byte of every document opens a patch beside the shards of a prepared folder, and tell of it.

    `progress` is told of bytes done. Raises UserError for a folder of symbols other than bytes, and where documents
    are too long for the scorer.
    """
    check_bytes(prepared)
    name = patcher_hash(patcher)
    folder = patches_folder(prepared.folder, name)
    folder.mkdir(parents=True, exist_ok=True)
    done, found = 0, {}
    for split in SPLITS:
        stream, shards = prepared.stream(split), prepared.manifest.split(split).shards

        def documents(stream: Stream = stream) -> Iterator[NDArray[np.bool_]]:
            nonlocal done
            for start, stop in pairwise([*stream.table[:, 0].tolist(), len(stream)]):
                bits = document_bits(patcher, stream.read(start, stop))
                done += stop - start
                progress(done)
                yield bits

        whole = _in_parts(documents(), [shard.symbols for shard in shards])
        found[split] = tuple(_write(folder, shard.name, bits) for shard, bits in zip(shards, whole, strict=True))
    manifest = PatchManifest(patcher_hash=name, **found)
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    return manifest


def _in_parts(arrays: Iterable[NDArray[np.bool_]], sizes: Sequence[int]) -> Iterator[NDArray[np.bool_]]:
    """The same values in arrays of other sizes."""
    pending, have, arrays = [], 0, iter(arrays)
    for size in sizes:
        while have < size:
            pending.append(next(arrays))
            have += len(pending[-1])
        joined = np.concatenate(pending) if pending else np.empty(0, np.bool_)
        pending, have = [joined[size:].copy()], have - size
        yield joined[:size]


def check_bytes(prepared: Prepared) -> None:
    """Raises UserError where the symbols are no bytes."""
    if prepared.manifest.representation.kind != "bytes":
        raise UserError(
            f"it holds {prepared.manifest.representation.kind} symbols, and patches are of bytes",
            where=str(prepared.folder),
            how="prepare the corpus as bytes",
        )


def _write(folder: Path, shard: str, bits: NDArray[np.bool_]) -> PatchFile:
    packed, name = np.packbits(bits).tobytes(), Path(shard).with_suffix(".patches").name
    write_atomic(folder / name, packed)
    return PatchFile(name=name, symbols=len(bits), patches=int(bits.sum()), sha256=hashlib.sha256(packed).hexdigest())


@dataclass(frozen=True)
class StoredPatches:
    """The bits that one patcher gave a prepared folder."""

    folder: Path
    manifest: PatchManifest

    @classmethod
    def open(cls, prepared: Path, patcher: str) -> Self:
        """Those of the patcher with this hash. Raises UserError where there are none, or where one is damaged."""
        folder = patches_folder(prepared, patcher)
        try:
            manifest = PatchManifest.model_validate_json((folder / MANIFEST).read_bytes())
        except OSError:
            how = "run `isobyte data patches RULE --store FOLDER`"
            raise UserError(f"no stored patches of patcher {patcher}", where=str(prepared), how=how) from None
        except ValidationError as problem:
            raise _damaged(folder / MANIFEST, problem.errors()[0]["msg"]) from None
        for file in (*manifest.train, *manifest.heldout):
            path = folder / file.name
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
                raise _damaged(path, "it is missing, or its checksum is wrong")
        return cls(folder, manifest)

    @functools.cached_property
    def _packed(self) -> dict[str, NDArray[np.uint8]]:
        """Every file, mapped: to open it anew for each row would cost more than to read it."""
        files = (*self.manifest.train, *self.manifest.heldout)
        return {
            file.name: np.asarray(np.memmap(self.folder / file.name, np.uint8, "r")) for file in files if file.symbols
        }

    def read(self, split: SplitName, start: int, stop: int) -> NDArray[np.bool_]:
        """[stop - start]: does each of the split's symbols open a patch in its document? Cut off at the end."""
        found, first = [np.empty(0, np.bool_)], 0
        for file in self.manifest.split(split):
            low, high = max(start - first, 0), min(stop - first, file.symbols)
            if low < high:
                packed = self._packed[file.name][low // 8 : -(-high // 8)]
                found.append(np.unpackbits(packed)[low % 8 : low % 8 + high - low].astype(np.bool_))
            first += file.symbols
        return np.concatenate(found)


def _damaged(path: Path, what: str) -> UserError:
    how = "remove their folder, and they are made again"
    return UserError(f"stored patches cannot be used: {what}", where=str(path), how=how)
