"""What patches come out as, and the threshold that gives them a wanted mean length."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from isobyte.backbone.byte_ids import ids_of
from isobyte.backbone.patching.patcher import Patcher
from isobyte.backbone.patching.rules import opens, rows_of
from isobyte.config.patching import EntropyPatching
from isobyte.data.stream import Stream
from isobyte.data.window import TrainWindows
from isobyte.errors import UserError

_AT_ONCE = 1 << 14
"""Bytes that a scorer is shown at once."""

_NEARLY = 1.05


@dataclass(frozen=True)
class PatchStatistics:
    """Patches of windows, each seen as far as its bytes reach; the beginning's own patch is left out."""

    rows: int
    bytes: int
    patches: int
    histogram: dict[int, int]
    """Patches by their length in bytes."""
    closed_by_cap: int
    """Patches that the rule alone would have gone on with."""

    @property
    def mean_length(self) -> float:
        return self.bytes / self.patches

    @property
    def share_closed_by_cap(self) -> float:
        return self.closed_by_cap / self.patches


def patch_statistics(starts_BT: Tensor, uncapped_BT: Tensor | None = None) -> PatchStatistics:
    """Of `Patcher.starts` [B, T + 1], whose first column is the beginning; `uncapped_BT`: the same without a cap."""
    bits = starts_BT[:, 1:].cpu()
    # the end of a row closes its last patch
    following = torch.cat((bits[:, 1:], torch.ones_like(bits[:, :1])), 1)
    places = torch.arange(bits.shape[1]).expand_as(bits)
    lengths = places[following] - places[bits] + 1
    values, counts = lengths.unique(return_counts=True)
    closed = 0 if uncapped_BT is None else int((bits & ~uncapped_BT[:, 1:].cpu()).sum())
    histogram = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return PatchStatistics(len(bits), bits.numel(), len(lengths), histogram, closed)


def uncapped_starts(patcher: Patcher, ids_BT: Tensor, entropy_BT: Tensor | None) -> Tensor:
    """As `Patcher.starts_by`, whatever the greatest length."""
    threshold, rise = getattr(patcher, "threshold", None), getattr(patcher, "rise", None)
    found = opens(patcher.config, rows_of(ids_BT, entropy_BT), threshold, rise, documents=patcher.documents)
    return torch.cat((torch.ones_like(found[:, :1]), found), 1)


def warning(statistics: PatchStatistics) -> str | None:
    """What is wrong with patches that are all bytes, or whole windows; None where nothing is."""
    found = f"patches have {statistics.mean_length:.2f} bytes on average"
    if statistics.mean_length < _NEARLY:
        return f"{found}: nearly every byte is a patch, and a latent transformer saves nothing; raise the threshold"
    if statistics.patches < _NEARLY * statistics.rows:
        return f"{found}: nearly every window is one patch, and the latent transformer sees none; lower the threshold"
    return None


def training_ids(stream: Stream, window: int, count: int = 256) -> Tensor:
    """[N, window]: what a network is shown of the first `count` training windows, the beginning first."""
    windows = TrainWindows(stream, window, seed=0)
    x_NT = torch.from_numpy(windows.batch(0, min(count, windows.per_epoch)))
    return ids_of(torch.cat((torch.full_like(x_NT[:, :1], 256), x_NT[:, :-1]), 1))


def entropies(patcher: Patcher, ids_NT: Tensor) -> Tensor:
    """`Patcher.entropies` of many windows, some at a time."""
    rows = max(1, _AT_ONCE // ids_NT.shape[1])
    parts = [patcher.entropies(part.to(patcher.device)) for part in ids_NT.split(rows)]
    return torch.cat([part for part in parts if part is not None])


def decisive(patcher: Patcher) -> Tensor | None:
    """The threshold that a mean length decides, or None for a rule without one."""
    if not isinstance(patcher.config, EntropyPatching):
        return None
    return patcher.rise if patcher.config.rule == "monotonic" else patcher.threshold


@torch.no_grad()
def calibrate(patcher: Patcher, ids_NT: Tensor, entropy_NT: Tensor | None = None) -> None:
    """Set the patcher's open threshold (NaN) so that patches of `ids_NT`, the beginning first, have its `mean_length`.

    The mean counts the bytes after the beginning, with the one to come, and holds the greatest length to be in
    force. It only grows with the threshold, so the best one is found by bisection on the values that occur; the scorer
    runs once. Does nothing where no threshold is open. Raises UserError for a mean that no threshold gives.
    """
    open_, config = decisive(patcher), patcher.config
    if open_ is None or not bool(open_.isnan()):
        return
    assert isinstance(config, EntropyPatching)
    assert config.mean_length is not None
    ids_NT = ids_NT.to(open_.device)
    entropy_NT = entropies(patcher, ids_NT) if entropy_NT is None else entropy_NT.to(open_.device)
    rows = rows_of(ids_NT, entropy_NT)
    assert rows.entropy_before is not None
    asked = entropy_NT if open_ is patcher.threshold else entropy_NT - rows.entropy_before
    values = asked[:, 1:].unique()
    # between two values that occur, so that rounding does not matter; the ends stand for all and for nothing
    middles = (values[:-1].double() + values[1:].double()) / 2
    candidates = torch.cat((values[:1] - 1, middles.to(values), values[-1:] + 1))

    def mean(index: int) -> float:
        open_.copy_(candidates[index])
        opened = patcher.starts_by(ids_NT, entropy_NT)[:, 1:]
        return opened.numel() / int(opened.sum())

    best = _closest(mean, len(candidates), config.mean_length)
    open_.fill_(float("nan"))
    if best is None:
        least, most = mean(0), mean(len(candidates) - 1)
        open_.fill_(float("nan"))
        raise UserError(
            f"{config.mean_length:g} bytes per patch cannot be had: here patches have {least:.3g} to {most:.3g} bytes",
            where="mean_length",
            how="take a mean between these" + (", or a greater max_length" if config.max_length else ""),
        )
    open_.copy_(candidates[best])


def _closest(mean: Callable[[int], float], count: int, target: float) -> int | None:
    """The index in 0..count-1 whose mean, which only grows, is closest to `target`; None where it is out of reach."""
    low, high = 0, count - 1
    slack = 1e-6 * target
    if not mean(low) - slack <= target <= mean(high) + slack:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if mean(middle) < target else (low, middle)
    return min((low, high), key=lambda index: abs(mean(index) - target))
