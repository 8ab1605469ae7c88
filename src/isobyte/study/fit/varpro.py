"""Variable projection: search the two exponents, solve the three coefficients exactly at each step.

At fixed (alpha, beta) the surface is linear in (E, A, B), so the search is over two well-behaved numbers
instead of five ill-conditioned ones (Golub and Pereyra 1973). The linear part is non-negative least
squares, solved in closed form for all draws and grid cells at once. N and D are divided by their
geometric means, so columns are near 1 and the fit does not depend on the units.
"""

from dataclasses import dataclass, field

import numpy as np

from isobyte.study.fit.law import CostMap, Law, fit_cost_map
from isobyte.study.fit.linear import Moments, solve_nonnegative
from isobyte.study.fit.lm import chunks, minimise
from isobyte.study.fit.runs import Floats, Ints, Runs

BOX = (0.02, 2.5)
"""Exponents searched. Published alpha and beta lie in .05 .. 1.2."""

GRID = 24
"""Exponents along each side of the grid of starts: neighbours differ by a factor 1.23."""


@dataclass(frozen=True, eq=False)
class VarproFit:
    """A fitted surface: `residuals` (runs,) are L minus the fit, `rms` is over the runs, unweighted."""

    law: Law
    cost: CostMap
    residuals: Floats
    rms: float
    warnings: list[str] = field(default_factory=list)


def fit_varpro(runs: Runs, *, weights: Floats | None = None, huber: float | None = None) -> VarproFit:
    """Fit `Law` to runs by least squares on L, optionally weighted (runs,).

    `huber` (1.345 is the usual choice) bounds the pull of a run whose residual exceeds that many robust
    standard deviations (1.4826 times the median absolute residual), by reweighting until it settles.
    Raises `UserError` for fewer than 6 runs, or 3 distinct N or D.
    """
    runs.require(points=6, distinct=3)
    weights = None if weights is None else np.asarray(weights, np.float64)[None]
    law = fit_draws(runs, runs.L[None], weights, huber=huber, starts=6).at(0)
    residuals = runs.L - law.loss(runs.N, runs.D)
    cost = fit_cost_map(runs)
    return VarproFit(law, cost, residuals, float(np.sqrt(np.mean(residuals**2))), _warnings(runs, law, cost))


def fit_draws(
    runs: Runs,
    L: Floats,
    W: Floats | None,
    *,
    huber: float | None = None,
    starts: int = 1,
    tol: float = 1e-9,
) -> Law:
    """One law per row of losses L (draws or 1, runs) and weights W (draws or 1, runs; None for equal).

    `starts` local minima of the grid are refined per draw, `tol` is the accuracy of ln alpha and ln beta.
    """
    x, y = np.log(runs.N), np.log(runs.D)
    problem = _Problem(x - x.mean(), y - y.mean(), L, np.ones((1, x.size)) if W is None else W)
    theta = _refine(problem, _grid_starts(problem, starts), tol)
    if huber is not None:
        problem, theta = _reweigh(problem, theta, huber, tol)
    E, A, B = _coefficients(problem, theta).T
    alpha, beta = np.exp(theta).T
    return Law(E, A * np.exp(alpha * x.mean()), B * np.exp(beta * y.mean()), alpha, beta)


@dataclass(frozen=True, eq=False)
class _Problem:
    """Centred ln N and ln D (runs,), losses and weights (draws or 1, runs)."""

    x: Floats
    y: Floats
    L: Floats
    W: Floats

    @property
    def draws(self) -> int:
        return max(len(self.L), len(self.W))

    def columns(self, theta: Floats) -> tuple[Floats, Floats]:
        """The two columns of the linear part, (rows, runs), at log exponents theta (rows, 2)."""
        alpha, beta = np.exp(theta).T[:, :, None]
        return np.exp(-alpha * self.x), np.exp(-beta * self.y)


def _pick(table: Floats, rows: Ints) -> Floats:
    return table if len(table) == 1 else table[rows]


def _refine(problem: _Problem, starts: Floats, tol: float) -> Floats:
    """Best log exponents (draws, 2), from starts (draws, k, 2)."""
    draws, k, _ = starts.shape
    owner = np.repeat(np.arange(draws), k)
    theta, value = minimise(
        lambda theta, rows: _evaluate(problem, theta, owner[rows]),
        starts.reshape(-1, 2),
        np.full(2, np.log(BOX[0])),
        np.full(2, np.log(BOX[1])),
        width=problem.x.size,
        tol=tol,
    )
    best = value.reshape(draws, k).argmin(axis=1)
    return theta.reshape(draws, k, 2)[np.arange(draws), best]


def _evaluate(problem: _Problem, theta: Floats, rows: Ints) -> tuple[Floats, Floats, Floats]:
    """Projected objective, its half gradient and Gauss-Newton curvature in (ln alpha, ln beta)."""
    L, w = _pick(problem.L, rows), _pick(problem.W, rows)
    p, q = problem.columns(theta)
    moments = _moments(p, q, L, w)
    linear, _ = solve_nonnegative(moments)
    E, A, B = linear.T[:, :, None]
    r = L - E - A * p - B * q
    alpha, beta = np.exp(theta).T[:, :, None]
    u, v = -alpha * A * problem.x * p, -beta * B * problem.y * q
    wr, wu, wv = w * r, w * u, w * v
    gradient = -np.stack([_dot(wr, u), _dot(wr, v)], axis=-1)
    full = np.stack([_dot(wu, u), _dot(wu, v), _dot(wu, v), _dot(wv, v)], axis=-1).reshape(-1, 2, 2)
    cross = [wu.sum(axis=1), wv.sum(axis=1), _dot(wu, p), _dot(wv, p), _dot(wu, q), _dot(wv, q)]
    explained = moments.projected(np.stack(cross, axis=-1).reshape(-1, 3, 2), linear > 0)
    return _dot(wr, r), gradient, full - explained


