"""Everything that is fitted to the runs of one design, with intervals, ready to print or to store."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isobyte.study.fit.approach2 import Approach2Fit, approach2_draws, fit_approach2
from isobyte.study.fit.approach3 import Approach3Fit, fit_approach3, refit_draws
from isobyte.study.fit.bootstrap import Resamples, interval, resample
from isobyte.study.fit.envelope import Envelopes, all_forms, interpolate
from isobyte.study.fit.law import CostMap, Law
from isobyte.study.fit.runs import Runs
from isobyte.study.fit.varpro import VarproFit, fit_draws, fit_varpro

Intervals = dict[str, tuple[float, float]]

DRAW_TOLERANCE = 1e-6
"""Accuracy of a draw's log exponents: far below their spread."""


@dataclass(frozen=True, eq=False)
class FitSummary:
    """The three fits of one design, their intervals by method, and the envelopes that gaps are made of.

    `laws` are the surfaces that variable projection fits to the resampled studies, one per draw.
    """

    runs: Runs
    varpro: VarproFit
    approach3: Approach3Fit
    approach2: Approach2Fit
    intervals: dict[str, Intervals]
    envelopes: Envelopes
    laws: Law
    resamples: str
    draws: int
    level: float

    @property
    def cost(self) -> CostMap:
        return self.varpro.cost

    def to_json(self) -> dict[str, Any]:
        """Strict JSON: numbers that are infinite or unknown are null."""
        objects = {
            "varpro": _surface(self.varpro.law, self.cost) | {"rms": self.varpro.rms},
            "approach3": _surface(self.approach3.law, self.cost)
            | {"rms": self.approach3.rms, "objective": self.approach3.objective},
            "approach2": {"a": self.approach2.a, "b": self.approach2.b}
            | {"optima": [asdict(optimum) for optimum in self.approach2.optima]},
        }
        for name, fitted in objects.items():
            warnings = getattr(self, name).warnings
            fitted |= {"intervals": self.intervals[name], "n": len(self.runs), "warnings": warnings}
        forms = {
            form: {"E": float(one.E), "log_k": float(one.log_k), "m": float(one.m)}
            for form, one in self.envelopes.point.items()
        }
        return strict(
            objects
            | {
                "n": len(self.runs),
                "cost": asdict(self.cost),
                "envelope": forms | {"measured": self.envelopes.measured},
                "bootstrap": {"kind": self.resamples, "draws": self.draws, "level": self.level},
            }
        )


def fit_runs(runs: Runs, *, bootstrap: int = 1000, level: float = 0.9, seed: int = 0) -> FitSummary:
    """Fit one design by all three methods and bootstrap them together, on the same resampled studies.

    Raises `UserError` for fewer than 6 runs, or 3 distinct N or D.
    """
    varpro, approach3, approach2 = fit_varpro(runs), fit_approach3(runs), fit_approach2(runs)
    resamples = resample(runs, varpro.law, draws=bootstrap, seed=seed)
    laws = fit_draws(runs, resamples.L, resamples.W, tol=DRAW_TOLERANCE)
    laws3 = refit_draws(runs, approach3, resamples.L, resamples.W)
    draws2 = approach2_draws(runs, resamples.L, resamples.W)
    inside = approach2.interior()
    C, L = (np.array([getattr(optimum, name) for optimum in inside]) for name in ("C", "L"))
    cost = varpro.cost
    envelopes = Envelopes(
        point=all_forms(varpro.law.envelope(cost), C, L),
        draws=all_forms(laws.envelope(cost), draws2.C, draws2.L),
        interpolated=interpolate(C, L),
        measured=(float(runs.C.min()), float(runs.C.max())),
        df=resamples.df,
    )
    two = {name: (getattr(approach2, name), getattr(draws2, name)) for name in ("a", "b")}
    intervals = {
        "varpro": _law_intervals(varpro.law, laws, cost, resamples, level),
        "approach3": _law_intervals(approach3.law, laws3, cost, resamples, level),
        "approach2": {name: interval(*pair, level, resamples.df) for name, pair in two.items()},
    }
    return FitSummary(runs, varpro, approach3, approach2, intervals, envelopes, laws, resamples.kind, bootstrap, level)


def strict(value: Any) -> Any:
    """The same tree with tuples as lists, NumPy numbers as Python ones, and null for what is not finite."""
    if isinstance(value, dict):
        return {str(key): strict(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [strict(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return strict(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _surface(law: Law, cost: CostMap) -> dict[str, Any]:
    a, b = law.exponents(cost)
    return asdict(law) | {"a": a, "b": b}


def _law_intervals(law: Law, draws: Law, cost: CostMap, resamples: Resamples, level: float) -> Intervals:
    point, drawn = _surface(law, cost), _surface(draws, cost)
    found = {}
    for name in point:
        log = name in ("A", "B") and point[name] > 0
        low, high = interval(point[name], drawn[name], level, resamples.df, log=log)
        found[name] = (max(low, 0.0), high)
    return found
