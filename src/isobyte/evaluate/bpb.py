"""Bits per byte of a finished run on any text."""

from pathlib import Path

from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.data.stream import Stream, stream_from_file
from isobyte.data.window import EvalWindows
from isobyte.errors import UserError
from isobyte.likelihood.estimator import Settings, build_estimator
from isobyte.likelihood.evaluate import evaluate
from isobyte.likelihood.value import Likelihood
from isobyte.objective.digits import objective_log_probs
from isobyte.representation import Representation, load
from isobyte.train.checkpoint import load_weights
from isobyte.train.folder import RunFolder
from isobyte.train.loop import build_model
from isobyte.train.runtime import Runtime


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
) -> Likelihood:
    """The likelihood of `data`, or of the run's held-out text when None.

    Raises UserError for a folder without a finished run, and for text that is missing or empty.
    """
    folder = RunFolder(path)
    config = folder.config()
    if not folder.weights.exists():
        raise UserError("has no weights yet", where=str(path), how="finish the run with `isobyte train` first")
    representation = load(path / "representation")
    where = Runtime(device=device).apply()
    model = build_model(config, representation.vocab_size).to(where)
    load_weights(folder.weights, model)
    settings = config.evaluate
    if passes is not None and (passes < 2 or passes % 2):
        raise UserError(f"{passes} passes", where="--passes", how="take an even number of at least 2")
    text = _text(path, config, data, column, representation)
    limit = max_bytes or (settings.max_bytes if data is None else None)
    told = Settings(passes or settings.passes, settings.seed if seed is None else seed, model.vocab, model.codes)
    return evaluate(
        objective_log_probs(config.objective, model),
        build_estimator(config.objective, told, estimator),
        EvalWindows(text, config.train.window, limit).batches(256),
        device=where,
    )


def _text(run: Path, config: RunConfig, data: Path | None, column: str, representation: Representation) -> Stream:
    """The text to score as a stream. The run's own held-out text is prepared again beside the run if it is gone."""
    if data is None:
        return prepare(config.data, config.representation, run.parent / f"{run.name}-data").stream("heldout")
    return stream_from_file(str(data), representation, column)
