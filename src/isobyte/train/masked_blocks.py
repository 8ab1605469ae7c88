"""How well a network fills masked blocks of held-out text, in training's layout and in those of generation.

(BLT-D, arXiv 2605.08044.) For a block that begins with a patch the two are one function: a network that does better in
training sees what it is to guess. A block that begins amid a patch, as most do in generation, has no counterpart there.
Accuracy is that of the likeliest byte; nats are the training loss's, a surrogate and no likelihood of the text.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.byte_ids import OFFSET
from isobyte.data.stream import Stream
from isobyte.train.block_layouts import (
    Sample,
    Shown,
    as_trained,
    cells_of,
    draw_sample,
    greedily,
    in_generation,
    mask_counts,
)

WINDOWS, PLACES = 16, 32


@dataclass(frozen=True)
class Mean:
    """Over `count` cells or blocks. The standard error is that of the text's sampling, by windows; None for one."""

    count: int
    mean: float | None
    stderr: float | None

    @classmethod
    def of(cls, values: Tensor, picked: Tensor) -> "Mean":
        """Of `values` where `picked`, both [W, ...]."""
        values_WX, picked_WX = values.double().flatten(1), picked.flatten(1)
        sums_W, counts_W = (values_WX * picked_WX).sum(1), picked_WX.sum(1)
        windows, count = len(sums_W), int(counts_W.sum())
        if not count:
            return cls(0, None, None)
        mean = float(sums_W.sum()) / count
        residual = float((sums_W - mean * counts_W).square().sum())
        return cls(count, mean, math.sqrt(residual * windows / (windows - 1)) / count if windows > 1 else None)


@dataclass(frozen=True)
class Guesses:
    """Of hidden cells: was the likeliest byte the right one, and what did the right one cost?"""

    accuracy: Mean
    surrogate_nats: Mean

    @classmethod
    def of(cls, right: Tensor, nats: Tensor, picked: Tensor) -> "Guesses":
        return cls(Mean.of(right, picked), Mean.of(nats, picked))


@dataclass(frozen=True)
class Layout:
    """Blocks shown in one way; but for `by_rate` with every cell hidden that is not given.

    Lists go by position, counted from the end of the text that the block follows.
    """

    by_rate: dict[str, Guesses]
    """By the share of cells that are hidden, rounded up to whole ones."""
    patch_final: list[Guesses]
    """Bytes with which a patch ends."""
    patch_inner: list[Guesses]
    """Bytes after which their patch goes on."""
    agreement: list[Mean]
    """Is the likeliest byte the one that greedy decoding of the same weights has there?"""
    agreed_prefix: Mean
    """Bytes of a block before the first on which they differ."""
    greedy_accuracy: list[Mean]
    """What greedy decoding has right there: the measure of how hard these bytes are."""


@dataclass(frozen=True)
class MaskedBlocks:
    """Layouts: `training`, beside the text; `aligned`, the same blocks in generation; `amid`, such as begin amid a
    patch and read the latent of what there is of it; `resumed`, at the same places, from where the open patch began,
    its bytes so far given (where that leaves nothing to guess, as `amid`)."""

    block: int
    windows: int
    seed: int
    layouts: dict[str, Layout]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@torch.inference_mode()
def masked_blocks(
    model: BltModel, stream: Stream, window: int, size: int, seed: int, *, windows: int = WINDOWS, places: int = PLACES
) -> MaskedBlocks | None:
    """Of blocks of `size` cells at `places` places in each of `windows` windows, evenly spaced over `stream`, none of
    which overlap; None where a window has no room for a block."""
    length = min(window, len(stream))
    if length <= size:
        return None
    begins = np.linspace(0, len(stream) - length, min(windows, len(stream) // length)).astype(np.int64).tolist()
    x_WT = np.stack([stream.read(begin, begin + length) for begin in begins]).astype(np.int64)
    sample = draw_sample(model, torch.from_numpy(x_WT).to(model.device), size, places, seed)
    greedy_WNK, aligned_WN = greedily(model, sample), sample.aligned_WN
    here, resumed = (in_generation(model, sample, begin) for begin in ("here", "patch"))
    layouts = {
        "training": layout(sample, as_trained(model, sample), greedy_WNK, aligned_WN),
        "aligned": layout(sample, here, greedy_WNK, aligned_WN),
        "amid": layout(sample, here, greedy_WNK, ~aligned_WN),
        "resumed": layout(sample, resumed, greedy_WNK, ~aligned_WN),
    }
    return MaskedBlocks(size, len(begins), seed, layouts)


def layout(sample: Sample, shown: Shown, greedy_WNK: Tensor, picked_WN: Tensor) -> Layout:
    """What the picked blocks of a layout come to."""
    size = greedy_WNK.shape[2]
    truth_WNK = cells_of(sample.ids_WT, shown.begin_WN, size) - OFFSET
    position_WNK = torch.arange(size, device=truth_WNK.device) - shown.known_WN[..., None]
    greedy_WNK = greedy_WNK.gather(2, position_WNK.clamp(min=0))
    right = shown.guess_WRNK == truth_WNK[:, None]
    asked = shown.hidden_WRNK & picked_WN[:, None, :, None]
    at_rates = zip(*(each.unbind(1) for each in (right, shown.nats_WRNK, asked)), strict=True)
    by_rate = {
        f"{count / size:.3g}": Guesses.of(*each) for count, each in zip(mask_counts(size), at_rates, strict=True)
    }
    guess_WNK, nats_WNK, right_WNK = shown.guess_WRNK[:, -1], shown.nats_WRNK[:, -1], right[:, -1]
    at = [asked[:, -1] & (position_WNK == position) for position in range(size)]
    final_WNK = cells_of(sample.starts, shown.begin_WN + 1, size)
    alike_WNK = guess_WNK == greedy_WNK
    prefix_WN = (alike_WNK | (position_WNK < 0)).cumprod(2).sum(2) - shown.known_WN
    return Layout(
        by_rate,
        patch_final=[Guesses.of(right_WNK, nats_WNK, here & final_WNK) for here in at],
        patch_inner=[Guesses.of(right_WNK, nats_WNK, here & ~final_WNK) for here in at],
        agreement=[Mean.of(alike_WNK, here) for here in at],
        agreed_prefix=Mean.of(prefix_WN, picked_WN),
        greedy_accuracy=[Mean.of(greedy_WNK == truth_WNK, here) for here in at],
    )
