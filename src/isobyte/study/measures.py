"""What a design reached and what it took, by any measure of cost: the best size of each budget, seed by seed.

Between budgets BPB is taken to be a straight line in the logarithm of the cost; beyond them the line is continued, and
says so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from isobyte.study.panel import Row, fits

COMPUTE = "exact"
"""The measure at which runs are matched."""
PARAMETERS, TEXT_READ = "parameters", "text"
"""What may be matched in place of compute."""


@dataclass(frozen=True)
class Ladder:
    """A design with one seed: a run for each budget, the least first."""

    rows: tuple[Row, ...]

    def costs(self, measure: str) -> list[float] | None:
        """Of each run; None where one does not say."""
        found = [cost(row, measure) for row in self.rows]
        return [value for value in found if value is not None] if None not in found else None

    def bpb(self, measure: str, at: float) -> tuple[float, bool] | None:
        """BPB at this cost, and whether it lies beyond the runs; None where nothing tells."""
        costs, values = self.costs(measure), [float(row["bpb"]) for row in self.rows]
        if costs is None:
            return None
        x = np.log(costs)
        target = math.log(at)
        if len(x) < 2 or x[-1] <= x[0]:
            return (values[-1], False) if abs(target - x[-1]) < 0.02 else None
        k = int(np.clip(np.searchsorted(x, target), 1, len(x) - 1))
        slope = (values[k] - values[k - 1]) / (x[k] - x[k - 1])
        beyond = target > x[-1] + 0.02 or target < x[0] - 0.02
        return values[k] + slope * (target - x[k]), beyond


def cost(row: Row, measure: str) -> float | None:
    """FLOPs by a convention, parameters, or bytes of text."""
    match measure:
        case "exact":
            return row["flops"]
        case "parameters":
            return row["N"]
        case "text":
            return row["data_bytes"]
    return (row.get("flops_by_convention") or {}).get(measure)


def measures(rows: Sequence[Row]) -> list[str]:
    """Those that the runs carry, compute as it was matched first."""
    names = dict.fromkeys(name for row in rows for name in row.get("flops_by_convention") or {})
    return [COMPUTE, *(name for name in names if name != COMPUTE), PARAMETERS, TEXT_READ]


def ladders(rows: Sequence[Row]) -> dict[str, dict[int, Ladder]]:
    """Of each design by seed: at each budget the size that is best on average over seeds."""
    cells: dict[tuple[str, float, str], list[Row]] = {}
    for row in rows:
        if fits(row):
            cells.setdefault((row["design"], row["budget"], row["size"]), []).append(row)
    best: dict[tuple[str, float], list[Row]] = {}
    for (design, budget, _), part in cells.items():
        known = best.get((design, budget))
        if known is None or _mean(part) < _mean(known):
            best[design, budget] = part
    found: dict[str, dict[int, list[Row]]] = {}
    for (design, _), part in sorted(best.items()):
        for row in part:
            found.setdefault(design, {}).setdefault(row["seed"], []).append(row)
    return {design: {seed: Ladder(tuple(runs)) for seed, runs in seeds.items()} for design, seeds in found.items()}


def _mean(rows: list[Row]) -> float:
    return sum(row["bpb"] for row in rows) / len(rows)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with an interval by Student's t; with one seed there is none."""

    mean: float
    low: float | None
    high: float | None
    by_seed: dict[int, float]

    @classmethod
    def of(cls, by_seed: Mapping[int, float], level: float) -> "Estimate | None":
        values = np.array(list(by_seed.values()))
        if not len(values):
            return None
        mean = float(values.mean())
        if len(values) < 2:
            return cls(mean, None, None, dict(by_seed))
        half = float(student.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
        return cls(mean, mean - half, mean + half, dict(by_seed))


Pair = tuple[str, str]
"""A design and the one that it is held against."""


def gaps(
    runs: Mapping[str, Mapping[int, Ladder]], pairs: Sequence[Pair], measure: str, budget: float | None = None
) -> tuple[list[dict[int, float]], bool]:
    """BPB of each pair's first above its second, by the seeds that all of the designs have, at one cost for all: the
    most that every one of them has spent; and whether any was continued beyond its runs. With `budget`, there. Pairs
    of designs that have no run yet have no seeds, and no say."""
    there = [all(runs.get(design) for design in pair) for pair in pairs]
    designs = sorted({design for pair, known in zip(pairs, there, strict=True) if known for design in pair})
    found: list[dict[int, float]] = [{} for _ in pairs]
    beyond = False
    for seed in sorted(set.intersection(*(set(runs[design]) for design in designs))) if designs else ():
        of = {design: runs[design][seed] for design in designs}
        if budget is not None:
            values = {d: _at_budget(ladder, budget) for d, ladder in of.items()}
        else:
            tops = [costs[-1] if (costs := ladder.costs(measure)) else None for ladder in of.values()]
            known = [top for top in tops if top is not None]
            if len(known) < len(tops):
                continue
            told = {d: ladder.bpb(measure, min(known)) for d, ladder in of.items()}
            beyond = beyond or any(each is not None and each[1] for each in told.values())
            values = {d: None if each is None else each[0] for d, each in told.items()}
        for part, (one, other) in zip(found, pairs, strict=True):
            a, b = values.get(one), values.get(other)
            if a is not None and b is not None:
                part[seed] = a - b
    return found, beyond


def _at_budget(ladder: Ladder, budget: float) -> float | None:
    return next((float(row["bpb"]) for row in ladder.rows if row["budget"] == budget), None)
