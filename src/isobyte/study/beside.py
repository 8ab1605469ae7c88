"""What a study measures beside its runs: controls of what its designs read, probes of the networks it has trained.

No torch here: workers measure, and what they find is kept in files, so that nothing is measured twice.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from isobyte.config.study import StudyConfig
from isobyte.files import read_json
from isobyte.study.folder import StudyFolder, settle
from isobyte.study.packing import Packing
from isobyte.study.plan import Cell, plan_run
from isobyte.study.pool import Pool
from isobyte.train.folder import RunFolder

PROBED_BYTES = 16384
"""Of held-out text, for each probe of each run."""


def controls_path(folder: StudyFolder) -> Path:
    return folder.path / "controls.json"


def wants_controls(study: StudyConfig) -> bool:
    """Whether its designs differ in what is near to what: where something is turned, or read in another order."""
    return bool(study.dials) or any(design.permutation is not None for design in study.designs)


def measure_beside(
    jobs: list[dict[str, Any]], packing: Packing, told: Callable[[str, int], None] = lambda _key, _left: None
) -> list[str]:
    """Do the jobs; messages of what could not be done. A worker that dies takes its job alone with it.

    `told` hears of each job that is done, and how many are left.
    """
    pool = Pool(min(packing.workers, len(jobs)), packing.threads, packing.gpus)
    failed, waiting, running = [], list(jobs), {}
    try:
        while waiting or running:
            event = pool.events.get()
            if event.kind == "died":
                job, code = running.pop(event.worker, None), event.fields["code"]
                if job is None:
                    raise RuntimeError(f"a worker died before it had a job (exit {code}); its messages stand above")
                failed.append(f"{job['key']}: its worker died (exit {code})")
                pool.replace(event.worker)
                continue
            if event.kind in ("failed", "crashed"):
                failed.append(f"{event.fields['key']}: {event.fields['error']}")
            if event.kind in ("done", "failed", "crashed"):
                del running[event.worker]
            if event.kind == "done":
                told(event.fields["key"], len(waiting) + len(running))
            if event.worker not in running and waiting:
                running[event.worker] = waiting.pop(0)
                pool.send(event.worker, running[event.worker])
    finally:
        pool.close()
    return failed


def controls_of(folder: StudyFolder) -> dict[str, Any]:
    """Design -> its controls, where they have been measured."""
    path = controls_path(folder)
    return read_json(path) if path.exists() else {}


def probes_of(study: StudyConfig, folder: StudyFolder) -> list[dict[str, Any]]:
    """One entry per run that was probed."""
    found = []
    for cell, run in _probed(study, folder):
        if run.probes.exists():
            place = {"design": cell.design, "budget": cell.budget, "size": cell.size, "seed": cell.seed}
            found.append(place | {"folder": str(run.path.relative_to(folder.path))} | read_json(run.probes))
    return found


def beside_jobs(study: StudyConfig, folder: StudyFolder) -> list[dict[str, Any]]:
    """What is wanted and not there yet."""
    jobs: list[dict[str, Any]] = []
    if wants_controls(study) and not controls_path(folder).exists():
        plain = study.model_dump(mode="json")
        jobs.append({"do": "controls", "key": "controls", "study": plain, "path": str(controls_path(folder))})
    for cell, run in _probed(study, folder):
        if not _asked(run, study.probes):
            key = f"probes of {cell.design}, {cell.budget:.3g} FLOPs, seed {cell.seed}"
            probe = {"do": "probe", "key": key, "path": str(run.path), "names": list(study.probes)}
            jobs.append(probe | {"data": str(folder.data(run.config())), "max_bytes": PROBED_BYTES})
    return jobs


def _asked(run: RunFolder, probes: Sequence[str]) -> bool:
    """Whether the run was asked for these probes, of which it need not have all."""
    return run.probes.exists() and set(probes) <= set(read_json(run.probes).get("asked", ()))


def _probed(study: StudyConfig, folder: StudyFolder) -> list[tuple[Cell, RunFolder]]:
    """The best size of every design and budget, of the first seed's finished runs: all budgets, for some probes are
    read against compute."""
    if not study.probes:
        return []
    cells, losses = settle(study, folder)
    best: dict[tuple[str, float], tuple[float, Cell]] = {}
    for cell in cells:
        loss, place = losses.get(cell), (cell.design, cell.budget)
        if cell.seed == study.seeds[0] and loss is not None and loss < best.get(place, (math.inf, cell))[0]:
            best[place] = loss, cell
    designs = {design.name: design for design in study.designs}
    return [(c, folder.run(plan_run(study, designs[c.design], c.budget, c.size, c.seed))) for _, c in best.values()]
