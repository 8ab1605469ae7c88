"""What a study measures beside its runs: what is wanted, what of it fails, and where it is found again."""

import json
from pathlib import Path
from typing import Any

import pytest

from isobyte.config.recipes import load_recipe
from isobyte.config.run import RunConfig
from isobyte.config.study import StudyConfig
from isobyte.data.prepare import prepare
from isobyte.data.prepared import Prepared
from isobyte.evaluate.probes import common, probe_run
from isobyte.evaluate.probes.common import ProbeSettings, training_text
from isobyte.files import read_json, write_json
from isobyte.study import beside, pipeline
from isobyte.study.beside import beside_jobs, controls_path, measure_beside, probes_of, wants_controls
from isobyte.study.execute import whole_plan
from isobyte.study.folder import StudyFolder
from isobyte.study.packing import Packing
from isobyte.study.pipeline import describe, run_study, study_rows
from isobyte.study.plan import PlannedRun
from isobyte.study.pool import Event
from tiny import run_config, run_data, study_data

BEST = "w24"
"""The size with the fewest bits a byte, neither the least nor the largest."""
ONE = Packing(workers=1, threads=1, gpus=0, flops_per_second=None)
DIAL = {
    "name": "order", "turns": "order", "reference": "byte-ar",
    "positions": [{"at": 0, "design": "byte-ar"}, {"at": 1, "design": "byte-masked"}],
}  # fmt: skip


def finished(out: Path, seeds: tuple[int, ...] = (0, 1), **changed: Any) -> tuple[StudyConfig, StudyFolder]:
    """A study whose runs are done but for the training; `byte-masked` of the last seed has failed."""
    study = StudyConfig.model_validate(study_data(budgets=(4e7,), seeds=seeds) | changed)
    folder = StudyFolder.create(out, study)
    for planned in whole_plan(study, {}):
        run = folder.run(planned)
        write_json(run.path / "config.json", planned.config.model_dump(mode="json"))
        if (planned.cell.design, planned.cell.seed) == ("byte-masked", seeds[-1]):
            run.write_status("failed", error="diverged")
        else:
            bpb = 3.0 if planned.cell.size == BEST else 3.1
            run.write_result({"likelihood": {"bpb": bpb, "kind": "exact"}, "flops": 4e7, "N": 1000})
    return study, folder


def test_probes_are_wanted_of_the_best_runs_of_the_first_seed(tmp_path: Path) -> None:
    study, folder = finished(tmp_path / "out", probes=["words", "layers"])
    jobs = beside_jobs(study, folder)
    cells = {each.cell: str(folder.run(each).path) for each in whole_plan(study, {})}
    wanted = {path for cell, path in cells.items() if cell.seed == 0 and cell.size == BEST}
    assert len({cell.size for cell in cells}) >= 3
    assert len(wanted) == 2
    assert len(jobs) == len(wanted)
    assert {job["path"] for job in jobs if job["do"] == "probe" and job["names"] == ["words", "layers"]} == wanted
    assert all(Path(job["data"]).name.startswith("bytes-") for job in jobs)
    json.dumps(jobs)
    study, folder = finished(tmp_path / "failed", seeds=(0,), probes=["words"])
    assert {"byte-ar"} == {job["key"].split(",")[0].removeprefix("probes of ") for job in beside_jobs(study, folder)}


def test_nothing_is_measured_twice(tmp_path: Path) -> None:
    study, folder = finished(tmp_path / "out", probes=["words"], dials=[DIAL])
    controls, *probes = beside_jobs(study, folder)
    assert controls["do"] == "controls"
    assert StudyConfig.model_validate(controls["study"]) == study
    write_json(Path(controls["path"]), {"byte-ar": {"a": 1}})
    assert beside_jobs(study, folder) == probes
    write_json(Path(probes[0]["path"]) / "probes.json", {"run": {}, "probes": {"words": 1}, "asked": ["words"]})
    assert len(probes) == 2
    assert beside_jobs(study, folder) == probes[1:]


