"""Exact training FLOPs from configs alone: every matrix product, and nothing else.

A multiply-add is 2 FLOPs; the backward pass costs twice the forward one. Embedding look-ups, norms and
softmaxes are not counted. Attention is counted at its useful mean context; what a kernel that ignores the
mask would execute stands beside it as `attention_executed` and is no part of the total.
"""

from dataclasses import dataclass

from isobyte.config.backbone import FlatConfig
from isobyte.config.objective import Objective, Visibility

TRAINING = 3
"""Forward once, backward twice."""


@dataclass(frozen=True)
class Flops:
    """Forward FLOPs of one window."""

    blocks: float
    attention: float
    attention_executed: float
    head: float
    conditioning: float = 0.0
    recompute: float = 0.0
    patcher: float = 0.0

    @property
    def forward(self) -> float:
        return self.blocks + self.attention + self.head + self.conditioning + self.recompute + self.patcher

    @property
    def training(self) -> float:
        return TRAINING * self.forward

    def breakdown(self) -> dict[str, float]:
        """Forward FLOPs per window by name; all but `attention_executed` sum to `forward`."""
        names = ("blocks", "attention", "head", "conditioning", "recompute", "patcher", "attention_executed")
        return {name: float(getattr(self, name)) for name in names}


def mean_context(visibility: Visibility, window: int) -> float:
    """Keys that a query sees on average: (T + 1) / 2 causal, T bidirectional."""
    return (window + 1) / 2 if visibility == "causal" else float(window)


def flat_flops(shape: FlatConfig, objective: Objective, *, vocab: int, window: int) -> Flops:
    """Forward FLOPs of one window of `window` symbols through a flat backbone and its head."""
    d, kv = shape.width, shape.n_kv_heads * shape.head_dim
    per_symbol = shape.layers * (2 * (2 * d * d + 2 * d * kv) + 2 * 3 * d * shape.ffn_width)
    per_key = shape.layers * 4 * d * window
    conditioning = 0
    if objective.time_conditioning:
        conditioning = 2 * (2 * d * d + (2 * shape.layers + 1) * 2 * d * d)
    return Flops(
        blocks=window * per_symbol,
        attention=per_key * mean_context(objective.visibility, window),
        attention_executed=per_key * window,
        head=window * 2 * vocab * d,
        conditioning=conditioning,
    )
