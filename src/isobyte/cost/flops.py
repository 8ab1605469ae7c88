"""Exact training FLOPs from configs alone: every matrix product, and nothing else.

A multiply-add is 2 FLOPs; the backward pass costs twice the forward one, and what is frozen has none. Embedding
look-ups, norms, softmaxes and maxima are not counted. Attention is counted at its useful mean context; what a kernel
that ignores the mask would execute stands beside it as `attention_executed` and is no part of the total.
"""

from dataclasses import dataclass

from isobyte.config import objective as kinds
from isobyte.config.backbone import FlatConfig
from isobyte.config.objective import digit_shape
from isobyte.cost.parameters import attention_weights, ffn_weights

TRAINING = 3
"""Forward once, backward twice."""


@dataclass(frozen=True)
class Flops:
    """Forward FLOPs of one window.

    `blocks` are the products with the weights of a flat network's blocks. A Byte Latent Transformer has `encoder`,
    `latent` and `decoder` in their place, and `cross`: all that stands between bytes and patches, weights and scores.
    `cells` is all that the decoder does for the cells of masked blocks beside its text, in training (BLT-D).
    `attention` is self-attention, of every part. `patcher` is what a frozen network does to find the patches.

    `code_filter` and `code_marginals` are the products with the code table of objective `digits`: the table is a
    constant, so the filter has no backward pass at all, and the marginals one as dear as the forward one.
    """

    blocks: float
    attention: float
    attention_executed: float
    head: float
    conditioning: float = 0.0
    recompute: float = 0.0
    encoder: float = 0.0
    latent: float = 0.0
    decoder: float = 0.0
    cross: float = 0.0
    cells: float = 0.0
    cells_executed: float = 0.0
    patcher: float = 0.0
    patcher_executed: float = 0.0
    code_filter: float = 0.0
    code_marginals: float = 0.0

    @property
    def forward(self) -> float:
        return self.differentiated + self.patcher + self.code_filter + self.code_marginals

    @property
    def differentiated(self) -> float:
        """Products of two things that both have gradients."""
        parts = self.encoder + self.latent + self.decoder + self.cross + self.cells
        return self.blocks + parts + self.attention + self.head + self.conditioning + self.recompute

    @property
    def training(self) -> float:
        return TRAINING * self.differentiated + self.patcher + self.code_filter + 2 * self.code_marginals

    @property
    def training_executed(self) -> float:
        """As `training`, with attention as a kernel that ignores the mask executes it."""
        attention, patcher = self.attention_executed - self.attention, self.patcher_executed - self.patcher
        return self.training + TRAINING * (attention + self.cells_executed - self.cells) + patcher

    def breakdown(self) -> dict[str, float]:
        """Forward FLOPs per window by name; all but `attention_executed` sum to `forward`."""
        names = (
            "blocks", "encoder", "latent", "decoder", "cross", "cells", "attention", "head", "conditioning",
            "recompute", "patcher", "code_filter", "code_marginals", "attention_executed",
        )  # fmt: skip
        return {name: float(getattr(self, name)) for name in names}


@dataclass(frozen=True)
class Cells:
    """What an objective shows of a window of T symbols, on average over rows."""

    shown: float
    """Cells that go through the blocks."""
    asked: float
    """Cells that go through the head."""
    pairs: float
    """Query-key pairs that its masks let through."""
    executed: float
    """Query-key pairs that a kernel computes which ignores the mask."""


def causal_pairs(length: float, window: float | None = None) -> float:
    """Query-key pairs of `length` causal queries, each of which sees the last `window` places at most, its own too."""
    seen = length if window is None else min(window, length)
    return length * seen - seen * (seen - 1) / 2


@dataclass(frozen=True)
class Patches:
    """Complete patches M of a window, the one of BOS among them: means over rows of M and of M (M + 1) / 2."""

    count: float
    pairs: float

    @classmethod
    def of(cls, count: float) -> "Patches":
        """As many in every row."""
        return cls(count, causal_pairs(count))


def cells(objective: kinds.Objective, window: int, attention_window: int | None = None) -> Cells:
    """One cell per symbol, or two where a window is shown hidden and in clear.

    `attention_window` is the backbone's own; only objective `ar` has a use for one.
    """
    T = window
    square, two = float(T * T), 4.0 * T * T
    match objective:
        case kinds.CausalConfig():
            return Cells(T, T, causal_pairs(T, attention_window), square)
        case kinds.AnyOrderConfig():
            return Cells(T, T, causal_pairs(T), square)
        case kinds.BlockConfig():
            full, rest = divmod(T, objective.block)
            sizes = [objective.block] * full + [rest] * (rest > 0)
            within = float(sum(size * size for size in sizes))
            before = (square - within) / 2
            return Cells(2 * T, T, 2 * (within + before), two)
        case kinds.EsoConfig():
            return _eso_cells(objective, T)
        case _:
            return Cells(T, T, square, square)


def _eso_cells(objective: kinds.EsoConfig, window: int) -> Cells:
    """The expectation over the binomial number of visible symbols, v, of the two terms' own."""
    T, alpha, share = window, objective.alpha0, objective.diffusion_rows
    sequential = T * (T + 1) + (0 if objective.cached else T * (T - 1) * alpha**2)
    v = T * alpha / 2
    v_squared = v + T * (T - 1) * alpha**2 / 3
    diffusion = T + T * v - (v_squared + v) / 2 if objective.cached else float(T * T)
    return Cells(
        shown=share * T + (1 - share) * 2 * T,
        asked=T,
        pairs=share * diffusion + (1 - share) * sequential,
        executed=share * T * T + (1 - share) * 4 * T * T,
    )


def flat_flops(shape: FlatConfig, objective: kinds.Objective, *, vocab: int, window: int) -> Flops:
    """Forward FLOPs of one window of `window` symbols through a flat backbone and its head."""
    d, per_cell, per_pair = shape.width, block_products(shape), pair_products(shape)
    shown = cells(objective, window, shape.attention_window)
    conditioning = 0
    if objective.time_conditioning:
        conditioning = 2 * (2 * d * d + (2 * shape.layers + 1) * 2 * d * d)
    code_filter, code_marginals = _code_products(objective, vocab, window)
    return Flops(
        blocks=shown.shown * per_cell,
        attention=per_pair * shown.pairs,
        attention_executed=per_pair * shown.executed,
        head=shown.asked * 2 * vocab * d,
        conditioning=conditioning,
        code_filter=code_filter,
        code_marginals=code_marginals,
    )


def block_products(shape: FlatConfig) -> float:
    """Forward FLOPs of one cell with the weights of all blocks."""
    return 2 * (attention_weights(shape) + ffn_weights(shape))


def pair_products(shape: FlatConfig) -> float:
    """Forward FLOPs of one query-key pair in all blocks: its score and its share of the values."""
    return shape.layers * 4 * shape.width


def _code_products(objective: kinds.Objective, vocab: int, window: int) -> tuple[float, float]:
    if not isinstance(objective, kinds.DigitsConfig):
        return 0.0, 0.0
    digits, base = digit_shape(vocab, objective.digits)
    product = 2.0 * window * vocab * digits * base
    return product * objective.consistent, product * (objective.loss == "marginal")
