"""In which order a network reads the symbols of a window."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from isobyte.config.base import Config
from isobyte.config.spans import BpeSpans, WordSpans

TEXT = "text"
"""What a number is a likelihood of, unless the text was shuffled past undoing."""


class _Permutation(Config):
    seed: int = Field(default=0, ge=0)
    """The runs of a study read alike whatever their own seeds."""

    @property
    def invertible(self) -> bool:
        """Whether the order follows from the window's number alone, so that a code length of what is read is one of the
        text."""
        return True

    @property
    def one_for_all(self) -> bool:
        """Whether all windows are read in one order."""
        return False

    @property
    def carries(self) -> bool:
        """Whether the network is told where in the text each symbol stood."""
        return False


class _Carried(_Permutation):
    fresh: bool = False
    """An order of its own for every window; otherwise one for all."""
    carry: bool = False
    """Whether the network is told where in the text each symbol stood, by its rotary positions."""

    @property
    def one_for_all(self) -> bool:
        return not self.fresh

    @property
    def carries(self) -> bool:
        return self.carry

    @model_validator(mode="after")
    def _one_for_all(self) -> Self:
        if self.carry and self.fresh:
            raise ValueError(
                "fresh orders whose places are carried along are objective any_order; take it, or one order for all"
            )
        return self


class ShuffledWindow(_Carried):
    """All symbols of the window."""

    kind: Literal["window"] = "window"


class ShuffledNearby(_Carried):
    """Inside stretches of `width` symbols; the stretches stay where they are."""

    kind: Literal["nearby"] = "nearby"
    width: PositiveInt = 4


class ShuffledBlocks(_Carried):
    """Stretches of `width` symbols change places; inside they stay as they are."""

    kind: Literal["blocks"] = "blocks"
    width: PositiveInt = 4


class Strided(_Permutation):
    """Every `stride`-th symbol, then those after them, and so on: neighbours part, distances keep their shape."""

    kind: Literal["stride"] = "stride"
    stride: PositiveInt = 4
    carry: bool = False

    @property
    def one_for_all(self) -> bool:
        return True

    @property
    def carries(self) -> bool:
        return self.carry


Units = Annotated[WordSpans | BpeSpans, Field(discriminator="kind")]


class _ByUnits(_Permutation):
    units: Units = WordSpans()

    @property
    def invertible(self) -> bool:
        return False


class ShuffledInside(_ByUnits):
    """Inside words or tokens. What is read does not say how it was shuffled: it is another source."""

    kind: Literal["inside"] = "inside"


class ShuffledUnits(_ByUnits):
    """Words or tokens change places; inside they stay as they are. Another source, like `inside`."""

    kind: Literal["units"] = "units"


Permutation = Annotated[
    ShuffledWindow | ShuffledNearby | ShuffledBlocks | Strided | ShuffledInside | ShuffledUnits,
    Field(discriminator="kind"),
]
