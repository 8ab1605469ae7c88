"""How bytes are grouped into patches, and the models whose surprise decides it."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from isobyte.config.backbone_flat import FlatConfig
from isobyte.config.base import Config
from isobyte.config.train import TrainConfig, check_packing


class FlatScorer(Config):
    """A small autoregressive network over bytes, trained on the same text, then frozen (arXiv 2412.09871, 4.2)."""

    kind: Literal["flat"] = "flat"
    shape: FlatConfig
    """With `attention_window` it remembers that many bytes, however long the text."""
    train: TrainConfig | None = None
    """How it is trained; None where `path` names one, or where weights come with the model."""
    path: str | None = None
    """A folder of a finished run (bytes, objective `ar`, a flat backbone); nothing is trained."""

    @model_validator(mode="after")
    def _packs(self) -> Self:
        if self.train is not None:
            check_packing(self.train, patched=False)
        return self


class NgramScorer(Config):
    """Counts of the training text: the next byte after the last `context` bytes, smoothed by shorter contexts."""

    kind: Literal["ngram"] = "ngram"
    context: int = Field(default=2, ge=0, le=2)
    train_bytes: PositiveInt = 32 << 20
    """Most bytes of the training split that are counted."""


Scorer = Annotated[FlatScorer | NgramScorer, Field(discriminator="kind")]


class _Rule(Config):
    max_length: PositiveInt | None = None
    """A patch never has more bytes than this."""


class EntropyPatching(_Rule):
    """A byte opens a patch where the scorer is unsure of it: by its entropy in nats, given what comes before.

    `global`: entropy > threshold. `monotonic`: entropy - entropy before > rise. `both`: the two together.
    Either `threshold` (for `monotonic`: `rise`) is given, or it is set on the training text so that patches have
    `mean_length` bytes.
    """

    kind: Literal["entropy"] = "entropy"
    scorer: Scorer
    rule: Literal["global", "monotonic", "both"] = "global"
    threshold: float | None = None
    rise: float | None = None
    mean_length: PositiveFloat | None = None
    """Bytes per patch; expected, for planning, where a threshold is given."""

    @model_validator(mode="after")
    def _told(self) -> Self:
        if self.rule == "both" and self.rise is None:
            raise ValueError("rule 'both' needs rise")
        decisive = self.rise if self.rule == "monotonic" else self.threshold
        if decisive is None and self.mean_length is None:
            name = "rise" if self.rule == "monotonic" else "threshold"
            raise ValueError(f"give {name} (nats), or mean_length to have it set on the training text")
        return self


class SpacePatching(_Rule):
    """A patch ends with the first of a run of bytes that belong to no word (arXiv 2412.09871, 2.2)."""

    kind: Literal["space"] = "space"
    mean_length: PositiveFloat = 5.6
    """Expected bytes per patch, for planning alone."""


class StaticPatching(_Rule):
    """Every patch has `size` bytes."""

    kind: Literal["static"] = "static"
    size: PositiveInt = 4

    @property
    def mean_length(self) -> float:
        longest = self.max_length or self.size
        return self.size / math.ceil(self.size / longest)


class BytePatching(Config):
    """Every byte is a patch."""

    kind: Literal["byte"] = "byte"
    max_length: None = None

    @property
    def mean_length(self) -> float:
        return 1.0


Patching = Annotated[EntropyPatching | SpacePatching | StaticPatching | BytePatching, Field(discriminator="kind")]
"""Predictive rules: whether a byte opens a patch follows from the bytes before it."""
