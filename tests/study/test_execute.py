"""A study on disk: run, run again, killed and run again, with failures."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from isobyte.config.study import StudyConfig
from isobyte.errors import UserError
from isobyte.files import write_json
from isobyte.study.folder import StudyFolder
from isobyte.study.pipeline import run_study, study_rows
from isobyte.study.plan import PlannedRun
from tiny import study_data

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


class Recorder:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.begun: list[PlannedRun] = []
        self.states: list[str] = []

    def started(self, run: PlannedRun) -> None:
        self.begun.append(run)

    def progress(self, run: PlannedRun, flops: float) -> None: ...

    def ended(self, run: PlannedRun, state: str, detail: str) -> None:  # noqa: ARG002
        self.states.append(state)

    def measured(self, what: str, left: int) -> None: ...

    def noted(self, problem: str) -> None:
        raise AssertionError(problem)


def start(recipe: Path, out: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "isobyte.cli.main", "study", "run", str(recipe), "--out", str(out), "--json"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True
    )


def numbers(out: Path) -> dict[str, Any]:
    """What a report says of the study's results, without times and machines."""
    report = json.loads((out / "report.json").read_text())
    designs = [{key: d[key] for key in ("name", "budgets", "fit", "irreducible")} for d in report["designs"]]
    return json.loads(
        json.dumps({"designs": designs, "comparisons": report["comparisons"], "headline": report["headline"]})
    )


def packed(folder: Path) -> None:
    """Fix the packing, so that both studies sum in the same order."""
    write_json(folder / "packing.json", {"workers": 2, "threads": 1, "gpus": 0, "flops_per_second": None})


def kill_all(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def killed_and_whole(tmp_path: Path, data: dict[str, Any], kills: int) -> tuple[dict[str, Any], dict[str, Any]]:
    recipe = tmp_path / "study.json"
    write_json(recipe, data)
    whole, out = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, out):
        StudyFolder.create(folder, StudyConfig.model_validate(data))
        packed(folder)
    process = start(recipe, whole)
    _, messages = process.communicate()
    assert process.returncode == 0, messages
    total = len(list(whole.glob("runs/*/result.json")))
    draw = random.Random(0)
    for k in range(kills):
        process = start(recipe, out)
        target = (k + 1) * total / (kills + 1)
        while process.poll() is None and len(list(out.glob("runs/*/result.json"))) < target:
            time.sleep(0.01)
        time.sleep(draw.random() * 0.3)
        assert process.poll() is None, "the study ended before it could be killed"
        kill_all(process)
    process = start(recipe, out)
    _, messages = process.communicate()
    assert process.returncode == 0, messages
    return numbers(whole), numbers(out)


def test_killed_study_ends_with_the_same_numbers(tmp_path: Path) -> None:
    whole, killed = killed_and_whole(tmp_path, study_data(), kills=1)
    assert whole["designs"] == killed["designs"]
    assert whole["comparisons"] == killed["comparisons"]


@pytest.mark.slow
def test_study_killed_five_times_ends_with_the_same_numbers(tmp_path: Path) -> None:
    whole, killed = killed_and_whole(tmp_path, study_data(budgets=(1e8, 2e8, 4e8)), kills=5)
    assert whole["designs"] == killed["designs"]
    assert whole["comparisons"] == killed["comparisons"]


def test_run_again_does_no_work_and_failures_are_told(tmp_path: Path) -> None:
    data = study_data(budgets=(4e7,))
    data["designs"][1]["tuning"] |= {"lr": 1e38, "schedule": {"kind": "cosine", "warmup": 0.0}}
    data["designs"][1]["name"] = "diverges"
    study = StudyConfig.model_validate(data)
    StudyFolder.create(tmp_path / "out", study)
    packed(tmp_path / "out")
    first, second = Recorder(), Recorder()
    run_study(study, tmp_path / "out", first)
    assert {"done", "failed"} == set(first.states)
    report = (tmp_path / "out" / "report.json").read_text()
    assert "failed" in report
    run_study(study, tmp_path / "out", second)
    assert second.begun == []
    _, _, rows = study_rows(tmp_path / "out")
    broken = [row for row in rows if row["state"] == "failed"]
    assert broken
    assert all("lower train.optimizer.lr" in row["error"] for row in broken)


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    study = StudyConfig.model_validate(study_data())
    folder = StudyFolder.create(tmp_path / "out", study)
    with folder.lock(), pytest.raises(UserError, match="another process"):
        run_study(study, tmp_path / "out", Recorder())
