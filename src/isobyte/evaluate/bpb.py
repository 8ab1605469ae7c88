"""Bits per byte of a finished run on any text."""

from dataclasses import replace
from pathlib import Path

from isobyte.backbone.half import Weights
from isobyte.config.objective import PatchMaskedConfig, SpanConfig
from isobyte.data.prepare import prepare
from isobyte.data.stream import Stream, stream_from_file
from isobyte.data.window import EvalWindows
from isobyte.errors import UserError
from isobyte.evaluate.loaded import LoadedRun, load_run
from isobyte.evaluate.without import take_out
from isobyte.likelihood.boundaries import BoundaryCoder
from isobyte.likelihood.estimator import Settings, build_estimator
from isobyte.likelihood.evaluate import evaluate
from isobyte.likelihood.patch_counts import PatchCounts
from isobyte.likelihood.value import Likelihood
from isobyte.objective.digits import objective_log_probs
from isobyte.train.score import settings_of


def evaluate_run(
    path: Path,
    *,
    data: Path | None,
    column: str = "text",
    passes: int | None = None,
    max_bytes: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    estimator: str | None = None,
    steps: int | None = None,
    per_step: int | None = None,
    without: str | None = None,
    weights: Weights = "fp32",
) -> Likelihood:
    """The likelihood of `data`, or of the run's held-out text when None.

    `estimator` names another than the run's own; `steps` is the number of reveal steps of those that have steps,
    `per_step` the number of symbols that a deterministic rule reveals at once; `without` a part of the network that
    is silenced first (`evaluate.without`); `weights` says to which numbers they are rounded first. Raises UserError for
    a folder without a finished run, for an estimator or a part that it lacks, and for text that is missing or empty.
    """
    run = load_run(path, device, weights=weights)
    told = run_settings(run, passes=passes, seed=seed, steps=steps, per_step=per_step)
    if without is not None:
        take_out(run.model, without)
    settings = run.config.evaluate
    way = build_estimator(run.config.objective, told, estimator or settings.estimator)
    text = held_out_text(path, run, data, column)
    limit = max_bytes or (settings.max_bytes if data is None else None)
    return evaluate(
        objective_log_probs(run.config.objective, run.model),
        way,
        EvalWindows(text, run.config.train.window, limit).batches(256),
        device=run.device,
    )


def run_settings(
    run: LoadedRun,
    *,
    passes: int | None = None,
    seed: int | None = None,
    steps: int | None = None,
    per_step: int | None = None,
) -> Settings:
    """What an estimator is told about a run; what is left out is the run's own. Raises UserError for too few passes
    or steps."""
    if passes is not None and (passes < 2 or passes % 2):
        raise UserError(f"{passes} passes", where="--passes", how="take an even number of at least 2")
    for option, value in (("--steps", steps), ("--per-step", per_step)):
        if value is not None and value < 1:
            raise UserError(f"{value} is too few", where=option, how="take at least 1")
    objective, paid = run.config.objective, run.folder.boundaries
    boundaries = BoundaryCoder.load(paid) if isinstance(objective, SpanConfig) and paid.exists() else None
    counts = PatchCounts.load(paid) if isinstance(objective, PatchMaskedConfig) and paid.exists() else None
    asked = {"passes": passes, "seed": seed, "steps": steps, "per_step": per_step}
    told = {name: value for name, value in asked.items() if value is not None}
    return replace(settings_of(run.config, run.model, boundaries, counts), **told)


def held_out_text(path: Path, run: LoadedRun, data: Path | None, column: str = "text") -> Stream:
    """`data` as a stream, or the run's own held-out text, prepared again beside the run if it is gone."""
    if data is None:
        config = run.config
        return prepare(config.data, config.representation, path.parent / f"{path.name}-data").stream("heldout")
    return stream_from_file(str(data), run.representation, column)
