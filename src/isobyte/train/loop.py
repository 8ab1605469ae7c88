"""Train one run in its folder, from wherever it stands to its result."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isobyte.backbone.blt.model import BltModel
from isobyte.config.run import RunConfig
from isobyte.data.prepared import Prepared
from isobyte.errors import UserError
from isobyte.objective.network import Model, build_network, initialise
from isobyte.representation import save
from isobyte.train.checkpoint import load_latest, save_checkpoint, save_weights
from isobyte.train.folder import RunFolder
from isobyte.train.interrupt import stop_between_steps
from isobyte.train.optim import build_optimizer
from isobyte.train.packing import Meter, part_of, training_windows
from isobyte.train.parallel import Ranks
from isobyte.train.patcher import fit_patcher
from isobyte.train.result import result_record
from isobyte.train.runtime import Runtime, environment
from isobyte.train.score import check_estimator, score
from isobyte.train.step import NonFinite, train_step

Report = Callable[[dict[str, Any]], None]


@dataclass
class Totals:
    """What a run has used so far; saved with every checkpoint."""

    flops: float = 0.0
    symbols: int = 0
    bytes: int = 0
    windows: int = 0
    patches: int = 0
    """Latents of a network of patches, those of the beginnings of windows included."""
    step_seconds: float = 0.0
    wall_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def build_model(config: RunConfig, vocab: int, attention: str = "sdpa") -> Model:
    """The run's network at its initial weights."""
    model = build_network(config.backbone, config.objective, vocab, attention)
    initialise(model, config.train.seed)
    return model


def train(
    config: RunConfig,
    prepared: Prepared,
    path: Path,
    *,
    runtime: Runtime | None = None,
    report: Report = lambda _record: None,
    ranks: Ranks | None = None,
) -> dict[str, Any]:
    """The run's result, trained for only where it is not already there.

    Continues from the newest checkpoint, bit for bit on a CPU with the same threads. The first Ctrl-C or SIGTERM
    saves a checkpoint and raises KeyboardInterrupt. Raises UserError for a folder of another run or a diverged loss.
    """
    runtime, ranks = runtime or Runtime(), ranks or Ranks()
    check_estimator(config)
    folder = RunFolder.create(path, config)
    done = folder.result()
    if done is not None:
        return done
    device = runtime.apply()
    if ranks.rank == 0:
        folder.write_environment(environment(device))
        save(prepared.representation, path / "representation")
    model = build_model(config, prepared.representation.vocab_size, runtime.attention).to(device)
    if isinstance(model, BltModel):
        fit_patcher(model.patcher, config, prepared, train, runtime=runtime, report=report, ranks=ranks)
    try:
        totals = _run_steps(config, prepared, folder, model, runtime, ranks, report)
        return _finish(config, prepared, folder, model, totals, ranks, report)
    except NonFinite as problem:
        folder.write_status("failed", error=str(problem))
        raise UserError(str(problem), where=str(path), how="lower train.optimizer.lr") from problem


def _run_steps(
    config: RunConfig,
    prepared: Prepared,
    folder: RunFolder,
    model: Model,
    runtime: Runtime,
    ranks: Ranks,
    report: Report,
) -> Totals:
    plan = config.train
    optimizer = build_optimizer(model, plan.optimizer)
    state = load_latest(folder.checkpoints, model, optimizer)
    totals = Totals(**state["totals"]) if state else Totals()
    first = state["step"] if state else 0
    folder.rewind_metrics(first)
    compile_blocks(model, runtime)
    device = model.device
    autocast = plan.precision == "bf16" or (plan.precision == "auto" and device.type == "cuda")
    windows = training_windows(config, prepared, model, report)
    meter = Meter(config, prepared.representation)
    rows = ranks.rows(plan.batch)
    saved = started = time.monotonic()
    wall_before = totals.wall_seconds

    def checkpoint(step: int) -> None:
        if ranks.rank == 0:
            save_checkpoint(folder.checkpoints, step, model, optimizer, {"totals": totals.to_json()})

    with stop_between_steps() as stop:
        for step in range(first, plan.steps):
            batch = windows.batch(step * plan.batch, plan.batch)
            clock = time.perf_counter()
            mine = part_of(batch, rows.start, rows.stop)
            outcome = train_step(config, model, model, optimizer, mine, step, ranks, autocast)
            totals.step_seconds += time.perf_counter() - clock
            used = meter.used(batch, outcome)
            totals.flops += used.flops
            totals.symbols += used.symbols
            totals.windows += plan.batch
            totals.patches += outcome.patches
            totals.bytes += used.bytes
            totals.wall_seconds = wall_before + time.monotonic() - started
            now = step + 1
            if now % runtime.log_every == 0 or now == plan.steps:
                record = {
                    "step": now, "loss": float(outcome.loss), "gradient_norm": float(outcome.gradient_norm),
                    "lr": outcome.lr, **totals.to_json(),
                }  # fmt: skip
                if outcome.beside is not None:
                    record["surrogate_masked_loss"] = float(outcome.beside)
                if ranks.rank == 0:
                    folder.log(record)
                report(record | {"steps": plan.steps, "phase": "train"})
            if stop or now == plan.steps or time.monotonic() - saved > runtime.checkpoint_seconds:
                checkpoint(now)
                saved = time.monotonic()
            if stop:
                folder.write_status("interrupted", step=now, steps=plan.steps)
                raise KeyboardInterrupt
    return totals


def _finish(
    config: RunConfig,
    prepared: Prepared,
    folder: RunFolder,
    model: Model,
    totals: Totals,
    ranks: Ranks,
    report: Report,
) -> dict[str, Any]:
    """Score the held-out text, write weights and result, drop the checkpoints. Every rank scores; rank 0 writes."""
    clock = time.monotonic()
    scored = score(config, prepared, model, lambda size: report({"phase": "evaluate", "bytes": size}))
    if not math.isfinite(scored.own.nats):
        raise NonFinite(f"the held-out text costs {scored.own.nats} nats after the last step")
    record = result_record(
        config,
        prepared,
        scored,
        totals.to_json(),
        vocab=model.vocab,
        evaluate_seconds=time.monotonic() - clock,
    )
    if ranks.rank == 0:
        if scored.boundaries is not None:
            scored.boundaries.save(folder.boundaries)
        save_weights(folder.weights, model, {"hash": config.content_hash()})
        folder.write_result(record)
        folder.write_status("done", bpb=scored.own.bpb)
        for checkpoint in folder.checkpoints.glob("*.safetensors"):
            checkpoint.unlink()
    return record


def compile_blocks(model: Model, runtime: Runtime) -> None:
    """Compile block by block, if at all: names of weights stay, and one compilation serves all layers."""
    if runtime.compiles(model.device):
        for block in model.blocks:
            block.compile()
