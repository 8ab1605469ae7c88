"""`isobyte bench`"""

import datetime
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from isobyte.cli.output import console, emit, tables


def train(
    *,
    sizes: tuple[str, ...] = ("w64", "w256"),
    objective: str = "ar",
    window: int = 128,
    batch: int = 4,
    seconds: float = 20.0,
    device: str = "auto",
    threads: int | None = None,
    compile: bool | None = None,
    out: Path | None = None,
    json: bool = False,
) -> int:
    """Training throughput beside an eager transformers Llama of the same shape, and beside the machine's ceiling.

    Args:
        sizes: rungs of the ladder, as 48M, or widths, as w64
        objective: ar or masked
        window: symbols (bytes) in a window
        batch: windows in a step
        seconds: time to spend on each size
        device: auto, cpu, cuda, cuda:1, ...
        threads: CPU threads
        compile: compile our blocks; left out, on CUDA only
        out: folder for a dated record
        json: print the record as one JSON object, last on standard output
    """
    from isobyte.evaluate.bench_train import bench_train
    from isobyte.files import write_json
    from isobyte.train.runtime import Runtime

    runtime = Runtime(device=device, threads=threads, compile=compile)
    measured = bench_train(
        sizes, objective, window=window, batch=batch, seconds=seconds, runtime=runtime, report=console.print
    )
    now = datetime.datetime.now(datetime.UTC)
    command = shlex.join(["isobyte", "bench", "train", *sys.argv[3:]])
    record = {"date": now.isoformat(timespec="seconds"), "commit": _commit(), "command": command, **measured}
    _show(record, tables(json))
    if out is not None:
        path = out / f"bench-train-{now:%Y-%m-%d}.json"
        write_json(path, record)
        console.print(f"record: {path}")
    emit(record, as_json=json)
    return 0


def _show(record: dict[str, Any], to: Any) -> None:
    processor = record["device"] if record["device"].startswith("NVIDIA") else record["cpu"]
    table = Table(
        title=f"training, {record['objective']}, {record['batch']} x {record['window']} bytes a step, "
        f"{record['precision']}, {processor}, threads: {record['threads']}"
    )
    for name in ("size", "loop", "ms a step", "kB/s", "GFLOP/s", "ceiling", "share", "ratio (quartiles)"):
        table.add_column(name, justify="left" if name in ("size", "loop") else "right")
    for row in record["sizes"]:
        ratio = row["ratio"]
        for name in ("ours", "transformers"):
            done = row[name]
            table.add_row(
                row["size"], name,
                f"{1e3 * done['seconds_per_step']['median']:.2f}",
                f"{done['bytes_per_second'] / 1e3:.1f}",
                f"{done['flops_per_second'] / 1e9:,.1f}",
                f"{row['ceiling']['flops_per_second'] / 1e9:,.1f}",
                f"{done['share']['median']:.1%}",
                f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})" if name == "ours" else "",
            )  # fmt: skip
    to.print(table)
    to.print("equal: " + "; ".join(record["equal"]))
    to.print("different: " + "; ".join(record["different"]))
    to.print("ceiling: " + record["sizes"][0]["ceiling"]["kind"])


def _commit() -> str | None:
    """The commit that runs, where the package's source lies in a git repository of its own."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        changed = bool(git("status", "--porcelain", "--untracked-files=no", ".."))
        return git("rev-parse", "HEAD").strip() + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
