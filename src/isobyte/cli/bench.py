"""`isobyte bench train` and `isobyte bench compress`"""

from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table

from isobyte.cli.bench_record import dated, keep
from isobyte.cli.compress import Rule
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
    from isobyte.train.runtime import Runtime

    runtime = Runtime(device=device, threads=threads, compile=compile)
    measured = bench_train(
        sizes, objective, window=window, batch=batch, seconds=seconds, runtime=runtime, report=console.print
    )
    record = dated("train", measured)
    _show(record, tables(json))
    keep(record, "train", out)
    emit(record, as_json=json)
    return 0


def compress(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = (),
    *,
    data: Path,
    rule: Rule | None = None,
    per_step: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
    out: Path | None = None,
    json: bool = False,
) -> int:
    """Trained runs beside gzip, xz, zstd, brotli and PPMd on one file: size, time and memory.

    Each works in a process of its own, and what it wrote is decompressed and compared.

    Args:
        runs: run folders; without any, only the classical ones
        data: the file to compress
        rule: the order in which symbols are revealed, where the objective leaves it open
        per_step: symbols revealed at once
        device: where runs compute: auto, cpu, cuda, ...
        threads: CPU threads of runs; the classical ones take one
        out: folder for a dated record
        json: print the record as one JSON object, last on standard output
    """
    from isobyte.evaluate.bench_compress import bench_compress
    from isobyte.evaluate.compress import Wishes
    from isobyte.train.runtime import Runtime, environment

    runtime = Runtime(device=device, threads=threads)
    rows = bench_compress(
        runs, data, Wishes(rule, per_step), device=device, threads=threads, report=console.print
    )  # fmt: skip
    measured = {**environment(runtime.apply()), "data": str(data), "bytes": rows[0]["bytes_in"], "compressors": rows}
    record = dated("compress", measured)
    tables(json).print(_compressors(record))
    keep(record, "compress", out)
    emit(record, as_json=json)
    return 0


def _compressors(record: dict[str, Any]) -> Table:
    table = Table(title=f"{record['data']}, {record['bytes']:,} bytes, {record['cpu']}, threads: {record['threads']}")
    for name in ("compressor", "bytes", "BPB", "there, s", "back, s", "there, B/s", "back, B/s", "peak MB"):
        table.add_column(name, justify="left" if name == "compressor" else "right")
    for row in record["compressors"]:
        seconds, rate, memory = row["seconds"], row["bytes_per_second"], row["peak_memory"]
        table.add_row(
            row["name"], f"{row['bytes_out']:,}", f"{row['bpb']:.4f}",
            f"{seconds['compress']:.3f}", f"{seconds['decompress']:.3f}",
            f"{rate['compress']:,.0f}", f"{rate['decompress']:,.0f}",
            "" if memory is None else f"{memory / 1e6:,.0f}",
        )  # fmt: skip
    return table


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
