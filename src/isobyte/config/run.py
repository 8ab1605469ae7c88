"""One run: everything that decides its result, and nothing else."""

from typing import Self

from pydantic import model_validator

from isobyte.config.backbone import Backbone, BltConfig, FlatConfig
from isobyte.config.base import Config
from isobyte.config.data import DataConfig
from isobyte.config.objective import (
    ArConfig,
    BltDiffusionConfig,
    CausalConfig,
    DigitsConfig,
    Objective,
    PatchwiseConfig,
    SpanConfig,
)
from isobyte.config.patching import EntropyPatching, FlatScorer, Patching
from isobyte.config.permutation import Permutation
from isobyte.config.representation import BytesConfig, Representation
from isobyte.config.train import EvaluateConfig, TrainConfig, check_packing


def check_design(
    representation: Representation, objective: Objective, *, window: int, tied: bool, patched: bool = False
) -> None:
    """Raises ValueError for an objective with a representation, a head or a backbone that it cannot take, and for
    windows that end inside a byte."""
    if window % representation.digits_per_byte:
        raise ValueError(
            f"a byte is {representation.digits_per_byte} {representation.name}, and a window of {window} ends inside "
            f"one; take a multiple of {representation.digits_per_byte}"
        )
    if patched and (representation.kind != "bytes" or not isinstance(objective, CausalConfig | PatchwiseConfig)):
        raise ValueError(
            f"backbone blt groups bytes into patches; take representation bytes and objective ar, blt_diffusion, "
            f"patch_ar or patch_masked, not {representation.kind} and {objective.kind}"
        )
    if isinstance(objective, BltDiffusionConfig | PatchwiseConfig) and not patched:
        raise ValueError(f"objective {objective.kind} is about patches; take backbone blt")
    if isinstance(objective, SpanConfig) and objective.spans.content_dependent and representation.kind != "bytes":
        raise ValueError(f"spans of kind {objective.spans.kind!r} are spans of bytes; take representation bytes")
    if isinstance(objective, DigitsConfig) and tied:
        raise ValueError("a tied head reuses the table of symbols, and digits have none; take tied = false")


def check_patchwise(
    objective: Objective, hash_sizes: tuple[int, ...], packing: str, latent_window: int | None = None
) -> None:
    """Raises ValueError for a backbone blt or a packing that objectives of whole patches cannot take."""
    if not isinstance(objective, PatchwiseConfig):
        return
    if hash_sizes:
        raise ValueError(f"n-grams reach into hidden patches; with objective {objective.kind} take hash_sizes = []")
    if packing != "bytes":
        raise ValueError(f"objective {objective.kind} takes packing 'bytes'")
    if latent_window is not None:
        raise ValueError(f"objective {objective.kind} lets latents see all patches; leave latent.attention_window out")


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
        check_design(
            self.representation, self.objective, window=self.train.window, tied=self.backbone.tied, patched=patched
        )
        check_packing(self.train, patched=patched)
        patching = None
        if isinstance(self.backbone, BltConfig):
            patching = self.backbone.patching
            window = self.backbone.latent.attention_window
            check_patchwise(self.objective, self.backbone.hash_sizes, self.train.packing, window)
        check_permutation(self.permutation, self.representation, self.objective, patching)
        if self.permutation is not None and self.train.packing == "patches":
            raise ValueError("rows of patches differ in length; a permutation takes packing 'bytes'")
        if isinstance(self.backbone, FlatConfig) and self.backbone.attention_window and self.objective.kind != "ar":
            raise ValueError(f"attention_window is for objective ar; {self.objective.kind} looks both ways")
        return self


def scorer_run_config(config: RunConfig) -> RunConfig | None:
    """The run that trains the network by whose surprise this one's bytes fall into patches; None where there is none
    to be trained."""
    patching = config.backbone.patching if isinstance(config.backbone, BltConfig) else None
    if not isinstance(patching, EntropyPatching) or not isinstance(patching.scorer, FlatScorer):
        return None
    if patching.scorer.path is not None or patching.scorer.train is None:
        return None
    return RunConfig(
        representation=BytesConfig(),
        objective=ArConfig(),
        backbone=patching.scorer.shape,
        data=config.data,
        train=patching.scorer.train,
        evaluate=config.evaluate.model_copy(update={"estimator": None}),
    )