def test_a_run_that_was_asked_for_less_is_asked_again(tmp_path: Path) -> None:
    """Such as one that another study has measured; a probe that it does not have was asked for all the same."""
    study, folder = finished(tmp_path / "out", probes=["words", "layers"])
    first, second = beside_jobs(study, folder)
    write_json(Path(first["path"]) / "probes.json", {"run": {}, "probes": {"words": 1}, "asked": ["words"]})
    assert beside_jobs(study, folder) == [first, second]
    asked = ["fragility", "layers", "words"]
    write_json(Path(first["path"]) / "probes.json", {"run": {}, "probes": {"words": 1}, "asked": asked})
    assert beside_jobs(study, folder) == [second]


def test_controls_are_wanted_where_designs_differ_in_what_is_near() -> None:
    plain = study_data()
    assert not wants_controls(StudyConfig.model_validate(plain))
    assert wants_controls(StudyConfig.model_validate(plain | {"dials": [DIAL]}))
    plain["designs"][0]["permutation"] = {"kind": "window"}
    assert wants_controls(StudyConfig.model_validate(plain))
    assert wants_controls(load_recipe("dial-shuffle", StudyConfig))


def test_without_probes_nothing_is_wanted(tmp_path: Path) -> None:
    study, folder = finished(tmp_path / "out")
    assert (beside_jobs(study, folder), probes_of(study, folder)) == ([], [])


def test_results_are_found_again_with_their_place(tmp_path: Path) -> None:
    study, folder = finished(tmp_path / "out", probes=["words"], dials=[DIAL])
    found = {"run": {"N": 1000}, "data": None, "seed": 0, "probes": {"words": {"cells": []}}}
    (first, *_) = [job for job in beside_jobs(study, folder) if job["do"] == "probe"]
    write_json(Path(first["path"]) / "probes.json", found)
    write_json(controls_path(folder), {"byte-ar": {"a": 1}})
    _, _, rows = study_rows(folder.path)
    about = describe(study, folder, rows)
    assert about["controls"] == {"byte-ar": {"a": 1}}
    (entry,) = about["probes"]
    assert {key: entry[key] for key in found} == found
    assert (entry["budget"], entry["seed"]) == (4e7, 0)
    assert first["path"] == str(folder.path / entry["folder"])
    assert first["key"] == f"probes of {entry['design']}, 4e+07 FLOPs, seed 0"
    assert entry["size"] in study.grid.sizes


class Scripted:
    """A pool whose workers answer as told by the job: what it got and what it replaced is remembered."""

    def __init__(self, size: int, *_: int) -> None:
        import queue

        self.events: queue.Queue[Event] = queue.Queue()
        self.sizes, self.replaced, self.closed = size, [], False
        for worker in range(size):
            self.events.put(Event(worker, "ready", {}))

    def send(self, worker: int, job: dict[str, Any]) -> None:
        self.events.put(Event(worker, job["ends"], {"key": job["key"], "error": "UserError: no", "code": -9}))

    def replace(self, worker: int) -> None:
        self.replaced.append(worker)
        self.events.put(Event(worker, "ready", {}))

    def close(self) -> None:
        self.closed = True


def scripted(monkeypatch: pytest.MonkeyPatch, ends: list[str], workers: int) -> tuple[list[str], Scripted]:
    pools: list[Scripted] = []
    monkeypatch.setattr(beside, "Pool", lambda *given: pools.append(Scripted(*given)) or pools[-1])
    jobs = [{"key": str(number), "ends": end} for number, end in enumerate(ends)]
    return measure_beside(jobs, Packing(workers, 1, 0, None)), pools[0]


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_what_fails_is_told_and_the_rest_is_done(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    failed, pool = scripted(monkeypatch, ["done", "failed", "died", "crashed", "done"], workers)
    assert sorted(failed) == ["1: UserError: no", "2: its worker died (exit -9)", "3: UserError: no"]
    assert (len(pool.replaced), pool.closed, pool.sizes) == (1, True, min(workers, 5))


def test_progress_counts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "Pool", Scripted)
    heard: list[tuple[str, int]] = []
    jobs = [{"key": key, "ends": end} for key, end in (("a", "done"), ("b", "failed"), ("c", "done"))]
    measure_beside(jobs, ONE, lambda key, left: heard.append((key, left)))
    assert heard == [("a", 2), ("c", 0)]


