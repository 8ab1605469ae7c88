"""`isobyte study ...`"""

from pathlib import Path
from typing import Annotated, Any

import tyro

from isobyte.cli.output import console, emit, tables
from isobyte.config.recipes import load_recipe
from isobyte.config.study import StudyConfig
from isobyte.errors import UserError

Recipe = Annotated[str, tyro.conf.Positional]
Overrides = Annotated[tuple[str, ...], tyro.conf.Positional]


def run(
    recipe: Recipe,
    overrides: Overrides = (),
    *,
    out: Path,
    scale: str | None = None,
    reuse: tuple[Path, ...] = (),
    json: bool = False,
) -> int:
    """Train every run of a study that is not there yet, fit, and write the report.

    Args:
        recipe: a shipped recipe's name or a .toml file
        overrides: key.path=value, for example evaluate.passes=16
        out: the study's folder; the same command goes on where it stopped
        scale: of a recipe that has several: cpu, gpu, paper
        reuse: folders of other studies; finished runs of theirs that this one wants are copied, not trained again
        json: print the headline numbers as one JSON object, last on standard output
    """
    from isobyte.cli.study_progress import Progress
    from isobyte.study.pipeline import run_study

    study = load_recipe(recipe, StudyConfig, overrides, scale)
    with Progress(console) as observer:
        summary = run_study(study, out, observer, reuse=reuse)
    console.print(f"report: {out / 'report.html'}")
    emit(summary, as_json=json)
    return 0


def plan(
    recipe: Recipe, overrides: Overrides = (), *, out: Path | None = None, scale: str | None = None, json: bool = False
) -> int:
    """Show what a study would run: shapes, steps, FLOPs, expected time. Nothing is trained.

    Args:
        recipe: a shipped recipe's name or a .toml file
        overrides: key.path=value
        out: the study's folder, if it has begun: what is measured there replaces what is assumed
        scale: of a recipe that has several: cpu, gpu, paper
        json: one JSON object, last on standard output
    """
    from isobyte.cli.study_tables import plan_table
    from isobyte.study.pipeline import plan_study

    study = load_recipe(recipe, StudyConfig, overrides, scale)
    planned = plan_study(study, out)
    tables(json).print(plan_table(planned))
    emit(planned, as_json=json)
    return 0


def status(out: Annotated[Path, tyro.conf.Positional], *, json: bool = False) -> int:
    """Show how far a study has come.

    Args:
        out: the study's folder
        json: one JSON object, last on standard output
    """
    from isobyte.cli.study_tables import status_table
    from isobyte.study.pipeline import study_rows

    _, _, rows = study_rows(out)
    states: dict[str, int] = {}
    for row in rows:
        states[row["state"]] = states.get(row["state"], 0) + 1
    tables(json).print(status_table(rows))
    keys = ("design", "budget", "size", "seed", "state", "bpb", "error", "folder")
    emit({"states": states, "runs": [{key: row[key] for key in keys} for row in rows]}, as_json=json)
    return 0


def report(out: Annotated[Path, tyro.conf.Positional], *, json: bool = False) -> int:
    """Write a study's report again from what its run folders hold now, finished or not.

    Args:
        out: the study's folder
        json: print the headline numbers as one JSON object, last on standard output
    """
    from isobyte.study.pipeline import write_study_report

    summary = write_study_report(out)
    console.print(f"report: {out / 'report.html'}")
    emit(summary, as_json=json)
    return 0


def fit(
    file: Annotated[Path, tyro.conf.Positional],
    *,
    params: str,
    loss: str,
    data: str | None = None,
    flops: str | None = None,
    budget: str | None = None,
    seed: str | None = None,
    exclude_worst: int = 0,
    bootstrap: int = 1000,
    level: float = 0.9,
    out: Path | None = None,
    json: bool = False,
) -> int:
    """Fit scaling laws L = E + A N^-alpha + B D^-beta to anybody's runs, three ways, with intervals.

    Args:
        file: a .csv or .parquet file, a run per row
        params: column of parameter counts N
        loss: column of losses L
        data: column of training data D; computed as C / (6 N) when only --flops is given
        flops: column of training FLOPs C; 6 N D when absent
        budget: column that groups runs into IsoFLOP budgets; found from C when absent
        seed: column that tells repeats of a run apart
        exclude_worst: leave out this many of the highest losses
        bootstrap: resamples for the intervals
        level: coverage of the intervals
        out: folder for fit.json
        json: one JSON object, last on standard output
    """
    from isobyte.cli.study_fit import run_fit

    if data is None and flops is None:
        raise UserError(
            "needs --data or --flops", where="study fit", how="name the column of training data or of FLOPs"
        )
    options: dict[str, Any] = {
        "params": params, "data": data, "loss": loss, "flops": flops, "budget": budget, "seed": seed,
        "exclude_worst": exclude_worst, "bootstrap": bootstrap, "level": level,
    }  # fmt: skip
    return run_fit(str(file), **options, json=json, out=str(out) if out else None)
