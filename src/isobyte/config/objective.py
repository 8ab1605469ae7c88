"""What is predicted from what: the training objectives."""

from typing import Annotated, Literal

from pydantic import Field

from isobyte.config.base import Config

Visibility = Literal["causal", "bidirectional"]


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


class ArConfig(Config):
    """Autoregression: every symbol from those before it; the first from BOS alone."""

    kind: Literal["ar"] = "ar"

    @property
    def visibility(self) -> Visibility:
        return "causal"

    @property
    def time_conditioning(self) -> bool:
        return False


class MaskedConfig(Config):
    """Absorbing masked diffusion, SUBS parameterisation (MDLM, arXiv 2406.07524)."""

    kind: Literal["masked"] = "masked"
    schedule: Schedule = LinearSchedule()
    time_conditioning: bool = False
    random_length: float = Field(default=0.0, ge=0, le=1)
    """Share of steps whose windows are cut to a uniform random length (SMDM, arXiv 2410.18514: 0.01)."""

    @property
    def visibility(self) -> Visibility:
        return "bidirectional"


Objective = Annotated[ArConfig | MaskedConfig, Field(discriminator="kind")]
