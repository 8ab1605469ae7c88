"""What is predicted from what: the training objectives."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from isobyte.config.base import Config
from isobyte.config.schedule import CosineSchedule, LinearSchedule, PolynomialSchedule, Schedule
from isobyte.config.spans import FixedSpans, Spans

__all__ = [
    "AnyOrderConfig", "ArConfig", "BlockConfig", "BltDiffusionConfig", "CausalConfig", "CosineSchedule",
    "DigitsConfig", "EsoConfig", "LinearSchedule", "MaskedConfig", "Objective", "PatchArConfig", "PatchMaskedConfig",
    "PatchwiseConfig", "PolynomialSchedule", "Schedule",
    "SpanConfig", "digit_shape",
]  # fmt: skip

Range = tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(gt=0, le=1)]]


class _Objective(Config):
    @property
    def time_conditioning(self) -> bool:
        """Whether the network is told the mask rate."""
        return False

    @property
    def random_length(self) -> float:
        """Share of steps whose windows are cut to a uniform random length."""
        return 0.0


class CausalConfig(_Objective):
    """A network that is trained, perhaps among other things, to predict every symbol from those before it."""


class ArConfig(CausalConfig):
    """Autoregression: every symbol from those before it; the first from BOS alone."""

    kind: Literal["ar"] = "ar"


class BltDiffusionConfig(CausalConfig):
    """Autoregression, and beside it masked diffusion of the block that begins with each patch (BLT-D, 2605.08044).

    For backbone `blt`. Its likelihood is autoregression's; the masked loss is a surrogate, and no part of it.
    """

    kind: Literal["blt_diffusion"] = "blt_diffusion"
    block: PositiveInt = 4
    """Bytes of a block, in training and in generation."""
    lambda_mask: float = Field(default=1.0, ge=0)
    """Weight of the masked loss. Both losses are sums, divided by the bytes of the batch; at 1 each cell of a block
    counts on average as much as a byte of the text."""
    t_min: float = Field(default=1e-3, gt=0, lt=1)
    """Training draws the mask probability from this to 1, one per window; its loss has weight 1 / t."""


class PatchwiseConfig(_Objective):
    """Whole patches are hidden and revealed: a patch is its bytes, one after the other, and an end.

    For backbone `blt`, whose latent transformer sees the patches that are there. A small causal decoder is told the
    latent, and says the bytes and where they end: lengths are paid for.
    """


class PatchMaskedConfig(PatchwiseConfig):
    """Masked diffusion of patches: a latent transformer that looks both ways, a coin for each patch.

    What is hidden has no length: only the number of a window's patches is known, and paid for.
    """

    kind: Literal["patch_masked"] = "patch_masked"
    schedule: Schedule = LinearSchedule()


class PatchArConfig(PatchwiseConfig):
    """The same network from left to right, every patch from those before it: what `patch_masked` is held against."""

    kind: Literal["patch_ar"] = "patch_ar"


class MaskedConfig(Config):
    """Absorbing masked diffusion, SUBS parameterisation (MDLM, arXiv 2406.07524)."""

    kind: Literal["masked"] = "masked"
    schedule: Schedule = LinearSchedule()
    time_conditioning: bool = False
    random_length: float = Field(default=0.0, ge=0, le=1)
    """Share of steps whose windows are cut to a uniform random length (SMDM, arXiv 2410.18514: 0.01)."""
    weighting: Literal["bound", "uniform"] = "bound"
    """What training minimises: the bound, or every masked symbol's cost at weight one. Evaluation knows no weights."""
    clip: Range = (0.0, 1.0)
    """Training draws t from this range alone. Evaluation covers all of it."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        return _checked(self, self.clip)


class SpanConfig(_Objective):
    """Masked diffusion that hides and reveals whole spans, a coin each."""

    kind: Literal["span"] = "span"
    spans: Spans = FixedSpans()
    schedule: Schedule = LinearSchedule()


class BlockConfig(_Objective):
    """Block diffusion: blocks from left to right, masked diffusion inside each (BD3-LM, arXiv 2503.09573).

    Block size 1 hides every symbol at every step and is exact; a block as long as the window is `masked`.
    """

    kind: Literal["block"] = "block"
    block: PositiveInt = 16
    """Symbols; the last block of a window may be shorter."""
    clip: Range = (0.0, 1.0)
    """Training draws each block's mask probability from this range alone. Evaluation covers all of it."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        return _checked(self, self.clip)


