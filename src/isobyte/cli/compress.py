"""`isobyte compress` and `isobyte decompress`"""

import time
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal, Self

import tyro
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from isobyte.cli.output import console, emit
from isobyte.errors import UserError

Rule = Literal["random", "left_to_right", "confidence", "margin", "entropy"]


def compress(
    run: Annotated[Path, tyro.conf.Positional],
    source: Annotated[Path, tyro.conf.Positional],
    target: Annotated[Path | None, tyro.conf.Positional] = None,
    *,
    rule: Rule | None = None,
    per_step: int | None = None,
    seed: int = 0,
    unit: Literal["symbol", "digit"] | None = None,
    group: int | None = None,
    dry_run: bool = False,
    device: str = "cpu",
    threads: int | None = None,
    json: bool = False,
) -> int:
    """Compress any file by the probabilities of a trained run.

    It decompresses where arithmetic is the same to the last bit: docs/codec.md says what is promised.

    Args:
        run: a run's folder
        source: the file to compress; any bytes will do
        target: the file to write; may be left out with --dry-run
        rule: the order in which symbols are revealed, where the objective leaves it open
        per_step: symbols revealed at once
        seed: seed of random orders
        unit: for digits: whole symbols, or digit by digit
        group: windows that are walked in lockstep; fewer take less memory
        dry_run: only say what the file costs: walk, and write nothing
        device: auto, cpu, cuda, ...
        threads: CPU threads; recorded, and used again to decompress
        json: one JSON object, last on standard output
    """
    from isobyte.evaluate.compress import Wishes, compress_file

    if target is None and not dry_run:
        raise UserError("no file to write is named", where="compress", how="name one, or add --dry-run")
    size = source.stat().st_size if source.is_file() else 0
    with Bar("scoring" if dry_run else "compressing", size) as bar:
        record = compress_file(
            run, source, None if dry_run else target, Wishes(rule, per_step, seed, unit, group),
            device=device, number_of_threads=threads, progress=bar,
        )  # fmt: skip
    code = f"code length {record['code_length_bits'] / 8:,.1f} bytes"
    if record["bpb"] is not None:
        code += f", BPB = {record['bpb']:.4f}"
    if not dry_run:
        code = f"{record['bytes_in']:,} -> {record['bytes_out']:,} bytes; {code}"
    console.print(f"{code}; {record['bytes_per_second']:,.0f} bytes/s")
    emit(record, as_json=json)
    return 0


def decompress(
    run: Annotated[Path, tyro.conf.Positional],
    source: Annotated[Path, tyro.conf.Positional],
    target: Annotated[Path, tyro.conf.Positional],
    *,
    force: bool = False,
    json: bool = False,
) -> int:
    """Give back the file that `isobyte compress` was given, bit for bit, or nothing.

    Args:
        run: the folder of the run that it was compressed with
        source: the compressed file
        target: the file to write
        force: try although a probability may differ in its last bit here; wrong bytes are still never written
        json: one JSON object, last on standard output
    """
    from isobyte.evaluate.compress import decompress_file

    with Bar("decompressing") as bar:
        record = decompress_file(run, source, target, force=force, progress=bar)
    console.print(
        f"{record['bytes_in']:,} -> {record['bytes_out']:,} bytes, as they went in; "
        f"{record['bytes_per_second']:,.0f} bytes/s"
    )
    emit(record, as_json=json)
    return 0


class Bar:
    """Takes shares done: a bar on a terminal, a line now and then elsewhere; bytes a second where `size` is known."""

    def __init__(self, doing: str, size: int = 0, every: float = 10.0) -> None:
        self.doing, self.size, self.every = doing, size, every
        self.bars = Progress(
            TextColumn("{task.fields[text]}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
            console=console, transient=True,
        )  # fmt: skip
        self.task = self.bars.add_task("", total=1.0, text=doing)
        self.started: float | None = None
        self.said = time.monotonic()

    def __enter__(self) -> Self:
        if console.is_terminal:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if console.is_terminal:
            self.bars.stop()

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        if self.started is None:
            self.started = now
        spent = max(now - self.started, 1e-9)
        text = f"{self.doing} {share:.1%}"
        if self.size:
            text += f"  {share * self.size / spent:,.0f} bytes/s" if spent > 0.1 else ""
        self.bars.update(self.task, completed=share, text=text)
        if not console.is_terminal and now - self.said > self.every:
            self.said = now
            console.print(f"{text}  {spent / share * (1 - share):.0f} s left")