def test_a_worker_that_cannot_start_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Scripted):
        def __init__(self, *_: int) -> None:
            super().__init__(0)
            self.events.put(Event(0, "died", {"code": 1}))

    monkeypatch.setattr(beside, "Pool", Broken)
    with pytest.raises(RuntimeError, match="before it had a job"):
        measure_beside([{"key": "0"}], ONE)


def test_a_failed_job_does_not_stop_the_others(tmp_path: Path) -> None:
    """With a worker of its own: of two runs one has no weights."""
    from isobyte.train.loop import train
    from isobyte.train.runtime import Runtime

    config = run_config(steps=2, window=32)
    prepared = prepare(config.data, config.representation, tmp_path / "data")
    train(config, prepared, tmp_path / "whole", runtime=Runtime(threads=1))
    write_json(tmp_path / "bare" / "config.json", config.model_dump(mode="json"))
    rest = {"do": "probe", "names": ["fragility", "layers"], "data": str(tmp_path / "data"), "max_bytes": 2048}
    jobs = [rest | {"key": f"probes of {name}", "path": str(tmp_path / name)} for name in ("bare", "whole")]
    (failed,) = measure_beside(jobs, ONE)
    assert failed.startswith("probes of bare: UserError")
    assert "no weights" in failed
    assert not (tmp_path / "bare" / "probes.json").exists()
    found = read_json(tmp_path / "whole" / "probes.json")
    assert found.pop("asked") == ["fragility", "layers"]
    # from the study's prepared shards as from the corpus itself
    own = probe_run(tmp_path / "whole", ["fragility", "layers"], max_bytes=2048, device="cpu")
    assert found == json.loads(json.dumps(own))
    assert found["probes"].keys() == {"fragility", "layers"}


@pytest.mark.parametrize("kind", [{"kind": "bytes"}, {"kind": "bpe", "vocab_size": 280}], ids=["bytes", "bpe"])
def test_training_text_is_the_same_from_shards(
    kind: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "TRAINING_BYTES", 9000)
    config = RunConfig.model_validate(run_data() | {"representation": kind})
    shards = prepare(config.data, config.representation, tmp_path / "data")
    loaded: Any = type("Run", (), {"config": config})
    again = training_text(loaded, ProbeSettings())
    assert sum(map(len, again)) > 4000
    stream = Prepared.open(shards.folder).stream("train")
    assert training_text(loaded, ProbeSettings(training=stream)) == again


class Listener:
    """An observer that keeps what could not be measured."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.heard: list[tuple[str, int]] = []

    def started(self, run: PlannedRun) -> None: ...

    def progress(self, run: PlannedRun, flops: float) -> None: ...

    def ended(self, run: PlannedRun, state: str, detail: str) -> None: ...

    def measured(self, what: str, left: int) -> None:
        self.heard.append((what, left))

    def noted(self, problem: str) -> None:
        self.problems.append(problem)


def test_a_study_measures_and_reports_and_tells_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data: dict[str, Any] = study_data(budgets=(4e7,)) | {"probes": ["words", "fragility"]}
    data["designs"] = data["designs"][:1]
    data["grid"] = {"sizes": ["w16"], "per_budget": 1, "extend": 0}
    data["designs"][0]["tuning"]["window"] = 32
    study, out, heard = StudyConfig.model_validate(data), tmp_path / "out", Listener()
    StudyFolder.create(out, study)
    write_json(out / "packing.json", {"workers": 1, "threads": 1, "gpus": 0, "flops_per_second": None})
    run_study(study, out, heard)
    assert heard.problems == []
    assert heard.heard == [("probes of byte-ar, 4e+07 FLOPs, seed 0", 0)]
    (entry,) = read_json(out / "report.json")["study"]["probes"]
    assert entry["probes"].keys() == {"words", "fragility"}
    assert entry["probes"] == read_json(out / entry["folder"] / "probes.json")["probes"]
    page = (out / "report.html").read_text()
    assert '<section id="probes">' in page
    assert (out / "probe-words.png").exists()

    (out / "report.html").unlink()
    monkeypatch.setattr(pipeline, "beside_jobs", lambda *_: [{"key": "x"}])
    monkeypatch.setattr(pipeline, "measure_beside", lambda *_: ["x: UserError: no"])
    run_study(study, out, heard)
    assert heard.problems == ["x: UserError: no"]
    assert (out / "report.html").exists()
