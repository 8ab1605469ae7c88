"""A trained network's likelihood on the held-out text, and the numbers that belong beside it."""

from collections.abc import Callable
from dataclasses import dataclass

from isobyte.backbone.blt.model import BltModel
from isobyte.config.objective import BltDiffusionConfig
from isobyte.config.run import RunConfig
from isobyte.data.prepared import Prepared
from isobyte.data.window import EvalWindows
from isobyte.errors import UserError
from isobyte.likelihood.boundaries import BoundaryCoder
from isobyte.likelihood.estimator import Settings, build_estimator, companions
from isobyte.likelihood.evaluate import evaluate
from isobyte.likelihood.patch_counts import PatchCounts
from isobyte.likelihood.value import LIKELIHOODS, Likelihood
from isobyte.objective.digits import objective_log_probs
from isobyte.objective.network import Model
from isobyte.objective.patchwise import grouping_of
from isobyte.objective.permutation import reading_of
from isobyte.train.boundaries import fit_boundaries, fit_patch_counts
from isobyte.train.masked_blocks import MaskedBlocks, masked_blocks


@dataclass(frozen=True)
class Scored:
    """`beside` are surrogates, scores and other bounds of the same network (`likelihood.estimator.companions`);
    `masked` what it makes of masked blocks, where it was trained with such."""

    own: Likelihood
    beside: list[Likelihood]
    boundaries: BoundaryCoder | PatchCounts | None
    masked: MaskedBlocks | None = None


def check_estimator(config: RunConfig) -> None:
    """A run's result is a likelihood, and better refused now than after training. Raises UserError."""
    chosen = build_estimator(config.objective, Settings(2, 0, 1), config.evaluate.estimator)
    if chosen.kind not in LIKELIHOODS:
        raise UserError(
            f"{chosen.kind}/{chosen.name} is no likelihood, and a run's result is one",
            where="evaluate.estimator",
            how="leave it out, and ask for this number with `isobyte eval --estimator`",
        )


def score(
    config: RunConfig, prepared: Prepared, model: Model, progress: Callable[[int], None] = lambda _bytes: None
) -> Scored:
    """By the run's own estimator and its companions; `progress` is told of bytes scored."""
    boundaries, counts = fit_boundaries(config, prepared), fit_patch_counts(config, prepared, model)
    told = settings_of(config, model, boundaries, counts)
    windows = EvalWindows(prepared.stream("heldout"), config.train.window, config.evaluate.max_bytes)

    def by(name: str | None) -> Likelihood:
        return evaluate(
            objective_log_probs(config.objective, model),
            build_estimator(config.objective, told, name),
            windows.batches(256),
            device=model.device,
            progress=progress,
        )

    beside = [by(name) for name in companions(config.objective)]
    return Scored(by(config.evaluate.estimator), beside, boundaries or counts, _masked(config, prepared, model))


def settings_of(
    config: RunConfig, model: Model, boundaries: BoundaryCoder | None, counts: PatchCounts | None
) -> Settings:
    """What an estimator is told about a run."""
    return Settings(
        config.evaluate.passes,
        config.evaluate.seed,
        model.vocab,
        model.codes,
        boundaries=boundaries,
        counts=counts,
        grouping=grouping_of(model),
        reading=reading_of(config),
    )


def _masked(config: RunConfig, prepared: Prepared, model: Model) -> MaskedBlocks | None:
    if not isinstance(config.objective, BltDiffusionConfig):
        return None
    assert isinstance(model, BltModel)
    heldout, block = prepared.stream("heldout"), config.objective.block
    return masked_blocks(model, heldout, config.train.window, block, config.evaluate.seed)
