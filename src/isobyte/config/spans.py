"""How a window falls into spans."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from isobyte.config.base import Config


class FixedSpans(Config):
    """Spans of one length; where the first ends is uniformly random."""

    kind: Literal["fixed"] = "fixed"
    length: PositiveInt = 4

    @property
    def content_dependent(self) -> bool:
        return False


class GeometricSpans(Config):
    """A span ends after each symbol with probability 1 / mean."""

    kind: Literal["geometric"] = "geometric"
    mean: float = Field(default=4.0, ge=1)

    @property
    def content_dependent(self) -> bool:
        return False


class WordSpans(Config):
    """Whitespace words of bytes, each with the spaces before it. The text decides: the boundaries must be paid for."""

    kind: Literal["word"] = "word"

    @property
    def content_dependent(self) -> bool:
        return True


class BpeSpans(Config):
    """Tokens of a `tokenizer.json` over bytes. The text decides: the boundaries must be paid for."""

    kind: Literal["bpe"] = "bpe"
    path: str

    @property
    def content_dependent(self) -> bool:
        return True


Spans = Annotated[FixedSpans | GeometricSpans | WordSpans | BpeSpans, Field(discriminator="kind")]
