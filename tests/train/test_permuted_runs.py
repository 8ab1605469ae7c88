"""Runs that read in another order, from the first step to their number; stopped and resumed, they are the same."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.data.prepared import Prepared
from isobyte.likelihood.boundaries import BoundaryCoder
from isobyte.objective.permutation import TRAINING, reading_of
from isobyte.objective.span import span_starts
from isobyte.train.boundaries import fit_boundaries
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_data

KINDS: dict[str, dict[str, Any]] = {
    "window": {"kind": "window", "carry": True},
    "window-fresh": {"kind": "window", "fresh": True},
    "nearby": {"kind": "nearby", "width": 3},
    "nearby-fresh": {"kind": "nearby", "width": 3, "fresh": True},
    "blocks": {"kind": "blocks", "fresh": True},
    "stride": {"kind": "stride", "carry": True},
    "inside": {"kind": "inside"},
    "units": {"kind": "units"},
}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "ar": {"kind": "ar"},
    "masked": {"kind": "masked", "random_length": 0.5},
    "block": {"kind": "block", "block": 4},
}


def config_of(permutation: dict[str, Any] | None, objective: dict[str, Any] | None = None) -> RunConfig:
    data = run_data(steps=8, micro_batch=2) | {"objective": objective or {"kind": "ar"}, "permutation": permutation}
    return RunConfig.model_validate(data)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    config = config_of(None)
    return prepare(config.data, config.representation, tmp_path_factory.mktemp("permuted") / "data")


@pytest.mark.parametrize("name", KINDS)
def test_stopped_and_resumed_is_the_same_run(prepared: Prepared, tmp_path: Path, name: str) -> None:
    config = config_of(KINDS[name], OBJECTIVES["masked"])

    def stop(record: dict[str, Any]) -> None:
        if record.get("step") == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    whole = train(config, prepared, tmp_path / "whole", runtime=Runtime(threads=1))
    every = Runtime(threads=1, checkpoint_seconds=0.0, log_every=1)
    with pytest.raises(KeyboardInterrupt):
        train(config, prepared, tmp_path / "halved", runtime=every, report=stop)
    halved = train(config, prepared, tmp_path / "halved", runtime=Runtime(threads=1))
    both = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("whole", "halved")]
    assert both[0] == both[1]
    assert halved["likelihood"] == whole["likelihood"]
    assert whole["likelihood"]["source"] == (name if name in ("inside", "units") else "text")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_order_trains_another_network(prepared: Prepared, tmp_path: Path, objective: str) -> None:
    """One that was told nothing, one that reads in another order, and one that is told of it."""
    found = []
    for number, permutation in enumerate((None, {"kind": "stride"}, {"kind": "stride", "carry": True})):
        path = tmp_path / str(number)
        train(config_of(permutation, OBJECTIVES[objective]), prepared, path, runtime=Runtime(threads=1))
        weights = load_file(path / "model.safetensors")
        found.append(torch.cat([weights[key].flatten() for key in sorted(weights)]))
    plain, unaware, told = found
    assert not plain.equal(unaware)
    assert not unaware.equal(told)


def test_boundaries_are_those_of_what_is_read(prepared: Prepared) -> None:
    words = {"kind": "span", "spans": {"kind": "word"}}
    config = config_of({"kind": "nearby", "width": 5, "fresh": True}, words)
    found, plain = fit_boundaries(config, prepared), fit_boundaries(config_of(None, words), prepared)
    symbols = prepared.stream("train").read(0, 1 << 30).astype(np.int64)
    windows = symbols[: len(symbols) // 16 * 16].reshape(-1, 16)
    reading = reading_of(config)
    assert reading is not None
    read = np.take_along_axis(windows, reading.places(windows, TRAINING, np.arange(len(windows))), 1)
    counted = BoundaryCoder.fit(span_starts(config.objective.spans, read, np.zeros(read.shape)))
    assert found is not None
    assert plain is not None
    assert found.counts_C2.equal(counted.counts_C2)
    assert not found.counts_C2.equal(plain.counts_C2)
