"""Progress of a study: a bar over all FLOPs on a terminal, a line per run elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from isobyte.study.plan import PlannedRun


class Progress:
    """Observes `study.execute`."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = Bars(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True,
        )  # fmt: skip
        self.tasks: dict[str, int] = {}
        self.since: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def started(self, run: PlannedRun) -> None:
        key = run.config.content_hash()
        self.since[key] = time.monotonic()
        self.tasks[key] = self.bars.add_task(_name(run), total=run.flops, rate="")

    def progress(self, run: PlannedRun, flops: float) -> None:
        key = run.config.content_hash()
        elapsed = time.monotonic() - self.since[key]
        self.bars.update(self.tasks[key], completed=flops, rate=f"{flops / elapsed / 1e9:.0f} GFLOP/s")  # type: ignore[arg-type]

    def ended(self, run: PlannedRun, state: str, detail: str) -> None:
        key = run.config.content_hash()
        elapsed = time.monotonic() - self.since[key]
        self.bars.remove_task(self.tasks.pop(key))  # type: ignore[arg-type]
        style = "red" if state == "failed" else "green"
        self.console.print(f"[{style}]{state:>6}[/]  {_name(run)}  {detail}  ({elapsed:.0f} s)")

    def measured(self, what: str, left: int) -> None:
        """Beside the runs: one more is done."""
        self.console.print(f"[green]{'done':>6}[/]  {what}  ({left} left)", soft_wrap=True)

    def noted(self, problem: str) -> None:
        self.console.print(f"[red]failed[/]  {problem}", soft_wrap=True)


def _name(run: PlannedRun) -> str:
    cell = run.cell
    return f"{cell.design:<14} {cell.budget:.3g} FLOPs  {cell.size:<6} seed {cell.seed}"
