"""Law 8: a run that was killed at any step and resumed is the run that never was."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isobyte.data.prepare import prepare
from isobyte.errors import UserError
from isobyte.files import write_json
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_config, run_data

EVERY_STEP = Runtime(threads=1, checkpoint_seconds=0.0, log_every=1)


def start(recipe: Path, out: Path, data: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "isobyte.cli.main", "train", str(recipe), "--out", str(out), "--data", str(data)]
    return subprocess.Popen(
        [*command, "--threads", "1", "--checkpoint-seconds", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def steps_logged(out: Path) -> int:
    path = out / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


@pytest.mark.parametrize("objective", ["ar", "masked"])
def test_killed_and_resumed_is_bit_identical(tmp_path: Path, objective: str) -> None:
    config = run_config(objective, steps=400)
    recipe = tmp_path / "run.json"
    write_json(recipe, run_data(objective, steps=400))
    prepared = prepare(config.data, config.representation, tmp_path / "data")
    whole = train(config, prepared, tmp_path / "whole", runtime=Runtime(threads=1))

    out, draw = tmp_path / "killed", random.Random(objective)
    for _ in range(3):
        before = steps_logged(out)
        process = start(recipe, out, tmp_path / "data")
        target = before + draw.randint(10, 90)
        while process.poll() is None and steps_logged(out) < target:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (out / "result.json").exists(), "the run finished before it could be killed"
    assert start(recipe, out, tmp_path / "data").wait() == 0
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    resumed = json.loads((out / "result.json").read_text())
    same = ("likelihood", "flops", "symbols", "data_bytes")
    assert {key: resumed[key] for key in same} == {key: whole[key] for key in same}
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))


def test_ctrl_c_saves_and_exits_130(tmp_path: Path) -> None:
    recipe = tmp_path / "run.json"
    write_json(recipe, run_data(steps=100_000))
    out = tmp_path / "run"
    process = start(recipe, out, tmp_path / "data")
    while process.poll() is None and steps_logged(out) < 20:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    assert "goes on from here" in messages
    assert list((out / "checkpoints").glob("step-*.safetensors"))
    assert json.loads((out / "status.json").read_text())["state"] == "interrupted"


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path) -> None:
    config = run_config(steps=30)
    prepared = prepare(config.data, config.representation, tmp_path / "data")
    whole = train(config, prepared, tmp_path / "whole", runtime=Runtime(threads=1))
    folder = tmp_path / "run"

    def stop_at_20(record: dict[str, object]) -> None:
        if record.get("step") == 20:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(config, prepared, folder, runtime=EVERY_STEP, report=stop_at_20)
    newest = sorted((folder / "checkpoints").glob("step-*.safetensors"))[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    resumed = train(config, prepared, folder, runtime=Runtime(threads=1))
    assert resumed["likelihood"] == whole["likelihood"]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    config = run_config()
    prepared = prepare(config.data, config.representation, tmp_path / "data")
    first = train(config, prepared, tmp_path / "run", runtime=Runtime(threads=1))
    before = (tmp_path / "run" / "metrics.jsonl").stat().st_mtime_ns
    assert train(config, prepared, tmp_path / "run", runtime=Runtime(threads=1)) == first
    assert (tmp_path / "run" / "metrics.jsonl").stat().st_mtime_ns == before


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    config = run_config()
    prepared = prepare(config.data, config.representation, tmp_path / "data")
    train(config, prepared, tmp_path / "run", runtime=Runtime(threads=1))
    with pytest.raises(UserError, match="holds run"):
        train(run_config(steps=13), prepared, tmp_path / "run", runtime=Runtime(threads=1))


def test_divergence_stops_before_the_update(tmp_path: Path) -> None:
    config = run_config(optimizer={"lr": 1e30}, clip=None, schedule={"kind": "cosine", "warmup": 0.0})
    prepared = prepare(config.data, config.representation, tmp_path / "data")
    with pytest.raises(UserError, match=r"lower train\.optimizer\.lr"):
        train(config, prepared, tmp_path / "run", runtime=Runtime(threads=1))
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "failed"
