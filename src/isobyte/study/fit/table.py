"""Anybody's runs, from a CSV or Parquet file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isobyte.errors import UserError, nearest
from isobyte.study.fit.runs import Floats, Runs, name_rows


@dataclass(frozen=True, eq=False)
class Table:
    """The runs of a file, the rows left out on request (named columns, and `row` from 1), and remarks."""

    runs: Runs
    excluded: list[dict[str, Any]]
    notes: list[str]


def read_runs(
    path: str | Path,
    *,
    params: str,
    data: str | None,
    loss: str,
    flops: str | None = None,
    budget: str | None = None,
    seed: str | None = None,
    exclude_worst: int = 0,
) -> Table:
    """Read the named columns of `path`; `exclude_worst` leaves out that many runs of highest loss.

    Without `flops`, C = 6 N D. Without `data`, D = C / (6 N). Raises `UserError` for a file that cannot be
    read, a column that is not there (naming the nearest), and values that are missing or not positive
    (naming their rows).
    """
    path = Path(path)
    if data is None and flops is None:
        raise UserError("data is missing", where=str(path), how="name the data column, or the FLOPs column")
    wanted = [name for name in (params, data, loss, flops, budget, seed) if name is not None]
    columns = _columns(path, wanted)
    notes = []
    N, L = _numbers(columns, params, path), _numbers(columns, loss, path)
    if data is None:
        C = _numbers(columns, str(flops), path)
        D = C / (6 * N)
        notes.append(f"no data column: D = C / (6 N) from {flops!r} and {params!r}")
    elif flops is None:
        D = _numbers(columns, data, path)
        C = 6 * N * D
        notes.append(f"no FLOPs column: C = 6 N D from {params!r} and {data!r}")
    else:
        D, C = _numbers(columns, data, path), _numbers(columns, flops, path)
    seeds = None if seed is None else _numbers(columns, seed, path, positive=False).astype(np.int64)
    runs = Runs(N, D, C, L, None if budget is None else np.asarray(columns[budget]), seeds)
    return _without_worst(runs, columns, exclude_worst, notes)


def _without_worst(runs: Runs, columns: Mapping[str, Any], count: int, notes: list[str]) -> Table:
    if count and not 0 <= count < len(runs):
        raise UserError(f"cannot exclude {count} of {len(runs)} runs")
    order = np.argsort(runs.L, kind="stable")
    keep, drop = np.sort(order[: len(runs) - count]), np.sort(order[len(runs) - count :])
    excluded = [{"row": int(row) + 1} | {name: columns[name][row] for name in columns} for row in drop]
    return Table(runs.take(keep), excluded, notes)


def _columns(path: Path, wanted: list[str]) -> dict[str, list[Any]]:
    """The wanted columns as lists, None where a value is missing."""
    import pyarrow
    from pyarrow import csv, parquet

    if not path.is_file():
        raise UserError("no such file", where=str(path))
    try:
        read = parquet.read_table if path.suffix.lower() in (".parquet", ".pq") else csv.read_csv
        table = read(path)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"cannot be read: {reason}", where=str(path), how="give a CSV or Parquet file") from error
    for name in wanted:
        if name not in table.column_names:
            raise UserError(f"no column {name!r}", where=str(path), how=nearest(name, table.column_names))
    return {name: table.column(name).to_pylist() for name in dict.fromkeys(wanted)}


def _numbers(columns: Mapping[str, list[Any]], name: str, path: Path, *, positive: bool = True) -> Floats:
    try:
        values = np.array([np.nan if value is None else value for value in columns[name]], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"column {name!r} is not a column of numbers", where=str(path)) from error
    for wrong, fault in (
        (~np.isfinite(values), "no finite value"),
        ((values <= 0) & positive, "a value that is not positive"),
    ):
        if wrong.any():
            rows = name_rows(np.flatnonzero(wrong))
            raise UserError(
                f"column {name!r} has {fault} in {rows} (counted from 1, without the header)",
                where=str(path),
                how="repair or drop these runs",
            )
    return values
