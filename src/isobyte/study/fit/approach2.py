"""Approach 2 of Hoffmann et al. (arXiv 2203.15556, section 3.2): a parabola of loss in ln N per budget.

The vertex is interpolated, never the nearest run; D* and C* are read off the same budget at N* by a
quadratic in ln N, so they are exact when C is a power of N times D, and C is as achieved. Exponents are
ordinary least squares of ln N* and ln D* on ln C*. A parabola is only the second-order shape of the
curve: unless alpha = beta its vertex is biased, more so on wide or off-centre grids, and the bias grows
when extrapolated. A budget without an interior minimum reports its best run, flagged, and takes no part
in the exponents.
"""

from dataclasses import dataclass, field

import numpy as np

from isobyte.study.fit.runs import SPLIT, Floats, Runs, budgets_of, distinct_values, slope

SPREAD = 2.0
"""Runs whose achieved compute spans more than this are no budget, and get no parabola."""

WIDE = 16.0 * 1.05
"""A grid whose largest N exceeds its smallest by more than this (about +-4x) is called wide."""


@dataclass(frozen=True)
class Optimum:
    """The compute-optimal run of one budget. `edge`: no interior minimum, so this is the best run itself."""

    budget: str | float | int
    C: float
    N: float
    D: float
    L: float
    points: int
    edge: bool
    warnings: list[str]


@dataclass(frozen=True, eq=False)
class Approach2Fit:
    """N* ~ C^a and D* ~ C^b, or NaN where fewer than two budgets have an interior optimum."""

    a: float
    b: float
    log_n: float
    log_d: float
    optima: list[Optimum]
    warnings: list[str] = field(default_factory=list)

    def optimum(self, C: float) -> tuple[float, float]:
        """(N*, D*) that the fitted power laws give at compute C."""
        return float(np.exp(self.log_n + self.a * np.log(C))), float(np.exp(self.log_d + self.b * np.log(C)))

    def interior(self) -> list[Optimum]:
        """The optima that were interpolated."""
        return [optimum for optimum in self.optima if not optimum.edge]


@dataclass(frozen=True, eq=False)
class Approach2Draws:
    """Exponents (draws,), and compute and loss at each budget's optimum (draws, budgets), NaN for none."""

    a: Floats
    b: Floats
    C: Floats
    L: Floats


def fit_approach2(runs: Runs) -> Approach2Fit:
    """Fit a parabola to every budget with 3 distinct N or more (4 or more are advised) and then a and b."""
    runs.require(points=1, distinct=1)
    index = budgets_of(runs)
    optima = [_optimum(runs.take(np.flatnonzero(index == k))) for k in range(index.max() + 1)]
    warnings = [warning for optimum in optima for warning in optimum.warnings]
    inside = [optimum for optimum in optima if not optimum.edge]
    log_c, log_n, log_d = (np.log([[getattr(o, name) for o in inside]]) for name in ("C", "N", "D"))
    a, at_n = (float(part[0]) for part in slope(log_c, log_n))
    b, at_d = (float(part[0]) for part in slope(log_c, log_d))
    if np.isnan(a):
        warnings.append(f"too-few-budgets: {len(inside)} budgets have an interior optimum, and exponents need two")
    return Approach2Fit(a, b, at_n, at_d, optima, warnings)


def approach2_draws(runs: Runs, L: Floats, W: Floats | None) -> Approach2Draws:
    """Refit for each row of losses L (draws or 1, runs) and weights W (draws or 1, runs; None for equal)."""
    index = budgets_of(runs)
    parts = []
    for k in range(index.max() + 1):
        rows = np.flatnonzero(index == k)
        parts.append(_vertices(runs.take(rows), L[:, rows], None if W is None else W[:, rows]))
    log_c, log_n, log_d, loss = (np.stack(column, axis=1) for column in zip(*parts, strict=True))
    return Approach2Draws(slope(log_c, log_n)[0], slope(log_c, log_d)[0], np.exp(log_c), loss)


