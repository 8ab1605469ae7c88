"""Run folders -> one row per run. No torch here."""

from typing import Any

from isobyte.config.permutation import TEXT
from isobyte.config.run import RunConfig
from isobyte.config.study import StudyConfig
from isobyte.errors import UserError
from isobyte.study.folder import StudyFolder
from isobyte.study.plan import Cell, plan_run


def collect(study: StudyConfig, folder: StudyFolder, cells: list[Cell]) -> list[dict[str, Any]]:
    """A row per cell, whatever its state; measured fields are None until the run is done.

    Raises UserError for a run whose number is no likelihood: such numbers are never compared or fitted.
    """
    designs = {design.name: design for design in study.designs}
    return [_row(study, folder, designs[cell.design], cell) for cell in cells]


def _row(study: StudyConfig, folder: StudyFolder, design: Any, cell: Cell) -> dict[str, Any]:
    planned = plan_run(study, design, cell.budget, cell.size, cell.seed)
    run, config = folder.run(planned), planned.config
    result, status = run.result(), run.status()
    scored = result["likelihood"] if result else {}
    if result and scored["kind"] not in ("exact", "bound"):
        raise UserError(
            f"its number is a {scored['kind']} ({scored['estimator']}), and no likelihood",
            where=str(run.path),
            how="set evaluate.estimator to an exact likelihood or a bound, or leave it out",
        )
    measured = result or {}
    return {
        "design": cell.design,
        "representation": config.representation.name,
        "objective": config.objective.kind,
        "backbone": config.backbone.kind,
        "variant": config.objective.canonical_json(),
        "permutation": config.permutation and config.permutation.canonical_json(),
        "source": _source(config),
        "size": cell.size,
        "seed": cell.seed,
        "budget": cell.budget,
        "flops": measured.get("flops"),
        "N": planned.cost.parameters.N,
        "N_total": measured.get("N_total", planned.cost.parameters.N_total),
        "data_bytes": measured.get("data_bytes"),
        **{key: scored.get(key) for key in ("bpb", "stderr", "stderr_text", "kind", "estimator")},
        "nats_by_part": scored.get("nats_by_part"),
        "text_bytes": scored.get("bytes"),
        "companions": measured.get("companions"),
        "steps": config.train.steps,
        "window": config.train.window,
        "batch": config.train.batch,
        "lr": config.train.optimizer.lr,
        **{
            key: measured.get(key)
            for key in ("symbols", "bytes_per_symbol", "bytes_per_patch", "epochs", "wall_seconds", "flops_per_second")
        },
        "step_seconds": measured.get("step_seconds"),
        "evaluate_seconds": measured.get("evaluate_seconds"),
        "state": "done" if result else status["state"],
        "error": status.get("error"),
        "taken_from": status.get("taken_from"),
        "hash": config.content_hash(),
        "folder": str(run.path.relative_to(folder.path)),
        "breakdown": planned.cost.flops.breakdown(),
        "flops_by_convention": measured.get("flops_by_convention"),
    }


def _source(config: RunConfig) -> str:
    """Of what the BPB is a code length: numbers of two sources are two things."""
    kind = config.permutation
    return TEXT if kind is None or kind.invertible else f"{kind.canonical_json()} in {config.train.window}"
