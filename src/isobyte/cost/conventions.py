# ruff: noqa: ARG001 - every rule has the same signature, and few need all of it
"""Other people's FLOP counts, to set beside the exact one; public codebases differ by up to 1.9x.

Each rule gives training FLOPs per symbol.
"""

from collections.abc import Callable

from isobyte.config.backbone import FlatConfig
from isobyte.config.objective import Objective
from isobyte.cost.flops import TRAINING, cells, flat_flops
from isobyte.cost.parameters import flat_parameters

Rule = Callable[[FlatConfig, Objective, int, int], float]


def _n(shape: FlatConfig, objective: Objective, vocab: int) -> int:
    return flat_parameters(shape, objective, vocab=vocab).N


def exact(shape: FlatConfig, objective: Objective, vocab: int, window: int) -> float:
    """Every matrix product, attention at its useful mean context, head included."""
    return flat_flops(shape, objective, vocab=vocab, window=window).training / window


def executed(shape: FlatConfig, objective: Objective, vocab: int, window: int) -> float:
    """As `exact`, with attention over the full window whatever the mask."""
    flops = flat_flops(shape, objective, vocab=vocab, window=window)
    return (flops.training + TRAINING * (flops.attention_executed - flops.attention)) / window


def six_n(shape: FlatConfig, objective: Objective, vocab: int, window: int) -> float:
    """6 N without embeddings and head (SMDM, arXiv 2410.18514)."""
    return 6 * _n(shape, objective, vocab)


def six_n_head(shape: FlatConfig, objective: Objective, vocab: int, window: int) -> float:
    """6 N with the head (Hoffmann et al., arXiv 2203.15556, as read by Porian et al., arXiv 2406.19146)."""
    return 6 * (_n(shape, objective, vocab) + vocab * shape.width)


def six_n_attention(shape: FlatConfig, objective: Objective, vocab: int, window: int) -> float:
    """6 N with the head plus 6 T d per layer of attention (Porian et al., arXiv 2406.19146)."""
    return six_n_head(shape, objective, vocab, window) + 6 * window * shape.width * shape.layers


def deepseek(shape: FlatConfig, objective: Objective, vocab: int, window: int) -> float:
    """72 L d^2 + 12 L d T (DeepSeek LLM, arXiv 2401.02954)."""
    return 72 * shape.layers * shape.width**2 + 12 * shape.layers * shape.width * window


def gidd(shape: FlatConfig, objective: Objective, vocab: int, window: int) -> float:
    """Per-layer products with a softmax term, head once (GIDD+, arXiv 2512.10858)."""
    d, s, h = shape.width, window, shape.heads
    block = 6 * d * d + 2 * d * s + 3 * h * s + 2 * s * d + 2 * d * d + 16 * d * d
    return 3 * (shape.layers * block + 2 * vocab * d)


def blt(shape: FlatConfig, objective: Objective, vocab: int, window: int) -> float:
    """6 N plus 3.5 x attention, halved where causal (the BLT code base's rule, arXiv 2412.09871)."""
    halved = cells(objective, window).pairs < window * window
    attention = 4 * shape.layers * window * shape.width / (2 if halved else 1)
    return 6 * _n(shape, objective, vocab) + 3.5 * attention


CONVENTIONS: dict[str, Rule] = {
    "exact": exact, "executed": executed, "6N": six_n, "6N+head": six_n_head, "6N+attention": six_n_attention,
    "deepseek": deepseek, "gidd": gidd, "blt": blt,
}  # fmt: skip
