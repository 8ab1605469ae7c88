"""One run: everything that decides its result, and nothing else."""

from typing import Self

from pydantic import model_validator

from isobyte.config.backbone import Backbone, BltConfig, FlatConfig
from isobyte.config.base import Config
from isobyte.config.data import DataConfig
from isobyte.config.objective import BltDiffusionConfig, CausalConfig, DigitsConfig, Objective, SpanConfig
from isobyte.config.patching import EntropyPatching, Patching
from isobyte.config.permutation import Permutation
from isobyte.config.representation import Representation
from isobyte.config.train import EvaluateConfig, TrainConfig, check_packing


def check_design(representation: Representation, objective: Objective, *, tied: bool, patched: bool = False) -> None:
    """Raises ValueError for an objective with a representation, a head or a backbone that it cannot take."""
    if patched and (representation.kind != "bytes" or not isinstance(objective, CausalConfig)):
        raise ValueError(
            f"backbone blt groups bytes and predicts the next one; take representation bytes and objective ar or "
            f"blt_diffusion, not {representation.kind} and {objective.kind}"
        )
    if isinstance(objective, BltDiffusionConfig) and not patched:
        raise ValueError("objective blt_diffusion hides blocks where patches open; take backbone blt")
    if isinstance(objective, SpanConfig) and objective.spans.content_dependent and representation.kind != "bytes":
        raise ValueError(f"spans of kind {objective.spans.kind!r} are spans of bytes; take representation bytes")
    if isinstance(objective, DigitsConfig) and tied:
        raise ValueError("a tied head reuses the table of symbols, and digits have none; take tied = false")


CARRYING = ("ar", "masked", "span", "block")
"""Objectives of a flat network whose positions are free to be those of the text."""


def check_permutation(
    permutation: Permutation | None, representation: Representation, objective: Objective, patching: Patching | None
) -> None:
    """Raises ValueError for an order that a design cannot read in; `patching` is that of backbone blt."""
    if permutation is None:
        return
    if not permutation.invertible and representation.kind != "bytes":
        raise ValueError(f"permutation {permutation.kind!r} shuffles units of bytes; take representation bytes")
    if permutation.carries and (patching is not None or objective.kind not in CARRYING):
        raise ValueError(
            f"places are carried along with backbone flat under {', '.join(CARRYING)}, not with "
            f"{'backbone blt' if patching is not None else f'objective {objective.kind}'}; leave carry false"
        )
    if isinstance(patching, EntropyPatching):
        raise ValueError(
            "patching 'entropy' is fitted to the text as it stands; with a permutation take 'static', 'space' or 'byte'"
        )


class RunConfig(Config):
    """A design (representation x objective x backbone), its data and its training; the hash is the run's identity."""

    representation: Representation
    objective: Objective
    permutation: Permutation | None = None
    """In which order the network reads the symbols of a window; None as they stand."""
    backbone: Backbone
    data: DataConfig
    train: TrainConfig
    evaluate: EvaluateConfig = EvaluateConfig()

    @model_validator(mode="after")
    def _fit(self) -> Self:
        patched = isinstance(self.backbone, BltConfig)
        check_design(self.representation, self.objective, tied=self.backbone.tied, patched=patched)
        check_packing(self.train, patched=patched)
        patching = self.backbone.patching if isinstance(self.backbone, BltConfig) else None
        check_permutation(self.permutation, self.representation, self.objective, patching)
        if self.permutation is not None and self.train.packing == "patches":
            raise ValueError("rows of patches differ in length; a permutation takes packing 'bytes'")
        if isinstance(self.backbone, FlatConfig) and self.backbone.attention_window and self.objective.kind != "ar":
            raise ValueError(f"attention_window is for objective ar; {self.objective.kind} looks both ways")
        return self
