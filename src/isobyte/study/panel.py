"""One design of a study: its finished runs, the laws fitted to them, and what is optimal at each compute."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from isobyte.config.permutation import TEXT
from isobyte.errors import UserError
from isobyte.study import words
from isobyte.study.fit import (
    Approach2Fit,
    CostMap,
    Envelopes,
    FitSummary,
    Law,
    Runs,
    fit_approach2,
    fit_cost_map,
    fit_runs,
    interpolate,
    interval,
)
from isobyte.study.fit.envelope import all_forms
from isobyte.study.fit.runs import Floats

Row = dict[str, Any]

BEYOND = 100.0
"""Curves are continued to this many times the greatest compute of the study, marked as extrapolated."""

POINTS_PER_DECADE = 12

BESIDE = 2.0
"""An optimum this many times outside the sizes trained is none."""

NOTHING = 1e-6
"""A term of the surface below this share of the loss is none."""


@dataclass(frozen=True, eq=False)
class Panel:
    """`rows` are all runs of the design, `fitted` those that can be fitted, in the order of `runs`.

    Without `summary` no law could be fitted, for the reason `problem`; `laws` are the surfaces
    of the bootstrap draws behind the summary's intervals.
    """

    name: str
    representation: str
    objective: str
    rows: list[Row]
    fitted: list[Row]
    runs: Runs | None = None
    approach2: Approach2Fit | None = None
    summary: FitSummary | None = None
    laws: Law | None = None
    problem: str | None = None

    @property
    def backbone(self) -> str:
        """The kind; rows without one are of studies that had but flat networks."""
        return str(self.rows[0].get("backbone") or "flat") if self.rows else "flat"

    @property
    def variant(self) -> str:
        """The objective with its settings."""
        return str(self.rows[0].get("variant") or self.objective) if self.rows else self.objective

    @property
    def permutation(self) -> str | None:
        """In which order windows are read, if not as they stand."""
        return self.rows[0].get("permutation") if self.rows else None

    @property
    def source(self) -> str:
        """What its BPB is one of: two designs are comparable if it is the same."""
        return str(self.rows[0].get("source") or TEXT) if self.rows else TEXT

    @property
    def kind(self) -> str | None:
        """`bound` as soon as one fitted run is a bound, else `exact`."""
        return None if not self.fitted else "bound" if any(r["kind"] == "bound" for r in self.fitted) else "exact"

    @property
    def no_envelope(self) -> str | None:
        """Why there is no loss as a function of compute; None if there is one."""
        if self.summary is None:
            return self.problem
        return _without_optimum(self.summary) or _optimum_outside(self.summary)


def _without_optimum(summary: FitSummary) -> str | None:
    law, runs = summary.varpro.law, summary.runs
    terms = float((law.A * runs.N**-law.alpha).max()), float((law.B * runs.D**-law.beta).max())
    if min(terms) > NOTHING * float(runs.L.min()):
        return None
    return f"the best {'A' if terms[0] < terms[1] else 'B'} is 0, so its fitted surface has no optimal size"


def _optimum_outside(summary: FitSummary) -> str | None:
    """An optimum that was never trained near: its loss would be extrapolated in size, if not in compute."""
    runs = summary.runs
    ends = [float(summary.varpro.law.optimum(C, summary.cost)[0]) for C in (runs.C.min(), runs.C.max())]
    low, high = float(runs.N.min()), float(runs.N.max())
    if low / BESIDE <= min(ends) and max(ends) <= high * BESIDE:
        return None
    return (
        f"its fitted surface puts the optimal N at {words.scientific(ends[0])} to {words.scientific(ends[1])}, "
        f"and the sizes trained are {words.scientific(low)} to {words.scientific(high)}"
    )


def fit_panel(
    name: str,
    representation: str,
    objective: str,
    rows: list[Row],
    *,
    bootstrap: int,
    level: float,
    seed: int,
) -> Panel:
    """Fit what the design's finished runs allow: all laws, parabolas alone, or nothing."""
    fitted = sorted((row for row in rows if fits(row)), key=lambda r: (r["budget"], r["N"], r["seed"], r["flops"]))
    if not fitted:
        return Panel(name, representation, objective, rows, fitted, problem="no finished run")
    runs = as_runs(fitted)
    approach2 = fit_approach2(runs)
    try:
        summary = fit_runs(runs, bootstrap=bootstrap, level=level, seed=seed)
    except UserError as error:
        return Panel(name, representation, objective, rows, fitted, runs, approach2, problem=str(error))
    return Panel(name, representation, objective, rows, fitted, runs, approach2, summary, summary.laws)