class AnyOrderConfig(_Objective):
    """Causal in a shuffled order; each input knows its own position and the next one's (sigma-GPT, 2404.09562)."""

    kind: Literal["any_order"] = "any_order"
    within: PositiveInt | None = None
    """Orders go from left to right by stretches of so many symbols, and are random inside them: 1 is autoregression,
    None any order at all."""


class EsoConfig(_Objective):
    """Masked diffusion of a share `alpha0` of the symbols, then the rest from left to right (Eso-LM, 2506.01928)."""

    kind: Literal["eso"] = "eso"
    alpha0: float = Field(default=0.5, ge=0, le=1)
    """0 is autoregression, 1 masked diffusion."""
    cached: bool = True
    """Variant B: what is visible sees only what was revealed before it, so caches are exact. False: variant A."""

    @property
    def diffusion_rows(self) -> float:
        """Share of a batch's rows that train the diffusion term; the others train the sequential one."""
        return {0.0: 0.0, 1.0: 1.0}.get(self.alpha0, 0.5)


class DigitsConfig(_Objective):
    """Masked diffusion of the base-b digits of each symbol (MDM-Prime, 2505.18495; Prime-v2, 2603.16077).

    The published loss, `joint`, is a surrogate and no bound; what is evaluated is always a bound.
    """

    kind: Literal["digits"] = "digits"
    digits: PositiveInt | None = None
    """Digits per symbol, in the smallest base that holds the alphabet; None means binary."""
    shuffle: bool = True
    """Whether symbols are numbered in a random order before they are written in digits (Prime-v2)."""
    shuffle_seed: int = Field(default=0, ge=0)
    merge: Literal["sum", "cat", "cat-share"] = "sum"
    """Digit embeddings added; or side by side, a table per digit; or side by side, one table."""
    loss: Literal["joint", "marginal", "symbol"] = "marginal"
    """Training: the published joint cross-entropy, digit marginals (a bound), or whole symbols hidden (a bound)."""
    chunk: Annotated[float, Field(gt=0, lt=1)] | None = None
    """With `joint`: above this t all digits of a symbol share one coin (the released recipe: 0.5)."""
    consistent: bool = True
    """Symbols that contradict a visible digit get no probability."""
    schedule: Schedule = LinearSchedule()

    @model_validator(mode="after")
    def _chunk_is_joint(self) -> Self:
        if self.chunk is not None and self.loss != "joint":
            raise ValueError(f"chunk belongs to loss 'joint', not {self.loss!r}")
        return self


def digit_shape(vocab: int, digits: int | None) -> tuple[int, int]:
    """(digits, base): the smallest base whose `digits` digits hold `vocab` symbols; binary when None."""
    if vocab < 2:
        return digits or 1, 2
    if digits is None:
        return (vocab - 1).bit_length(), 2
    base = 2
    while base**digits < vocab:
        base += 1
    return digits, base


def _checked(config, clip: Range):
    if clip[0] >= clip[1]:
        raise ValueError(f"clip {clip} is no range; give (low, high) with low < high")
    return config


Objective = Annotated[
    ArConfig
    | MaskedConfig
    | SpanConfig
    | BlockConfig
    | AnyOrderConfig
    | EsoConfig
    | DigitsConfig
    | BltDiffusionConfig
    | PatchMaskedConfig
    | PatchArConfig,
    Field(discriminator="kind"),
]
