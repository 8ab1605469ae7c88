"""Runs of another study: what is taken over, what is not, and what it is worth."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from isobyte.config.run import scorer_run_config
from isobyte.config.study import StudyConfig
from isobyte.errors import UserError
from isobyte.files import read_json, write_json
from isobyte.study.execute import _State, _wanted, whole_plan
from isobyte.study.folder import StudyFolder, settle
from isobyte.study.pipeline import run_study, study_rows
from isobyte.study.plan import PlannedRun
from isobyte.study.reuse import Shelf
from isobyte.train.folder import SCORERS
from tiny import run_data, study_data


class Recorder:
    """An observer that remembers what was trained and what was taken over."""

    def __init__(self) -> None:
        self.ends: dict[str, list[str]] = {"done": [], "taken": [], "failed": []}

    def started(self, run: PlannedRun) -> None: ...

    def progress(self, run: PlannedRun, flops: float) -> None: ...

    def ended(self, run: PlannedRun, state: str, detail: str) -> None:
        assert detail
        self.ends[state].append(f"{run.cell.design} {run.cell.size} {run.cell.seed}")

    def measured(self, what: str, left: int) -> None: ...

    def noted(self, problem: str) -> None:
        raise AssertionError(problem)


def study(**changed: Any) -> StudyConfig:
    return StudyConfig.model_validate(study_data(budgets=(4e7,)) | changed)


def finished(out: Path, config: StudyConfig, losses: dict[str, float]) -> StudyFolder:
    """A study whose runs of the sizes in `losses` are done, with these losses, but for the training."""
    folder = StudyFolder.create(out, config)
    while True:
        _, found = settle(config, folder)
        wanted = [run for run in whole_plan(config, dict(found)) if run.cell not in found]
        wanted = [run for run in wanted if run.cell.size in losses]
        if not wanted:
            return folder
        for planned in wanted:
            run = folder.run(planned)
            write_json(run.path / "config.json", planned.config.model_dump(mode="json"))
            run.write_result({"likelihood": {"bpb": losses[planned.cell.size], "kind": "exact"}, "flops": 4e7, "N": 1})
            run.write_status("done")
            write_json(run.probes, {"probes": {}})


def take_over(config: StudyConfig, folder: StudyFolder, other: StudyFolder, observer: Recorder) -> None:
    """What a study does before it trains anything."""
    _wanted(config, folder, _State(dict(settle(config, folder)[1])), Shelf([other]), observer)


def test_a_study_trains_only_what_another_has_not(tmp_path: Path) -> None:
    grid = {"sizes": ["w16"], "per_budget": 1, "extend": 0}
    small, large = study(name="small", grid=grid), study(name="large", grid=grid, seeds=[0, 1])
    for out in ("small", "large", "alone"):
        StudyFolder.create(tmp_path / out, small if out == "small" else large)
        write_json(tmp_path / out / "packing.json", {"workers": 1, "threads": 1, "gpus": 0, "flops_per_second": None})
    run_study(small, tmp_path / "small", Recorder())
    observer = Recorder()
    run_study(large, tmp_path / "large", observer, reuse=[tmp_path / "small"])
    assert observer.ends == {
        "taken": ["byte-ar w16 0", "byte-masked w16 0"], "done": ["byte-ar w16 1", "byte-masked w16 1"], "failed": [],
    }  # fmt: skip
    run_study(large, tmp_path / "alone", Recorder())
    rows, alone = ({row["hash"]: row for row in study_rows(tmp_path / out)[2]} for out in ("large", "alone"))
    assert {key: row["bpb"] for key, row in rows.items()} == {key: row["bpb"] for key, row in alone.items()}
    taken = [row["taken_from"] for row in rows.values()]
    assert [source is not None for source in taken] == [True, False, True, False]
    assert all(Path(source).parent == tmp_path / "small" / "runs" for source in taken if source)
    assert read_json(tmp_path / "large" / "report.json")["runs"]["taken"] == 2
    assert "2 of them taken over from another study" in (tmp_path / "large" / "report.html").read_text()
    assert "taken over" not in (tmp_path / "alone" / "report.html").read_text()


def test_grids_are_followed_where_the_other_study_went(tmp_path: Path) -> None:
    losses = {"w16": 3.0, "w24": 3.1, "w32": 3.2, "w48": 3.3}
    other = finished(tmp_path / "other", study(), losses)
    again = study(name="again")
    folder = StudyFolder.create(tmp_path / "again", again)
    observer = Recorder()
    take_over(again, folder, other, observer)
    cells, found = settle(again, folder)
    assert set(found) == set(cells) > {run.cell for run in whole_plan(again, {})}, "beyond the grids it began with"
    assert len(observer.ends["taken"]) == len(cells)
    assert len(list(folder.path.glob("runs/*/probes.json"))) == len(cells), "what was measured comes along"
    take_over(again, folder, other, observer)
    assert len(observer.ends["taken"]) == len(cells), "nothing is taken twice"


def test_what_is_wanted_later_is_taken_then(tmp_path: Path) -> None:
    """The larger budget is placed by runs of the smaller one, one of which is yet to be trained."""
    grid = {"sizes": ["w16", "w24"], "per_budget": 1, "extend": 0}
    data = study_data() | {"grid": grid, "designs": study_data()["designs"][:1]}
    both = StudyConfig.model_validate(data)
    runs = whole_plan(both, {})
    other = finished(tmp_path / "other", both, {"w16": 3.0, "w24": 2.9})
    lost = other.run(runs[0])
    shutil.rmtree(lost.path)
    folder = StudyFolder.create(tmp_path / "mine", both)
    write_json(folder.path / "packing.json", {"workers": 1, "threads": 1, "gpus": 0, "flops_per_second": None})
    observer = Recorder()
    run_study(both, folder.path, observer, reuse=[other.path])
    assert [len(observer.ends[state]) for state in ("done", "taken", "failed")] == [1, 1, 0]


def test_designs_may_have_other_names(tmp_path: Path) -> None:
    other = finished(tmp_path / "other", study(), dict.fromkeys(("w16", "w24", "w32"), 3.0))
    data = study_data(budgets=(4e7,))
    data["designs"][0]["name"] = "plain"
    renamed = StudyConfig.model_validate(data)
    observer = Recorder()
    take_over(renamed, StudyFolder.create(tmp_path / "renamed", renamed), other, observer)
    assert [each for each in observer.ends["taken"] if each.startswith("plain")]


@pytest.mark.parametrize("state", ["running", "failed", "interrupted"])
def test_what_is_unfinished_or_different_is_left(state: str, tmp_path: Path) -> None:
    losses = {"w24": 3.0}
    other = finished(tmp_path / "other", study(), losses)
    longer = study(name="longer", evaluate={"max_bytes": 3000, "passes": 4})
    observer = Recorder()
    take_over(longer, StudyFolder.create(tmp_path / "longer", longer), other, observer)
    for path in (other.path / "runs").iterdir():
        write_json(path / "status.json", {"state": state})
    take_over(study(), StudyFolder.create(tmp_path / "same", study()), other, observer)
    assert observer.ends["taken"] == []


def test_a_run_that_has_begun_is_trained_on(tmp_path: Path) -> None:
    other = finished(tmp_path / "other", study(), {"w24": 3.0})
    folder = StudyFolder.create(tmp_path / "mine", study())
    begun = next(folder.path / path.relative_to(other.path) for path in sorted((other.path / "runs").iterdir()))
    begun.mkdir(parents=True)
    observer = Recorder()
    take_over(study(), folder, other, observer)
    assert list(begun.iterdir()) == []
    assert len(observer.ends["taken"]) == 1


def test_the_network_that_found_the_patches_comes_along(tmp_path: Path) -> None:
    """Else a report would not count what it cost."""
    shape = {"kind": "flat", "layers": 1, "width": 8, "heads": 2, "attention_window": 6}
    scorer = {"kind": "flat", "shape": shape, "train": run_data(steps=8)["train"]}
    patching = {"kind": "entropy", "scorer": scorer, "mean_length": 3.0}
    data = study_data(budgets=(4e7,))
    data["designs"] = [data["designs"][0] | {"backbone": {"kind": "blt", "hash_sizes": [], "patching": patching}}]
    config = StudyConfig.model_validate(data)
    other = finished(tmp_path / "other", config, {"w24": 3.0})
    run = whole_plan(config, {})[0].config
    trained = scorer_run_config(run)
    assert trained is not None
    for name in (trained.content_hash(), "of-another-design"):
        write_json(other.data(run) / SCORERS / name / "result.json", {"N": 7})
    folder = StudyFolder.create(tmp_path / "mine", config)
    take_over(config, folder, other, Recorder())
    (found,) = (folder.data(run) / SCORERS).iterdir()
    assert found.name == trained.content_hash()
    assert read_json(found / "result.json") == {"N": 7}


def test_a_run_is_taken_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = finished(tmp_path / "other", study(), {"w24": 3.0})
    folder = StudyFolder.create(tmp_path / "mine", study())
    copytree = shutil.copytree

    def torn(*given: Any, **options: Any) -> None:
        copytree(*given, **options)
        raise OSError("no space left on device")

    monkeypatch.setattr(shutil, "copytree", torn)
    with pytest.raises(OSError, match="no space"):
        take_over(study(), folder, other, Recorder())
    assert [path.name for path in folder.path.iterdir()] == ["study.json"]


def test_a_folder_without_a_study_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no study"):
        run_study(study(), tmp_path / "out", Recorder(), reuse=[tmp_path / "nothing"])
    assert not (tmp_path / "out").exists()
