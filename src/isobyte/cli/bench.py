"""`isobyte bench`"""

import datetime
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Table

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
    record = _dated("train", measured)
    _show(record, tables(json))
    _keep(record, "train", out)
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
    record = _dated("compress", measured)
    tables(json).print(_compressors(record))
    _keep(record, "compress", out)
    emit(record, as_json=json)
    return 0


def sample(
    source: Annotated[str | None, tyro.conf.Positional] = None,
    *,
    lengths: tuple[int, ...] = (64, 256, 1024, 4096),
    batch: int = 8,
    drafts: tuple[int, ...] = (2, 4, 8, 16),
    refresh: tuple[Literal["never", "at_boundary", "always"], ...] = ("never", "at_boundary", "always"),
    prompt_bytes: int = 64,
    mean_length: float = 2.5,
    peer_bytes: tuple[int, ...] = (64, 256),
    peer_estimate: int | None = 1024,
    repeats: int = 3,
    graphs: bool | None = None,
    bf16: bool = False,
    data: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    out: Path | None = None,
    json: bool = False,
) -> int:
    """Generation with a Byte Latent Transformer: beside the machine's ceiling, by drafts, and beside transformers.

    Without a source a model of 66 million random weights, with a threshold for patches of the length that is asked
    for. Every text is greedy, so that all ways must give the same bytes; whether they did is in the record.

    Args:
        source: a run's folder, or a recipe whose shape gets random weights
        lengths: new bytes of plain decoding
        batch: texts at once, at the length that is nearest to 256; those of drafts are as long
        drafts: bytes drafted a round
        refresh: whether drafts begin with an exact byte
        prompt_bytes: bytes before the new ones
        mean_length: bytes per patch of what is generated, where weights are random
        peer_bytes: new bytes that transformers generates; each takes a call over all before it, so 1024 take minutes
        peer_estimate: new bytes whose time in transformers is estimated from single calls of five lengths
        repeats: how often texts of up to 256 bytes are generated; the median counts
        graphs: plain decoding by steps of fixed shapes, which CUDA records; the usual on CUDA
        bf16: weights and arithmetic in bf16, and no transformers
        data: a file that a run goes on from, in place of its held-out text
        device: auto, cpu, cuda, cuda:1, ...
        threads: CPU threads
        out: folder for a dated record
        json: print the record as one JSON object, last on standard output
    """
    from isobyte.cli.bench_sample_output import show
    from isobyte.evaluate.bench_sample import Plan, bench_sample
    from isobyte.train.runtime import Runtime

    plan = Plan(
        lengths, batch, drafts, refresh, prompt_bytes, mean_length, peer_bytes, peer_estimate, repeats, graphs, bf16
    )
    runtime = Runtime(device=device, threads=threads)
    record = _dated("sample", bench_sample(source, plan, runtime, data=data, report=console.print))
    show(record, tables(json))
    _keep(record, "sample", out)
    emit(record, as_json=json)
    return 0


def _dated(kind: str, measured: dict[str, Any]) -> dict[str, Any]:
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    command = shlex.join(["isobyte", "bench", kind, *sys.argv[3:]])
    return {"date": date, "commit": _commit(), "command": command, **measured}


def _keep(record: dict[str, Any], kind: str, out: Path | None) -> None:
    from isobyte.files import write_json

    if out is not None:
        path = out / f"bench-{kind}-{record['date'][:10]}.json"
        write_json(path, record)
        console.print(f"record: {path}")


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
