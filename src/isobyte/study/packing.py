"""How many workers of how many threads: measured, not guessed, and remembered with the study.

At small shapes two one-thread workers can beat one two-thread worker; the packing also fixes the order of
floating-point sums, so a resumed study keeps the one it began with.
"""

import os
import sys
from dataclasses import asdict, dataclass
from typing import Any

from isobyte.files import read_json, write_json
from isobyte.study.folder import StudyFolder
from isobyte.study.plan import PlannedRun
from isobyte.study.pool import Pool


@dataclass(frozen=True)
class Packing:
    workers: int
    threads: int
    gpus: int = 0
    flops_per_second: float | None = None
    """Measured over all workers together."""


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def candidates(available: int) -> list[tuple[int, int]]:
    """(workers, threads) that use every core evenly, from one worker to one per core."""
    return [(w, available // w) for w in range(1, available + 1) if available % w == 0]


def choose(folder: StudyFolder, sample: PlannedRun, seconds: float = 1.5) -> Packing:
    """The study's packing: the stored one, or the fastest of the candidates on a run of the study."""
    path = folder.path / "packing.json"
    if path.exists():
        return Packing(**read_json(path))
    best = _measure_all(folder, sample, seconds)
    write_json(path, asdict(best))
    return best


def _measure_all(folder: StudyFolder, sample: PlannedRun, seconds: float) -> Packing:
    available = cores()
    pool = Pool(available, 1)
    try:
        gpus = _await(pool, available, "ready")[0]["cuda"]
        if gpus:
            return Packing(gpus, max(1, available // gpus), gpus)
        measured = []
        for workers, threads in candidates(available):
            job = {
                "do": "measure", "key": "packing", "seconds": seconds, "config": sample.config.model_dump(mode="json"),
                "data": str(folder.data(sample.config)), "runtime": {"threads": threads},
            }  # fmt: skip
            for worker in range(workers):
                pool.send(worker, job)
            rates = [answer["result"]["flops_per_second"] for answer in _await(pool, workers, "done")]
            measured.append(Packing(workers, threads, 0, sum(rates)))
        return max(measured, key=lambda packing: packing.flops_per_second or 0.0)
    finally:
        pool.close(patience=5)


def _await(pool: Pool, count: int, kind: str) -> list[dict[str, Any]]:
    answers = []
    while len(answers) < count:
        event = pool.events.get(timeout=300)
        if event.kind == kind:
            answers.append(event.fields)
        elif event.kind in ("died", "failed", "crashed"):
            raise RuntimeError(f"a worker {event.kind}: {event.fields}")
    return answers
