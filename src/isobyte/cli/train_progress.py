"""Progress of one run: a bar on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Progress:
    """Takes the training loop's reports."""

    def __init__(self, console: Console, steps: int, every: float = 10.0) -> None:
        self.console, self.every = console, every
        self.bars = Bars(
            TextColumn("{task.fields[text]}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
            console=console, transient=True,
        )  # fmt: skip
        self.task = self.bars.add_task("", total=steps, text="")
        self.said = time.monotonic()
        self.before: tuple[float, int, float] | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def __call__(self, record: dict[str, Any]) -> None:
        if record["phase"] == "evaluate":
            self.bars.update(self.task, text="scoring the held-out text")
            return
        if record["phase"] == "scorer":
            text = f"training the entropy model: step {record.get('step', 0):,}/{record.get('steps', 0):,}"
            self.bars.update(self.task, text=text)
            return
        if record["phase"] == "patcher":
            self.console.print(f"patches have {record['mean_length']:.2f} bytes on average")
            if record["warning"]:
                self.console.print(f"warning: {record['warning']}", style="yellow")
            return
        if record["phase"] == "patches":
            text = f"finding patches: {record['bytes'] / 1e6:,.0f} of {record['of'] / 1e6:,.0f} MB"
            self.bars.update(self.task, text=text)
            return
        seconds, done, flops = record["step_seconds"], record["bytes"], record["flops"]
        seconds_before, done_before, flops_before = self.before or (0.0, 0, 0.0)
        spent = max(seconds - seconds_before, 1e-9)
        self.before = (seconds, done, flops)
        text = (
            f"step {record['step']:,}/{record['steps']:,}  loss {record['loss']:.4f}  "
            f"{(done - done_before) / spent / 1e3:,.0f} kB/s  {(flops - flops_before) / spent / 1e9:,.0f} GFLOP/s"
        )
        self.bars.update(self.task, completed=record["step"], text=text)
        if not self.console.is_terminal and time.monotonic() - self.said > self.every:
            self.said = time.monotonic()
            self.console.print(f"{text}  {self._left(record):.0f} s left")

    def _left(self, record: dict[str, Any]) -> float:
        return record["wall_seconds"] / record["step"] * (record["steps"] - record["step"])
