"""`isobyte study fit` on a file: what it prints, and what it writes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isobyte.cli.study_fit import run_fit
from isobyte.errors import UserError

OPTIONS: dict[str, Any] = {
    "params": "params",
    "data": "bytes",
    "loss": "bpb",
    "flops": None,
    "budget": None,
    "exclude_worst": 0,
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    N = np.tile(np.geomspace(1e6, 1.6e7, 5), 4) * np.repeat([1.0, 1.7, 3.0, 5.0], 5)
    C = np.repeat([1e15, 3e15, 9e15, 2.7e16], 5)
    D = C / (6 * N)
    L = 0.6 + 9.0 * N**-0.2 + 20.0 * D**-0.2 + 0.001 * np.random.default_rng(0).normal(size=20)
    path = tmp_path / "runs.csv"
    lines = [f"{n:.6e},{d:.6e},{loss:.6f}" for n, d, loss in zip(N, D, L, strict=True)]
    path.write_text("\n".join(["params,bytes,bpb", *lines]) + "\n")
    return str(path)


def test_json_is_the_last_line(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_fit(file, **OPTIONS, bootstrap=50, level=0.9, json=True, out=str(tmp_path / "out"))
    printed = capsys.readouterr()
    assert code == 0
    found = json.loads(printed.out.splitlines()[-1])
    assert len(printed.out.splitlines()) == 1
    assert {"varpro", "approach3", "approach2"} <= set(found)
    assert set(found["varpro"]["intervals"]) == {"E", "A", "B", "alpha", "beta", "a", "b"}
    assert found == json.loads((tmp_path / "out" / "fit.json").read_text())
    assert "C = 6 N D" in printed.err


def test_tables_for_people(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {**OPTIONS, "exclude_worst": 1}
    assert run_fit(file, **options, bootstrap=50, level=0.9, json=False, out=None) == 0
    printed = capsys.readouterr()
    for word in ("varpro", "approach3", "approach2", "90% intervals from 50 residual"):
        assert word in printed.out
    assert "left out, the highest losses: rows" in printed.err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"level": 1.5}, "level is 1.5"),
        ({"bootstrap": 3}, "3 bootstrap draws"),
        ({"loss": "bpc"}, "did you mean 'bpb'"),
        ({"exclude_worst": 30}, "cannot exclude 30 of 20 runs"),
        ({"exclude_worst": 16}, "needs at least 6"),
    ],
)
def test_mistakes_are_the_users(file: str, change: dict[str, Any], says: str) -> None:
    options = {**OPTIONS, "bootstrap": 50, "level": 0.9, "json": True, "out": None} | change
    with pytest.raises(UserError, match=says):
        run_fit(file, **options)
