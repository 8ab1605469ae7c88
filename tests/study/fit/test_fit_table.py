"""Anybody's CSV or Parquet file, and what is said when it does not fit."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from planted import CHINCHILLA, isoflop
from pyarrow import csv, parquet

from isobyte.errors import UserError
from isobyte.study.fit import read_runs

RUNS = isoflop(CHINCHILLA)


def write(path: Path, **changes: object) -> Path:
    columns = {"n": RUNS.N, "tokens": RUNS.D, "flops": RUNS.C, "loss": RUNS.L, "group": RUNS.C.round(-15)} | changes
    table = pa.table({name: pa.array(list(column)) for name, column in columns.items()})  # pyright: ignore
    parquet.write_table(table, path) if path.suffix == ".parquet" else csv.write_csv(table, path)
    return path


@pytest.mark.parametrize("name", ["runs.csv", "runs.parquet"])
def test_both_formats_read_alike(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, seed=np.arange(25) % 2)
    found = read_runs(path, params="n", data="tokens", loss="loss", flops="flops", budget="group", seed="seed")
    for column in ("N", "D", "C", "L"):
        np.testing.assert_allclose(getattr(found.runs, column), getattr(RUNS, column), rtol=1e-12)
    assert found.runs.budget is not None
    assert found.runs.seed is not None
    assert found.notes == []
    assert found.excluded == []


def test_compute_or_data_is_derived_and_said_so(tmp_path: Path) -> None:
    path = write(tmp_path / "runs.csv")
    without_flops = read_runs(path, params="n", data="tokens", loss="loss")
    np.testing.assert_allclose(without_flops.runs.C, 6 * RUNS.N * RUNS.D)
    assert "C = 6 N D" in without_flops.notes[0]
    without_data = read_runs(path, params="n", data=None, loss="loss", flops="flops")
    np.testing.assert_allclose(without_data.runs.D, RUNS.C / (6 * RUNS.N))
    assert "D = C / (6 N)" in without_data.notes[0]
    with pytest.raises(UserError, match="name the data column, or the FLOPs column"):
        read_runs(path, params="n", data=None, loss="loss")


def test_the_worst_runs_are_left_out_and_named(tmp_path: Path) -> None:
    loss = RUNS.L.copy()
    loss[[4, 11]] = 9.0, 8.0
    found = read_runs(write(tmp_path / "r.csv", loss=loss), params="n", data="tokens", loss="loss", exclude_worst=2)
    assert len(found.runs) == 23
    assert [(row["row"], row["loss"]) for row in found.excluded] == [(5, 9.0), (12, 8.0)]
    assert found.runs.L.max() < 8
    with pytest.raises(UserError, match="cannot exclude 25 of 25 runs"):
        read_runs(write(tmp_path / "r.csv"), params="n", data="tokens", loss="loss", exclude_worst=25)


def test_a_missing_column_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no column 'token'.*did you mean 'tokens'"):
        read_runs(write(tmp_path / "runs.csv"), params="n", data="token", loss="loss")


def test_missing_and_impossible_values_name_their_rows(tmp_path: Path) -> None:
    gaps = [None if k in (2, 6) else float(value) for k, value in enumerate(RUNS.L)]
    with pytest.raises(UserError, match=r"column 'loss' has no finite value in rows 3, 7"):
        read_runs(write(tmp_path / "a.csv", loss=gaps), params="n", data="tokens", loss="loss")
    negative = RUNS.D.copy()
    negative[0] = -1
    with pytest.raises(UserError, match=r"column 'tokens' has a value that is not positive in row 1"):
        read_runs(write(tmp_path / "b.csv", tokens=negative), params="n", data="tokens", loss="loss")
    with pytest.raises(UserError, match="column 'n' is not a column of numbers"):
        read_runs(write(tmp_path / "c.csv", n=["7B"] * 25), params="n", data="tokens", loss="loss")


@pytest.mark.parametrize("content", [None, b"", b"\x00\xff not a table", b"PAR1 cut short"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_that_is_no_table(tmp_path: Path, content: bytes | None, suffix: str) -> None:
    path = tmp_path / f"runs{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_runs(path, params="n", data="tokens", loss="loss")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