def _coefficients(problem: _Problem, theta: Floats) -> Floats:
    """(E, A, B) in centred units, (draws, 3), at the log exponents of each draw."""
    found = np.empty((len(theta), 3))
    for rows in chunks(len(theta), problem.x.size):
        p, q = problem.columns(theta[rows])
        found[rows] = solve_nonnegative(_moments(p, q, _pick(problem.L, rows), _pick(problem.W, rows)))[0]
    return found


def _moments(p: Floats, q: Floats, L: Floats, w: Floats) -> Moments:
    wp, wq, wl = w * p, w * q, w * L
    return Moments(
        one=w.sum(axis=1),
        p=wp.sum(axis=1),
        q=wq.sum(axis=1),
        pp=_dot(wp, p),
        qq=_dot(wq, q),
        pq=_dot(wp, q),
        l=wl.sum(axis=1),
        lp=_dot(wp, L),
        lq=_dot(wq, L),
        ll=_dot(wl, L),
    )


def _reweigh(problem: _Problem, theta: Floats, huber: float, tol: float) -> tuple[_Problem, Floats]:
    """Iteratively reweighted least squares, each round from the last; the final weights and exponents."""
    weighed = problem
    for _ in range(50):
        p, q = problem.columns(theta)
        E, A, B = _coefficients(weighed, theta).T[:, :, None]
        size = np.abs(problem.L - E - A * p - B * q)
        scale = 1.4826 * np.median(size, axis=1, keepdims=True)
        pull = np.minimum(1.0, (huber * scale + 1e-12) / np.maximum(size, 1e-300))
        weighed = _Problem(problem.x, problem.y, problem.L, problem.W * pull)
        before, theta = theta, _refine(weighed, theta[:, None], tol)
        if np.abs(theta - before).max() < 1e-7:
            break
    return weighed, theta


def _grid_starts(problem: _Problem, count: int) -> Floats:
    """The `count` lowest local minima of the objective on a grid of exponents, (draws, count, 2)."""
    nodes = np.linspace(np.log(BOX[0]), np.log(BOX[1]), GRID)
    P, Q = (np.exp(-np.exp(nodes) * column[:, None]) for column in (problem.x, problem.y))
    PQ = (P[:, :, None] * Q[:, None, :]).reshape(len(P), -1)
    best = np.empty((problem.draws, count), np.int64)
    for rows in chunks(problem.draws, GRID * GRID):
        L, w = _pick(problem.L, rows), _pick(problem.W, rows)
        wl = w * L
        moments = Moments(
            one=w.sum(axis=1)[:, None, None],
            p=(w @ P)[:, :, None],
            q=(w @ Q)[:, None, :],
            pp=(w @ P**2)[:, :, None],
            qq=(w @ Q**2)[:, None, :],
            pq=(w @ PQ).reshape(-1, GRID, GRID),
            l=wl.sum(axis=1)[:, None, None],
            lp=(wl @ P)[:, :, None],
            lq=(wl @ Q)[:, None, :],
            ll=(wl * L).sum(axis=1)[:, None, None],
        )
        objective = solve_nonnegative(moments)[1]
        if count > 1:
            objective = np.where(objective <= _lowest_neighbour(objective), objective, np.inf)
        best[rows] = np.argsort(objective.reshape(len(objective), -1), axis=1)[:, :count]
    return np.stack([nodes[best // GRID], nodes[best % GRID]], axis=-1)


def _lowest_neighbour(grid: Floats) -> Floats:
    """The least of each cell's eight neighbours, (draws, side, side)."""
    padded = np.pad(grid, ((0, 0), (1, 1), (1, 1)), constant_values=np.inf)
    side = grid.shape[1]
    shifts = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    return np.min([padded[:, i : i + side, j : j + side] for i, j in shifts], axis=0)


def _dot(a: Floats, b: Floats) -> Floats:
    """Sums of products over runs, (rows or 1, runs) each."""
    return np.einsum("rm,rm->r", *np.broadcast_arrays(a, b))


def _warnings(runs: Runs, law: Law, cost: CostMap) -> list[str]:
    found = []
    for name in ("alpha", "beta"):
        value = getattr(law, name)
        if not BOX[0] * 1.001 < value < BOX[1] / 1.001:
            found.append(f"exponent-at-bound: {name} = {value:.3g} stands at the edge of the search")
    terms = {"E": law.E, "A": law.A * runs.N.min() ** -law.alpha, "B": law.B * runs.D.min() ** -law.beta}
    for name, largest in terms.items():
        if largest < 1e-9 * runs.L.min():
            found.append(f"zero-coefficient: the best {name} is 0; the runs do not identify it")
    if np.ptp(np.log(runs.C)) < np.log(2):
        found.append("one-budget: compute spans less than 2x; N and D cannot be told apart along one curve")
    if np.ptp(np.log(runs.D / runs.N)) < np.log(2):
        found.append("one-ratio: D / N spans less than 2x; N and D cannot be told apart along one curve")
    if cost.rms > 0.02:
        found.append(f"cost-map: C = kappa N^gamma D misses the achieved C by {cost.rms:.1%} (rms)")
    return found
