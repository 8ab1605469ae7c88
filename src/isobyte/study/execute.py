"""Run a study: hand out its runs, take what comes back, ask for more until none is wanted."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from isobyte.config.study import StudyConfig
from isobyte.study.folder import StudyFolder, settle
from isobyte.study.packing import Packing
from isobyte.study.plan import Cell, PlannedRun, decide, plan_run
from isobyte.study.pool import Event, Pool
from isobyte.study.reuse import Shelf


class Observer(Protocol):
    """Who shows progress."""

    def started(self, run: PlannedRun) -> None: ...
    def progress(self, run: PlannedRun, flops: float) -> None: ...
    def ended(self, run: PlannedRun, state: str, detail: str) -> None: ...
    def measured(self, what: str, left: int) -> None: ...
    def noted(self, problem: str) -> None: ...


@dataclass
class _State:
    """What is known, what runs, and what is to run next; `waiting` is made anew whenever a run ends."""

    losses: dict[Cell, float | None]
    running: dict[int, PlannedRun] = field(default_factory=dict)
    crashed: set[Cell] = field(default_factory=set)
    waiting: list[PlannedRun] = field(default_factory=list)


def execute(study: StudyConfig, folder: StudyFolder, packing: Packing, observer: Observer, shelf: Shelf) -> None:
    """Train every run the study wants, does not have, and does not find on the shelf.

    A run that fails or whose worker dies is recorded and the rest goes on. KeyboardInterrupt leaves every run at
    a checkpoint.
    """
    state = _State(dict(settle(study, folder)[1]))
    state.waiting = _wanted(study, folder, state, shelf, observer)
    if not state.waiting:
        return
    pool = Pool(packing.workers, packing.threads, packing.gpus)
    idle: set[int] = set()
    try:
        while state.waiting or state.running:
            for worker in sorted(idle)[: len(state.waiting)]:
                idle.discard(worker)
                _hand_out(pool, worker, state.waiting.pop(0), folder, packing, state, observer)
            event = pool.events.get()
            if _take(event, pool, folder, state, observer, idle):
                state.waiting = _wanted(study, folder, state, shelf, observer)
    finally:
        pool.close()


def _wanted(
    study: StudyConfig, folder: StudyFolder, state: _State, shelf: Shelf, observer: Observer
) -> list[PlannedRun]:
    """Runs to start next: the smallest budget first, within it the smallest size, which is the slowest per FLOP. What
    the shelf has is taken, and may want others."""
    busy = {run.cell for run in state.running.values()}
    designs = {design.name: design for design in study.designs}
    while True:
        cells, _ = decide(study, state.losses)
        wanted = [
            plan_run(study, designs[c.design], c.budget, c.size, c.seed)
            for c in cells
            if c not in state.losses and c not in busy and c not in state.crashed
        ]
        taken = [run for run in wanted if _take_over(run, folder, state, shelf, observer)]
        if not taken:
            return wanted


def _take_over(run: PlannedRun, folder: StudyFolder, state: _State, shelf: Shelf, observer: Observer) -> bool:
    found = shelf.take(run, folder)
    if found is None:
        return False
    state.losses[run.cell], source = found
    observer.started(run)
    observer.ended(run, "taken", f"{found[0]:.4f} BPB, from {source}")
    return True


def _hand_out(
    pool: Pool,
    worker: int,
    run: PlannedRun,
    folder: StudyFolder,
    packing: Packing,
    state: _State,
    observer: Observer,
) -> None:
    state.running[worker] = run
    observer.started(run)
    job: dict[str, Any] = {
        "do": "train", "key": run.config.content_hash(), "config": run.config.model_dump(mode="json"),
        "data": str(folder.data(run.config)), "path": str(folder.run(run).path),
        "runtime": {"threads": packing.threads},
    }  # fmt: skip
    pool.send(worker, job)


def _take(event: Event, pool: Pool, folder: StudyFolder, state: _State, observer: Observer, idle: set[int]) -> bool:
    """Act on what a worker said; whether a run has ended."""
    run = state.running.get(event.worker)
    if event.kind == "ready":
        idle.add(event.worker)
    elif event.kind == "progress" and run is not None:
        observer.progress(run, event.fields["flops"])
    elif event.kind in ("done", "failed", "crashed") and run is not None:
        _end(run, event, folder, state, observer)
        idle.add(event.worker)
        del state.running[event.worker]
        return True
    elif event.kind == "died" and not pool.closing:
        idle.discard(event.worker)
        if run is None and event.fields["code"] != -9:
            code = event.fields["code"]
            raise RuntimeError(f"a worker died before it had a run (exit {code}); its messages stand above")
        pool.replace(event.worker)
        if run is not None:
            _end(run, event, folder, state, observer)
            del state.running[event.worker]
            return True
    return False


def _end(run: PlannedRun, event: Event, folder: StudyFolder, state: _State, observer: Observer) -> None:
    """Record how a run ended. What failed for good counts as finished; a crash is tried again by the next `run`."""
    run_folder = folder.run(run)
    if event.kind == "done":
        bpb = event.fields["result"]["likelihood"]["bpb"]
        state.losses[run.cell] = bpb
        observer.ended(run, "done", f"{bpb:.4f} BPB")
        return
    error = event.fields.get("error") or f"its worker died (exit {event.fields['code']})"
    if event.kind == "failed":
        state.losses[run.cell] = None
        run_folder.write_status("failed", error=error)
    else:
        state.crashed.add(run.cell)
        run_folder.write_status("crashed", error=error)
    observer.ended(run, "failed", error)


def whole_plan(study: StudyConfig, losses: dict[Cell, float | None]) -> list[PlannedRun]:
    """Every run, with grids not yet measured assumed to be centred where they are expected."""
    designs = {design.name: design for design in study.designs}
    cells, _ = decide(study, losses, speculate=True)
    return [plan_run(study, designs[c.design], c.budget, c.size, c.seed) for c in cells]