def fits(row: Row) -> bool:
    """Only finished runs with a likelihood (`exact` or `bound`) are fitted."""
    numbers = [row.get(key) for key in ("bpb", "N", "flops", "data_bytes", "budget")]
    return (
        row.get("state") == "done"
        and row.get("kind") in ("exact", "bound")
        and all(isinstance(x, int | float) and math.isfinite(x) and x > 0 for x in numbers)
    )


def as_runs(rows: list[Row], convention: str | None = None) -> Runs:
    """Columns of the rows; compute as achieved, or as `convention` counts it."""
    compute = [row["flops"] if convention is None else row["flops_by_convention"][convention] for row in rows]
    columns = (np.array([row[key] for row in rows], np.float64) for key in ("N", "data_bytes", "bpb", "budget"))
    N, D, L, budget = columns
    return Runs(N, D, np.array(compute, np.float64), L, budget, np.array([row["seed"] for row in rows], np.int64))


def envelopes_under(panel: Panel, convention: str) -> tuple[Envelopes, CostMap] | None:
    """The panel's envelopes with compute counted by another convention: same surfaces, another cost.

    Draws are those of the main form alone.
    """
    if panel.summary is None or panel.laws is None or panel.no_envelope:
        return None
    if not all((row.get("flops_by_convention") or {}).get(convention) for row in panel.fitted):
        return None
    runs = as_runs(panel.fitted, convention)
    cost = fit_cost_map(runs)
    inside = fit_approach2(runs).interior()
    C, L = (np.array([getattr(optimum, name) for optimum in inside]) for name in ("C", "L"))
    envelopes = Envelopes(
        point=all_forms(panel.summary.varpro.law.envelope(cost), C, L),
        draws={"law": panel.laws.envelope(cost)},
        interpolated=interpolate(C, L),
        measured=(float(runs.C.min()), float(runs.C.max())),
        df=panel.summary.envelopes.df,
    )
    return envelopes, cost


def compute_grid(low: float, high: float, *within: float) -> Floats:
    """Computes from `low` to `high`, evenly in the logarithm, and exactly those of `within` that lie between."""
    count = 1 + math.ceil(POINTS_PER_DECADE * math.log10(high / low))
    extra = [value for value in within if low < value < high]
    return np.unique(np.concatenate([np.geomspace(low, high, count), extra]))


def greatest_compute(panels: list[Panel]) -> float:
    """The most compute of any fitted run; 0 without one."""
    return max((float(panel.runs.C.max()) for panel in panels if panel.runs is not None), default=0.0)


def optimal_curve(panel: Panel, high: float, level: float) -> list[dict[str, Any]]:
    """N*, D* and loss with intervals, from the panel's least compute to `high`.

    By the fitted surface; by the parabolas' power laws, without loss and intervals, where there is none.
    """
    if panel.runs is None:
        return []
    measured = float(panel.runs.C.min()), float(panel.runs.C.max())
    computes = compute_grid(measured[0], high, measured[1])
    if panel.summary is None or panel.laws is None or panel.no_envelope:
        return _parabola_curve(panel, computes)
    law, cost, df = panel.summary.varpro.law, panel.summary.cost, panel.summary.envelopes.df
    drawn = Law(*(np.reshape(field, (-1, 1)) for field in _fields(panel.laws)))
    points, draws = law.optimum(computes, cost), drawn.optimum(computes[None], cost)
    curve = []
    for k, compute in enumerate(computes):
        entry: dict[str, Any] = {"C": compute, "extrapolated": bool(compute > measured[1])}
        for name, point, draw in zip(("N", "D", "loss"), points, draws, strict=True):
            ends = interval(float(point[k]), draw[:, k], level, df, log=True)
            entry |= {name: float(point[k]), f"{name}_low": ends[0], f"{name}_high": ends[1]}
        curve.append(entry)
    return curve


def _fields(law: Law) -> tuple[Any, ...]:
    return law.E, law.A, law.B, law.alpha, law.beta


def _parabola_curve(panel: Panel, computes: Floats) -> list[dict[str, Any]]:
    if panel.approach2 is None or panel.runs is None or math.isnan(panel.approach2.a):
        return []
    curve = []
    for compute in computes:
        N, D = panel.approach2.optimum(float(compute))
        curve.append({"C": compute, "extrapolated": bool(compute > panel.runs.C.max()), "N": N, "D": D})
    return curve
