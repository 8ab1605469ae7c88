"""What a study turns, and what it is to decide: dials, and hypotheses about them."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from isobyte.config.base import Config


class DialPosition(Config):
    at: NonNegativeFloat
    design: str
    reference: str | None = None
    """Another design than the dial's `reference` to stand above."""


class DialConfig(Config):
    """One setting, turned through several designs. Its gap at a position is the BPB of the design there above that of
    the reference, at equal compute, seed by seed."""

    name: str
    turns: str
    """What is turned, with its unit: the axis of the figure."""
    reference: str
    positions: tuple[DialPosition, ...] = Field(min_length=2)
    """From the end that is like autoregression to the one that is like masked diffusion."""

    @model_validator(mode="after")
    def _monotone(self) -> Self:
        at = [position.at for position in self.positions]
        if len(set(at)) < len(at) or (sorted(at) != at and sorted(at, reverse=True) != at):
            raise ValueError(f"dial {self.name!r}: positions {at} neither rise nor fall")
        return self

    def pairs(self) -> list[tuple[str, str]]:
        """(design, reference) at each position."""
        return [(position.design, position.reference or self.reference) for position in self.positions]


class _Hypothesis(Config):
    name: str
    claim: str
    """In a sentence."""
    overturned: str
    """What measurement would overturn it."""


class TrendHypothesis(_Hypothesis):
    """From a dial's first position to its last the gap moves in one direction."""

    kind: Literal["trend"] = "trend"
    dial: str
    direction: Literal["rises", "falls"] = "rises"


class ContrastHypothesis(_Hypothesis):
    """Gap of `first` (design, reference) less gap of `second`: above 0, or nothing to speak of."""

    kind: Literal["contrast"] = "contrast"
    first: tuple[str, str]
    second: tuple[str, str]
    expect: Literal["greater", "equal"] = "greater"
    margin: PositiveFloat = 0.05
    """BPB below which two gaps count as equal."""


Hypothesis = Annotated[TrendHypothesis | ContrastHypothesis, Field(discriminator="kind")]


def check_hypotheses(hypotheses: Sequence[Hypothesis], dials: Sequence[DialConfig], designs: list[str]) -> None:
    """Raises ValueError where one is about a dial or a design that the study does not have."""
    for dial in dials:
        missing = {design for pair in dial.pairs() for design in pair} - set(designs)
        if missing:
            raise ValueError(f"dial {dial.name!r} is about designs that are not there: {sorted(missing)}")
    for hypothesis in hypotheses:
        if isinstance(hypothesis, TrendHypothesis):
            if hypothesis.dial not in {dial.name for dial in dials}:
                raise ValueError(f"hypothesis {hypothesis.name!r} is about no dial: {hypothesis.dial!r}")
        elif missing := {*hypothesis.first, *hypothesis.second} - set(designs):
            raise ValueError(f"hypothesis {hypothesis.name!r} is about designs that are not there: {sorted(missing)}")
