"""What a run's rows are cut from, and what a step of them has used."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.patching.corpus import MANIFEST, StoredPatches, patcher_hash, patches_folder, store_patches
from isobyte.backbone.patching.patcher import Patcher
from isobyte.config.run import RunConfig
from isobyte.cost.flops import Patches
from isobyte.cost.network import network_flops
from isobyte.data.patch_window import PatchRows, PatchWindows
from isobyte.data.prepared import Prepared
from isobyte.data.window import TrainWindows
from isobyte.objective.network import Model
from isobyte.representation import Representation
from isobyte.train.shared import alone
from isobyte.train.step import StepResult

Rows = NDArray[np.int64] | PatchRows
"""Rows of symbols [N, T], all of one length or padded."""


def training_windows(
    config: RunConfig, prepared: Prepared, model: Model, report: Callable[[dict[str, Any]], None]
) -> TrainWindows | PatchWindows:
    """The run's endless rows: windows of as many symbols each, or of as many patches each."""
    train, stream = config.train, prepared.stream("train")
    if train.patches is None:
        return TrainWindows(stream, train.window, train.seed)
    assert isinstance(model, BltModel)
    stored = stored_patches(model.patcher, prepared, report)
    opens = functools.partial(stored.read, "train")
    return PatchWindows(stream, opens, patches=train.patches, longest=train.window, seed=train.seed)


def stored_patches(patcher: Patcher, prepared: Prepared, report: Callable[[dict[str, Any]], None]) -> StoredPatches:
    """The patcher's bits of a prepared folder, found where no run has found them before; others wait for it."""
    name = patcher_hash(patcher)
    whole = prepared.manifest.train.bytes + prepared.manifest.heldout.bytes
    with alone(prepared, f"patches-{name}"):
        if not (patches_folder(prepared.folder, name) / MANIFEST).exists():
            store_patches(patcher, prepared, lambda done: report({"phase": "patches", "bytes": done, "of": whole}))
    return StoredPatches.open(prepared.folder, name)


def part_of(rows: Rows, start: int, stop: int) -> Rows:
    """Some of the rows."""
    return rows.part(start, stop) if isinstance(rows, PatchRows) else rows[start:stop]


@dataclass(frozen=True)
class Used:
    flops: float
    symbols: int
    bytes: int


class Meter:
    """Counts what steps use: symbols that are predicted, the bytes behind them, and FLOPs; padding is no part of it.

    A row of patches is counted at its own length and number of patches. The patcher is counted as if it had run, though
    what it found is stored: once for every byte, whatever the packing.
    """

    def __init__(self, config: RunConfig, representation: Representation) -> None:
        self.config, self.representation = config, representation
        self.flops = functools.lru_cache(maxsize=1 << 14)(self._flops)

    def used(self, rows: Rows, outcome: StepResult) -> Used:
        """By one step with these rows, all ranks' together."""
        if isinstance(rows, PatchRows):
            counts_N = rows.starts[:, 1:].sum(1).tolist()
            flops = sum(map(self.flops, rows.length_N.tolist(), counts_N))
            symbols = int(rows.length_N.sum())
            return Used(flops, symbols, symbols)
        rows = rows[:, : outcome.length]
        batch = len(rows)
        flops = self.flops(outcome.length, outcome.patches / batch, outcome.patch_pairs / batch) * batch
        return Used(flops, rows.size, int(self.representation.count_bytes(rows).sum()))

    def _flops(self, length: int, patches: float, pairs: float | None = None) -> float:
        """To train on one window; it has 0 `patches` in a network of symbols, and as many `pairs` of them as these make
        where none are given."""
        grouped = None
        if patches:
            grouped = Patches.of(patches) if pairs is None else Patches(patches, pairs)
        config, vocab = self.config, self.representation.vocab_size
        return network_flops(config.backbone, config.objective, vocab=vocab, window=length, patches=grouped).training
