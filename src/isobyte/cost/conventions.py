# ruff: noqa: ARG001 - every rule has the same signature, and few need all of it
"""Other people's FLOP counts, to set beside the exact one; public codebases differ by up to 1.9x.

Each rule gives training FLOPs per symbol. Rules for flat networks are applied to each part of a Byte Latent
Transformer, with its own rows per byte and its own window, and know nothing of what stands between bytes and patches;
a window of attention that is shorter than the text stands in for the text. Only the exact counts include a frozen
patcher.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from isobyte.config.backbone import Backbone, FlatConfig
from isobyte.config.objective import Objective, PatchwiseConfig
from isobyte.cost.blt import block_size, cross_layers, window_patches
from isobyte.cost.flops import TRAINING, Patches, cells
from isobyte.cost.network import network_flops
from isobyte.cost.parameters import flat_parameters

FlatRule = Callable[[FlatConfig, Objective, int, float], float]


class Rule(Protocol):
    def __call__(
        self, backbone: Backbone, objective: Objective, vocab: int, window: int, patches: Patches | None = None
    ) -> float: ...


@dataclass(frozen=True)
class _Part:
    """A flat network within a backbone; `vocab` is 0 where it has no head."""

    shape: FlatConfig
    rows: float
    """Per symbol of the text."""
    window: float
    vocab: int


def _parts(backbone: Backbone, objective: Objective, vocab: int, window: int, patches: Patches | None) -> list[_Part]:
    if isinstance(backbone, FlatConfig):
        return [_Part(backbone, 1.0, min(window, backbone.attention_window or window), vocab)]
    count = (patches or window_patches(objective, backbone.patching, window)).count
    shown = window + count * block_size(objective)
    if isinstance(objective, PatchwiseConfig):
        shown, vocab = window + count - 1, vocab + 1
    parts = (
        (backbone.encoder, window, window, 0),
        (backbone.latent, count, count, 0),
        (backbone.decoder, shown, window, vocab),
    )
    return [_Part(s, rows / window, min(seen, s.attention_window or seen), head) for s, rows, seen, head in parts]


def _by_part(rule: FlatRule) -> Rule:
    """The rule for any backbone."""

    def whole(
        backbone: Backbone, objective: Objective, vocab: int, window: int, patches: Patches | None = None
    ) -> float:
        parts = _parts(backbone, objective, vocab, window, patches)
        return sum(part.rows * rule(part.shape, objective, part.vocab, part.window) for part in parts)

    whole.__doc__ = rule.__doc__
    return whole


def _n(shape: FlatConfig, objective: Objective, vocab: int) -> int:
    return flat_parameters(shape, objective, vocab=vocab).N


def exact(backbone: Backbone, objective: Objective, vocab: int, window: int, patches: Patches | None = None) -> float:
    """Every matrix product, attention at its useful mean context, head and frozen patcher included."""
    return network_flops(backbone, objective, vocab=vocab, window=window, patches=patches).training / window


def exact_no_patcher(
    backbone: Backbone, objective: Objective, vocab: int, window: int, patches: Patches | None = None
) -> float:
    """As `exact`, without what finds the patches: it can be done once for any number of runs."""
    flops = network_flops(backbone, objective, vocab=vocab, window=window, patches=patches)
    return (flops.training - flops.patcher) / window


def executed(
    backbone: Backbone, objective: Objective, vocab: int, window: int, patches: Patches | None = None
) -> float:
    """As `exact`, with attention over the full window whatever the mask."""
    flops = network_flops(backbone, objective, vocab=vocab, window=window, patches=patches)
    return flops.training_executed / window


def six_n(shape: FlatConfig, objective: Objective, vocab: int, window: float) -> float:
    """6 N without embeddings and head (SMDM, arXiv 2410.18514)."""
    return 6 * _n(shape, objective, vocab)


def six_n_head(shape: FlatConfig, objective: Objective, vocab: int, window: float) -> float:
    """6 N with the head (Hoffmann et al., arXiv 2203.15556, as read by Porian et al., arXiv 2406.19146)."""
    return 6 * (_n(shape, objective, vocab) + vocab * shape.width)


def six_n_attention(shape: FlatConfig, objective: Objective, vocab: int, window: float) -> float:
    """6 N with the head plus 6 T d per layer of attention (Porian et al., arXiv 2406.19146)."""
    return six_n_head(shape, objective, vocab, window) + 6 * window * shape.width * shape.layers


def deepseek(shape: FlatConfig, objective: Objective, vocab: int, window: float) -> float:
    """72 L d^2 + 12 L d T (DeepSeek LLM, arXiv 2401.02954)."""
    return 72 * shape.layers * shape.width**2 + 12 * shape.layers * shape.width * window


def gidd(shape: FlatConfig, objective: Objective, vocab: int, window: float) -> float:
    """Per-layer products with a softmax term, head once (GIDD+, arXiv 2512.10858)."""
    d, s, h = shape.width, window, shape.heads
    block = 6 * d * d + 2 * d * s + 3 * h * s + 2 * s * d + 2 * d * d + 16 * d * d
    return 3 * (shape.layers * block + 2 * vocab * d)


def blt(shape: FlatConfig, objective: Objective, vocab: int, window: float) -> float:
    """6 N plus 3.5 x attention, halved where causal (the BLT code base's rule, arXiv 2412.09871)."""
    halved = cells(objective, math.ceil(window)).pairs < window * window
    attention = 4 * shape.layers * window * shape.width / (2 if halved else 1)
    return 6 * _n(shape, objective, vocab) + 3.5 * attention


def blt_paper(
    backbone: Backbone, objective: Objective, vocab: int, window: int, patches: Patches | None = None
) -> float:
    """The formula of the Byte Latent Transformer's paper (arXiv 2412.09871, 4.5 and its appendix).

    Its FFN is two matrices of four times the width, whatever the shape's own; self-attention sees half of its context;
    what finds the patches is not counted.
    """
    parts = _parts(backbone, objective, vocab, window, patches)
    forward = sum(part.rows * _paper_transformer(part.shape, part.window, part.vocab) for part in parts)
    if not isinstance(backbone, FlatConfig):
        pools, reads = cross_layers(backbone)
        k, mean = backbone.latents, 1 / parts[1].rows
        forward += _paper_cross(backbone.encoder.width, pools, mean, mean / k) * k / mean
        rows = parts[2].rows  # queries; cells of blocks, of which the paper does not speak, are more of them
        forward += rows * _paper_cross(backbone.decoder.width, reads, k, k / mean / rows)
    return TRAINING * forward


def _paper_transformer(shape: FlatConfig, context: float, vocab: int) -> float:
    d, layers = shape.width, shape.layers
    return layers * 16 * d * d + _paper_cross(d, layers, context, 1.0) + 2 * d * vocab


def _paper_cross(width: int, layers: int, context: float, ratio: float) -> float:
    """Attention over `context` keys, of which `ratio` are projected per query."""
    return layers * (4 * width * (context + 1) / 2 + (2 * ratio + 2) * 2 * width * width)


CONVENTIONS: dict[str, Rule] = {
    "exact": exact, "executed": executed, "exact-no-patcher": exact_no_patcher, "6N": _by_part(six_n),
    "6N+head": _by_part(six_n_head), "6N+attention": _by_part(six_n_attention), "deepseek": _by_part(deepseek),
    "gidd": _by_part(gidd), "blt": _by_part(blt), "blt-paper": blt_paper,
}  # fmt: skip
