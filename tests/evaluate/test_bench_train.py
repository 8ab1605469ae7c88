"""The benchmark compares like with like and says so; its speeds are nobody's test."""

import functools
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from isobyte.cli import bench
from isobyte.config.objective import ArConfig
from isobyte.config.sizes import shape
from isobyte.cost.flops import flat_flops
from isobyte.errors import UserError
from isobyte.evaluate import bench_train as module
from isobyte.evaluate.bench_loops import our_step, their_step
from isobyte.evaluate.bench_train import ROUNDS, bench_train
from isobyte.train.runtime import Runtime

CPU = Runtime(device="cpu", threads=1)


@pytest.fixture(autouse=True)
def a_small_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "matmul_rate", lambda _device: 1e9)


def test_both_loops_learn_the_same_text_at_the_same_pace() -> None:
    """Same shape, data and optimiser: from the uniform distribution, both are down to the text's entropy together."""
    config = module._config("w16", "ar", window=16, batch=4)
    config = config.model_copy(update={"train": config.train.model_copy(update={"steps": 60})})
    text = [np.tile(np.array([65, 66, 67, 68]), (4, 4))]
    for made in (our_step(config, text, torch.device("cpu"), CPU), their_step(config, text, torch.device("cpu"))):
        losses = [made() for _ in range(60)]
        assert losses[0] == pytest.approx(math.log(256), abs=0.3)
        assert losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize("objective", ["ar", "masked"])
def test_the_record_adds_up(objective: str) -> None:
    said: list[str] = []
    record = bench_train(("w16", "w32"), objective, window=8, batch=2, seconds=0.0, runtime=CPU, report=said.append)
    json.dumps(record, allow_nan=False)
    assert record["device"] == "cpu"
    assert record["threads"] == 1
    assert [row["size"] for row in record["sizes"]] == ["w16", "w32"]
    assert len(said) == 4
    for row in record["sizes"]:
        causal = flat_flops(shape(row["size"]), ArConfig(), vocab=256, window=8).training * 2
        assert row["flops_per_step"] == causal if objective == "ar" else row["flops_per_step"] > causal
        names = ("least", "low", "median", "high", "most")
        assert [row["ratio"][name] for name in names] == sorted(row["ratio"][name] for name in names)
        assert row["ceiling"] == {
            "flops_per_second": 1e9, "kind": "measured fp32 matrix product",
            "matmul": dict.fromkeys(("median", "low", "high", "least", "most"), 1e9),
        }  # fmt: skip
        for name, flops in (("ours", row["flops_per_step"]), ("transformers", causal)):
            took = row[name]["seconds_per_step"]["median"]
            assert row[name]["bytes_per_second"] == pytest.approx(16 / took)
            assert row[name]["flops_per_second"] == pytest.approx(flops / took)
            assert row[name]["share"]["median"] == pytest.approx(flops / took / 1e9)


def test_rounds_alternate_who_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def noted(name: str) -> float:
        order.append(name)
        return 1.0

    monkeypatch.setattr(module, "matmul_rate", lambda _device: noted("product"))
    steps = {name: functools.partial(noted, name) for name in ("a", "b")}
    ceilings, times = module._rounds(steps, torch.device("cpu"), seconds=0.0)
    assert len(ceilings) == len(times["a"]) == len(times["b"]) == ROUNDS
    assert order[8:14] == ["product", "b", "a", "product", "a", "b"]  # after four calls each of warming up


def test_without_transformers_the_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"transformers is not installed.*pip install"):
        bench_train(("w16",), "ar", window=8, batch=2, seconds=0.0, runtime=CPU)


def test_an_unknown_objective_or_size_is_refused() -> None:
    with pytest.raises(UserError, match="take ar or masked"):
        bench_train(("w16",), "mlm", window=8, batch=2, seconds=0.0, runtime=CPU)
    with pytest.raises(UserError, match="unknown size"):
        bench_train(("large",), "ar", window=8, batch=2, seconds=0.0, runtime=CPU)


def test_the_command_prints_json_last_and_writes_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = bench.train(sizes=("w16",), window=8, batch=2, seconds=0.0, device="cpu", threads=1, out=tmp_path, json=True)
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    (path,) = tmp_path.glob("bench-train-*.json")
    assert code == 0
    assert json.loads(path.read_text()) == printed
    assert {"date", "commit", "command", "torch", "cpu", "sizes"} <= set(printed)
