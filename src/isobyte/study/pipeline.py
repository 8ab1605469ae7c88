"""A study from its recipe to its report: prepare -> pack -> execute -> collect -> analyse -> report. No torch here."""

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from isobyte.config.backbone import FlatConfig
from isobyte.config.data import DataConfig
from isobyte.config.study import StudyConfig
from isobyte.data.prepare import prepare
from isobyte.files import read_json, write_json
from isobyte.study.beside import beside_jobs, controls_of, measure_beside, probes_of
from isobyte.study.collect import collect
from isobyte.study.execute import Observer, execute, whole_plan
from isobyte.study.folder import StudyFolder, settle
from isobyte.study.packing import choose
from isobyte.study.plan import PlannedRun, decide
from isobyte.study.reuse import Shelf
from isobyte.train.folder import SCORERS


def run_study(study: StudyConfig, out: Path, observer: Observer, *, reuse: Sequence[Path] = ()) -> dict[str, Any]:
    """The report's headline numbers; every run and file they need is made where it is missing, or taken from the
    studies in `reuse` where those have it. Raises UserError for one that is none."""
    runs, shelf = whole_plan(study, {}), Shelf([StudyFolder(path) for path in reuse])
    folder = StudyFolder.create(out, study)
    with folder.lock():
        started = time.monotonic()
        try:
            _prepare_data(folder, runs)
            cells, losses = settle(study, folder)
            sample = sorted(runs, key=lambda run: run.cost.parameters.N)[len(runs) // 2]
            if any(cell not in losses for cell in cells):
                execute(study, folder, choose(folder, sample), observer, shelf)
            jobs = beside_jobs(study, folder)
            for problem in measure_beside(jobs, choose(folder, sample), observer.measured) if jobs else ():
                observer.noted(problem)
        finally:
            _add_seconds(folder, time.monotonic() - started)
        return write_study_report(out)


def plan_study(study: StudyConfig, out: Path | None = None) -> dict[str, Any]:
    """Every run the study is expected to want, with shapes, steps, FLOPs and expected seconds."""
    losses = {}
    rate = None
    if out is not None and (out / "study.json").exists():
        folder = StudyFolder.create(out, study)
        _, losses = settle(study, folder)
        packing = out / "packing.json"
        rate = read_json(packing)["flops_per_second"] if packing.exists() else None
    runs = whole_plan(study, dict(losses))
    total = sum(run.flops for run in runs)
    measured = rate is not None
    rate = rate or expected_rate()
    return {
        "study": study.name,
        "runs": [_planned_row(run, rate, run.cell in losses) for run in runs],
        "flops": total,
        "flops_per_second": rate,
        "rate_is": "measured on this study" if measured else "35 % of this machine's fp32 matrix product rate",
        "seconds": sum(run.flops for run in runs if run.cell not in losses) / rate,
    }


def expected_rate(share: float = 0.35) -> float:
    """FLOP/s to expect of training here: a share of what a matrix product reaches on the spot."""
    import numpy as np

    a = np.random.default_rng(0).random((768, 768), dtype=np.float32)
    _ = a @ a
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < 0.2:
        _ = a @ a
        count += 1
    return share * 2 * 768**3 * count / (time.perf_counter() - started)


def study_rows(out: Path) -> tuple[StudyConfig, StudyFolder, list[dict[str, Any]]]:
    """A study folder's config and a row for every run it wants so far."""
    folder = StudyFolder(out)
    study = folder.config()
    cells, _ = settle(study, folder)
    return study, folder, collect(study, folder, cells)


def write_study_report(out: Path) -> dict[str, Any]:
    """Analyse what is there and write report.html, report.json, runs.csv and the pictures; the headline numbers."""
    from isobyte.study.analyse import analyse
    from isobyte.study.report import write_report

    study, folder, rows = study_rows(out)
    about = describe(study, folder, rows)
    fit = study.fit
    analysis = analyse(about, rows, bootstrap=fit.bootstrap, level=fit.level, seed=fit.seed)
    write_report(analysis, rows, out)
    return summary(analysis) | {"report": str(out / "report.html")}


def summary(analysis: dict[str, Any]) -> dict[str, Any]:
    """The last line of `study run --json`: each design's best BPB by budget, each pair's gap with its interval."""
    best = {
        design["name"]: [
            {"budget": each["budget"], "size": each["best"]["size"], "bpb": each["best"]["bpb"], "kind": design["kind"]}
            for each in design["budgets"]
            if each["best"]
        ]
        for design in analysis["designs"]
    }
    headline = analysis["headline"]
    return {key: headline[key] for key in ("study", "runs", "done")} | {"best": best, "gaps": headline["gaps"]}


def describe(study: StudyConfig, folder: StudyFolder, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the report says of the study beside its runs: settings, text, machine, decisions."""
    _, losses = settle(study, folder)
    _, decisions = decide(study, losses)
    environments = [folder.path / row["folder"] / "environment.json" for row in rows]
    machine = next((read_json(path) for path in environments if path.exists()), {})
    packing = folder.path / "packing.json"
    timing = folder.path / "timing.json"
    return {
        "name": study.name,
        "hash": study.content_hash(),
        "budgets": list(study.budgets),
        "designs": [design.model_dump(mode="json") for design in study.designs],
        "dials": [dial.model_dump(mode="json") for dial in study.dials],
        "hypotheses": [hypothesis.model_dump(mode="json") for hypothesis in study.hypotheses],
        "evaluate": study.evaluate.model_dump(mode="json"),
        "seeds": list(study.seeds),
        "corpus": _corpus(folder),
        "machine": machine,
        "packing": read_json(packing) if packing.exists() else None,
        "decisions": [dataclasses.asdict(decision) for decision in decisions],
        "scorers": _scorers(folder),
        "controls": controls_of(folder),
        "probes": probes_of(study, folder),
        "wall_seconds": read_json(timing)["wall_seconds"] if timing.exists() else None,
    }


def _prepare_data(folder: StudyFolder, runs: list[PlannedRun]) -> None:
    """Each representation's shards, and once the reference rates of the text, in a thread beside them."""
    configs = {folder.data(run.config): run.config for run in runs}
    with ThreadPoolExecutor(1) as background:
        record = folder.path / "corpus.json"
        reference = None if record.exists() else background.submit(_reference, runs[0].config.data)
        prepared = [prepare(config.data, config.representation, path) for path, config in configs.items()]
        if reference is not None:
            manifest = prepared[0].manifest
            splits = {
                name: {"documents": part.documents, "bytes": part.bytes}
                for name, part in (("train", manifest.train), ("heldout", manifest.heldout))
            }
            write_json(record, {"source": manifest.source, **splits, "reference": reference.result()})


def _reference(data: DataConfig) -> dict[str, float]:
    from isobyte.data import corpus
    from isobyte.data.reference import reference_rates

    return dataclasses.asdict(reference_rates(corpus.read(data, data.piece_bytes)))


def _scorers(folder: StudyFolder) -> list[dict[str, Any]]:
    """Networks trained to find patches, once for all runs on a text: what they cost is no part of any run."""
    found = sorted(folder.path.glob(f"data/*/{SCORERS}/*/result.json"))
    results = [(path.parent.relative_to(folder.path), read_json(path)) for path in found]
    return [
        {"folder": str(path), "N": result["N"], "flops": result["flops"], "bpb": result["likelihood"]["bpb"]}
        for path, result in results
    ]


def _corpus(folder: StudyFolder) -> dict[str, Any]:
    path = folder.path / "corpus.json"
    return read_json(path) if path.exists() else {}


def _add_seconds(folder: StudyFolder, seconds: float) -> None:
    path = folder.path / "timing.json"
    before = read_json(path)["wall_seconds"] if path.exists() else 0.0
    write_json(path, {"wall_seconds": before + seconds})


def _planned_row(run: PlannedRun, rate: float, done: bool) -> dict[str, Any]:
    """Layers, width and heads are those of the network, or of its latent transformer."""
    backbone, train = run.config.backbone, run.config.train
    shape = backbone if isinstance(backbone, FlatConfig) else backbone.latent
    return {
        **dataclasses.asdict(run.cell),
        "backbone": backbone.kind, "bytes_per_patch": run.cost.bytes_per_patch,
        "layers": shape.layers, "width": shape.width, "heads": shape.heads,
        "N": run.cost.parameters.N, "N_total": run.cost.parameters.N_total,
        "window": train.window, "batch": train.batch, "lr": train.optimizer.lr, "steps": train.steps,
        "symbols": train.steps * train.batch * train.window,
        "flops": run.flops, "seconds": run.flops / rate, "done": done,
    }  # fmt: skip
