"""How a network is trained. Everything here changes the result, and so the hash; devices and threads do not."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from isobyte.config.base import Config

Momentum = Annotated[float, Field(ge=0, lt=1)]


class AdamW(Config):
    """AdamW with decoupled weight decay on matrices only."""

    lr: float = Field(gt=0)
    betas: tuple[Momentum, Momentum] = (0.9, 0.95)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)


class Cosine(Config):
    """Linear warm-up, then half a cosine down to `final` times the peak."""

    kind: Literal["cosine"] = "cosine"
    warmup: float = Field(default=0.02, ge=0, lt=1)
    final: float = Field(default=0.1, ge=0, le=1)


class Wsd(Config):
    """Linear warm-up, a plateau, then a linear decay to `final` times the peak over the last `decay` of the steps."""

    kind: Literal["wsd"] = "wsd"
    warmup: float = Field(default=0.02, ge=0, lt=1)
    decay: float = Field(default=0.2, gt=0, le=1)
    final: float = Field(default=0.0, ge=0, le=1)


LrSchedule = Annotated[Cosine | Wsd, Field(discriminator="kind")]


def check_packing(train: "TrainConfig", *, patched: bool) -> None:
    """Raises ValueError for rows of patches and a network that makes none."""
    if train.packing == "patches" and not patched:
        raise ValueError("packing 'patches' packs what backbone blt groups; a flat network takes packing 'bytes'")


class TrainConfig(Config):
    """Windows of `window` symbols, `batch` of them a step, in pieces of `micro_batch` where memory asks for it."""

    window: PositiveInt
    """With packing `patches` the most bytes of a row."""
    packing: Literal["bytes", "patches"] = "bytes"
    """What windows have the same number of; `patches` is for a network of patches (arXiv 2412.09871, 4.3)."""
    patches: PositiveInt | None = None
    """With packing `patches`, patches that a row predicts: places of the latent transformer."""
    batch: PositiveInt
    steps: PositiveInt
    optimizer: AdamW
    schedule: LrSchedule = Cosine()
    micro_batch: PositiveInt | None = None
    clip: float | None = Field(default=1.0, gt=0)
    seed: int = Field(default=0, ge=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: fp32 on a CPU, bf16 autocast on CUDA."""

    @model_validator(mode="after")
    def _micro_divides(self) -> Self:
        if self.micro_batch and self.batch % self.micro_batch:
            raise ValueError(f"batch {self.batch} is no multiple of micro_batch {self.micro_batch}")
        return self

    @model_validator(mode="after")
    def _packs(self) -> Self:
        if self.packing == "patches" and self.patches is None:
            raise ValueError("packing 'patches' needs patches, how many a row has")
        if self.packing == "bytes" and self.patches is not None:
            raise ValueError("patches is for packing 'patches'; windows of bytes have as many as the text makes")
        if self.patches is not None and self.patches > self.window:
            raise ValueError(f"{self.patches} patches never fit in a window of {self.window} bytes; raise window")
        return self


class EvaluateConfig(Config):
    """How bits per byte are measured on the held-out text."""

    max_bytes: PositiveInt | None = None
    """Score this much of the held-out text, spread evenly over it; None scores all of it."""
    passes: PositiveInt = 16
    """Network passes per window for objectives whose likelihood is estimated; even."""
    seed: int = Field(default=0, ge=0)
    estimator: str | None = None
    """The likelihood's estimator by name; None means the objective's own."""

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.passes % 2:
            raise ValueError(
                f"passes is {self.passes}; it must be even (two independent halves give the standard error)"
            )
        return self