def _optimum(runs: Runs) -> Optimum:
    """One budget: its vertex, or its best run where there is none."""
    best = int(np.argmin(runs.L))
    middle = float(np.exp(np.log(runs.C).mean()))
    budget = middle if runs.budget is None else runs.budget[best].item()
    name = f"budget {budget:.4g}" if isinstance(budget, float) else f"budget {budget}"
    found: list[str] = []
    if runs.C.max() / runs.C.min() > SPLIT:
        found.append(f"budget-spread: {name}: achieved compute spans {runs.C.max() / runs.C.min():.2f}x")
    log_c, log_n, log_d, loss = (float(part[0]) for part in _vertices(runs, runs.L[None], None))
    edge = bool(np.isnan(loss))
    if edge:
        found.append(_why(runs, name))
        values = (runs.C[best], runs.N[best], runs.D[best], runs.L[best])
    else:
        values = (np.exp(log_c), np.exp(log_n), np.exp(log_d), loss)
        found += _doubts(runs, name, log_n)
    C, N, D, L = (float(value) for value in values)
    return Optimum(budget, C, N, D, L, len(runs), edge, found)


def _vertices(runs: Runs, L: Floats, W: Floats | None) -> tuple[Floats, Floats, Floats, Floats]:
    """(ln C*, ln N*, ln D*, L*), each (draws,), NaN where the parabola has no minimum inside the grid."""
    draws = max(len(L), 1 if W is None else len(W))
    if distinct_values(runs.N) < 3 or runs.C.max() / runs.C.min() > SPREAD:
        nothing = np.full(draws, np.nan)
        return nothing, nothing, nothing, nothing
    log_n = np.log(runs.N)
    middle, reach = log_n.mean(), np.ptp(log_n) / 2
    x = (log_n - middle) / reach
    columns = np.stack([np.ones_like(x), x, x * x], axis=1)
    c0, c1, c2 = _quadratics(columns, L, W).T
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = np.where(c2 > 1e-12 * np.abs(c0), -c1 / (2 * c2), np.nan)
    vertex = np.where((vertex > x.min()) & (vertex < x.max()), vertex, np.nan)
    at = np.stack([np.ones_like(vertex), vertex, vertex * vertex], axis=1)
    log_c, log_d = (at @ _quadratics(columns, np.log(column)[None], None)[0] for column in (runs.C, runs.D))
    return log_c, middle + reach * vertex, log_d, c0 + c1 * vertex + c2 * vertex**2


def _quadratics(columns: Floats, target: Floats, W: Floats | None) -> Floats:
    """Least-squares coefficients (draws, 3); NaN for a draw that keeps fewer than three sizes."""
    if W is None:
        return target @ np.linalg.pinv(columns).T
    sizes = np.unique(np.round(columns[:, 1], 6), return_inverse=True)[1]
    kept = np.stack([W[:, sizes == k].sum(axis=1) > 0 for k in range(sizes.max() + 1)]).sum(axis=0)
    gram = np.einsum("rm,mi,mj->rij", W, columns, columns)
    right = np.einsum("rm,mi->ri", W * target, columns)
    solution = (np.linalg.pinv(gram, hermitian=True) @ right[:, :, None])[:, :, 0]
    return np.where(kept[:, None] >= 3, solution, np.nan)


def _why(runs: Runs, name: str) -> str:
    """The reason a budget has no interior minimum."""
    kept = "its best run is reported and takes no part in a and b"
    if distinct_values(runs.N) < 3:
        return f"too-few-sizes: {name}: {distinct_values(runs.N)} sizes, and a parabola needs 3; {kept}"
    if runs.C.max() / runs.C.min() > SPREAD:
        return f"no-budget: {name}: its runs do not share a compute; {kept}"
    x = np.log(runs.N / runs.N.min())
    curvature = _quadratics(np.stack([np.ones_like(x), x, x * x], axis=1), runs.L[None], None)[0, 2]
    if curvature <= 0:
        return f"not-convex: {name}: the parabola opens downwards; {kept}"
    end = "smallest" if runs.N[np.argmin(runs.L)] < np.sqrt(runs.N.min() * runs.N.max()) else "largest"
    return f"edge: {name}: the optimum lies at or beyond the {end} N of the grid; {kept}"


def _doubts(runs: Runs, name: str, log_n: float) -> list[str]:
    found = []
    if len(runs) < 4:
        found.append(f"few-points: {name}: {len(runs)} runs leave a parabola no room for error; use 4 or more")
    off = float(np.exp(abs(log_n - 0.5 * (np.log(runs.N.min()) + np.log(runs.N.max())))))
    if off > 2:
        found.append(
            f"off-centre: {name}: the optimum is {off:.1f}x from the centre of the grid; parabolas are biased there"
        )
    wide = runs.N.max() / runs.N.min()
    if wide > WIDE:
        found.append(
            f"wide-grid: {name}: N spans {wide:.0f}x; the vertex of a parabola is biased on grids wider than 16x"
        )
    return found
