"""Approach 3 of Hoffmann et al. (arXiv 2203.15556, equation 3): a Huber loss on log loss.

    minimise  sum_i Huber_delta( LSE(a - alpha ln N_i, b - beta ln D_i, e) - ln L_i ),   delta = 1e-3

with A = exp(a), B = exp(b), E = exp(e). The Huber losses are summed: averaged, common optimisers stop
early (Besiroglu et al., arXiv 2404.10102). Kept beside variable projection because the literature
quotes it; it weighs runs by relative error and nearly ignores outliers, so the two need not agree.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from isobyte.study.fit.law import Law
from isobyte.study.fit.lm import chunks, minimise
from isobyte.study.fit.runs import Floats, Ints, Runs

DELTA = 1e-3

EXPONENT = 3.0
"""Largest alpha and beta tried."""

STARTS = 24
"""How many of the best grid points are refined."""


@dataclass(frozen=True, eq=False)
class Approach3Fit:
    """A fitted surface; `objective` is the summed Huber loss, `rms` that of L minus the fit."""

    law: Law
    objective: float
    residuals: Floats
    rms: float
    warnings: list[str] = field(default_factory=list)


def fit_approach3(runs: Runs) -> Approach3Fit:
    """Refine the best points of a grid of starts (in N and D over their geometric means), keep the lowest.

    Raises `UserError` for fewer than 6 runs, or 3 distinct N or D.
    """
    runs.require(points=6, distinct=3)
    problem = _Problem.of(runs, runs.L[None], None)
    theta, value = _minimise(problem, _best_starts(problem), np.zeros(STARTS, np.int64), tol=1e-11, steps=2000)
    best = int(value.argmin())
    law = problem.law(theta[best : best + 1]).at(0)
    residuals = runs.L - law.loss(runs.N, runs.D)
    rms = float(np.sqrt(np.mean(residuals**2)))
    return Approach3Fit(law, float(value[best]) * DELTA**2, residuals, rms, _warnings(law))


def refit_draws(runs: Runs, fit: Approach3Fit, L: Floats, W: Floats | None, *, tol: float = 1e-5) -> Law:
    """One law per row of losses L (draws or 1, runs) and weights W (draws or 1, runs), each begun at `fit`."""
    problem = _Problem.of(runs, L, W)
    draws = max(len(problem.log_l), 1 if W is None else len(W))
    start = np.tile(problem.theta(fit.law), (draws, 1))
    return problem.law(_minimise(problem, start, np.arange(draws), tol=tol, steps=100)[0])


@dataclass(frozen=True, eq=False)
class _Problem:
    """Centred ln N, ln D (runs,), their means, and log losses and weights (draws or 1, runs)."""

    x: Floats
    y: Floats
    centre: tuple[float, float]
    log_l: Floats
    W: Floats | None
    middle: float

    @classmethod
    def of(cls, runs: Runs, L: Floats, W: Floats | None) -> "_Problem":
        x, y = np.log(runs.N), np.log(runs.D)
        log_l = np.log(np.maximum(L, 1e-300))
        middle = float(np.median(log_l[0]))
        return cls(x - x.mean(), y - y.mean(), (float(x.mean()), float(y.mean())), log_l, W, middle)

    def law(self, theta: Floats) -> Law:
        a, b, e, alpha, beta = theta.T
        return Law(np.exp(e), np.exp(a + alpha * self.centre[0]), np.exp(b + beta * self.centre[1]), alpha, beta)

    def theta(self, law: Law) -> Floats:
        a = np.log(law.A) - law.alpha * self.centre[0]
        b = np.log(law.B) - law.beta * self.centre[1]
        return np.array([a, b, np.log(law.E), law.alpha, law.beta])

    def box(self) -> tuple[Floats, Floats]:
        low, high = self.middle - 16.0, self.middle + 2.0
        return np.array([low, low, low, 0.0, 0.0]), np.array([high, high, high, EXPONENT, EXPONENT])


def _minimise(problem: _Problem, start: Floats, owner: Ints, *, tol: float, steps: int) -> tuple[Floats, Floats]:
    low, high = problem.box()
    return minimise(
        lambda theta, rows: _evaluate(problem, theta, owner[rows]),
        start,
        low,
        high,
        width=problem.x.size,
        tol=tol,
        steps=steps,
    )


def _evaluate(problem: _Problem, theta: Floats, rows: Ints) -> tuple[Floats, Floats, Floats]:
    """Objective over delta^2, its gradient, and the curvature of reweighted least squares."""
    a, b, e, alpha, beta = theta.T[:, :, None]
    of_n, of_d, offset = np.exp(a - alpha * problem.x), np.exp(b - beta * problem.y), np.exp(e)
    total = offset + of_n + of_d
    r = (np.log(total) - problem.log_l[rows if len(problem.log_l) > 1 else [0]]) / DELTA
    size = np.abs(r)
    inner = np.minimum(size, 1.0)
    rho, pull = inner * (size - 0.5 * inner), 1 / np.maximum(size, 1.0)
    if problem.W is not None:
        w = problem.W[rows if len(problem.W) > 1 else [0]]
        rho, pull = rho * w, pull * w
    slope = 1 / (DELTA * total)
    s_n, s_d, s_e = of_n * slope, of_d * slope, offset * slope
    jacobian = [s_n, s_d, s_e, -problem.x * s_n, -problem.y * s_d]
    gradient, curvature = np.empty((len(theta), 5)), np.empty((len(theta), 5, 5))
    for i, column in enumerate(jacobian):
        weighed = column * pull
        gradient[:, i] = np.einsum("rm,rm->r", weighed, r)
        for j in range(i + 1):
            curvature[:, i, j] = curvature[:, j, i] = np.einsum("rm,rm->r", weighed, jacobian[j])
    return rho.sum(axis=1), gradient, curvature


def _best_starts(problem: _Problem) -> Floats:
    """The most promising points of a grid over shares of the loss and exponents, (STARTS, 5)."""
    level = problem.middle + np.log([0.05, 0.15, 0.4, 0.8])
    exponent = np.array([0.1, 0.25, 0.5, 1.0, 1.8])
    mesh = np.meshgrid(level, level, level, exponent, exponent, indexing="ij")
    grid = np.stack([axis.ravel() for axis in mesh], axis=1)
    every = slice(None, None, 1 + problem.x.size // 500)
    thin = replace(problem, x=problem.x[every], y=problem.y[every], log_l=problem.log_l[:, every])
    value = np.concatenate(
        [_evaluate(thin, grid[rows], np.zeros_like(rows))[0] for rows in chunks(len(grid), thin.x.size)]
    )
    return grid[np.argsort(value, kind="stable")[:STARTS]]


def _warnings(law: Law) -> list[str]:
    found = []
    for name in ("alpha", "beta"):
        if not 1e-6 < getattr(law, name) < EXPONENT * 0.999:
            found.append(f"exponent-at-bound: {name} = {getattr(law, name):.3g} stands at the edge of the search")
    if law.E < 1e-5:
        found.append("zero-coefficient: the best E is 0; the runs do not identify it")
    return found
