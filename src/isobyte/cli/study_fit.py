"""`isobyte study fit`: scaling laws from anybody's runs."""

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from isobyte.cli.output import console, emit, tables
from isobyte.errors import UserError
from isobyte.files import write_json

NAMES = ("E", "A", "B", "alpha", "beta", "a", "b")
METHODS = ("varpro", "approach3", "approach2")


def run_fit(
    path: str,
    *,
    params: str,
    data: str | None,
    loss: str,
    flops: str | None,
    budget: str | None,
    exclude_worst: int,
    bootstrap: int,
    level: float,
    json: bool,
    out: str | None,
    seed: str | None = None,
) -> int:
    """Fit the runs in `path`, print tables or JSON, and write `fit.json` into the folder `out`.

    `seed` names the column that tells repeats of a run apart. Raises `UserError` as `read_runs` and
    `fit_runs` do, and for a `level` or a number of draws that makes no interval.
    """
    from isobyte.study.fit import fit_runs, read_runs, strict

    if not 0 < level < 1:
        raise UserError(f"level is {level:g}", how="give a share between 0 and 1, such as 0.9")
    if bootstrap < 20:
        raise UserError(f"{bootstrap} bootstrap draws make no interval", how="give 20 or more")
    table = read_runs(
        path,
        params=params,
        data=data,
        loss=loss,
        flops=flops,
        budget=budget,
        seed=seed,
        exclude_worst=exclude_worst,
    )
    fitted = fit_runs(table.runs, bootstrap=bootstrap, level=level).to_json()
    result = {"file": path, **fitted, "excluded": strict(table.excluded), "notes": table.notes}
    screen = tables(json)
    screen.print(_laws(result))
    screen.print(_optima(result))
    _remarks(result)
    if out is not None:
        target = Path(out) / "fit.json"
        write_json(target, result)
        console.print(f"written: {escape(str(target))}")
    emit(result, as_json=json)
    return 0


def _laws(result: dict[str, Any]) -> Table:
    """A row per method and, below it, its intervals."""
    share = result["bootstrap"]
    table = Table(
        title=f"L = E + A N^-alpha + B D^-beta; N* ~ C^a, D* ~ C^b; {result['n']} runs",
        caption=f"{share['level']:.0%} intervals from {share['draws']} {share['kind']} bootstrap draws",
    )
    table.add_column("method")
    for name in (*NAMES, "rms"):
        table.add_column(name, justify="right")
    for method in METHODS:
        fit = result[method]
        table.add_row(method, *(_number(fit.get(name)) for name in (*NAMES, "rms")))
        ends = (fit["intervals"].get(name) for name in NAMES)
        table.add_row("", *("" if pair is None else " .. ".join(map(_number, pair)) for pair in ends), style="dim")
    return table


def _optima(result: dict[str, Any]) -> Table:
    table = Table(title="compute-optimal run of each budget (approach 2)")
    for name in ("budget", "C*", "N*", "D*", "L*", "runs", "remark"):
        table.add_column(name, justify="right")
    for row in result["approach2"]["optima"]:
        numbers = (_number(row[name]) for name in ("C", "N", "D", "L"))
        flag = "no interior optimum: best run" if row["edge"] else ""
        table.add_row(_number(row["budget"]), *numbers, str(row["points"]), flag)
    return table


def _remarks(result: dict[str, Any]) -> None:
    """Notes on the data, then every warning once, on standard error."""
    notes = [*result["notes"]]
    if result["excluded"]:
        rows = ", ".join(str(row["row"]) for row in result["excluded"])
        notes.append(f"left out, the highest losses: rows {rows} (counted from 1, without the header)")
    for note in notes:
        console.print(f"note: {escape(note)}")
    for method in METHODS:
        for warning in result[method]["warnings"]:
            console.print(f"[yellow]warning[/]: {method}: {escape(warning)}")


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else escape(str(value))
