"""Masking schedules: the density of mask probabilities that training sees."""

from typing import Annotated, Literal

from pydantic import Field

from isobyte.config.base import Config


class LinearSchedule(Config):
    """Mask probability p = t."""

    kind: Literal["linear"] = "linear"


class CosineSchedule(Config):
    """Mask probability p = cos(pi/2 (1 - t)) (MD4, arXiv 2406.04329)."""

    kind: Literal["cosine"] = "cosine"


class PolynomialSchedule(Config):
    """Mask probability p = t^power (MD4, arXiv 2406.04329)."""

    kind: Literal["polynomial"] = "polynomial"
    power: float = Field(gt=0)


Schedule = Annotated[LinearSchedule | CosineSchedule | PolynomialSchedule, Field(discriminator="kind")]
