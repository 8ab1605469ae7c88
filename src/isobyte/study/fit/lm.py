"""Levenberg-Marquardt on many small problems at once: one row of parameters a problem, bounds by clipping."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from isobyte.study.fit.runs import Floats, Ints

Evaluate = Callable[[Floats, Ints], tuple[Floats, Floats, Floats]]
"""(theta (r, p), rows (r,)) -> objective (r,), half gradient (r, p), half curvature (r, p, p)."""

CHUNK = 1 << 16
"""Rows x runs worked on at once: arrays that stay in the cache."""


def chunks(rows: int, width: int) -> Iterator[Ints]:
    """Indices 0 .. rows in consecutive groups that hold about `CHUNK` numbers of `width` each."""
    size = max(1, CHUNK // width)
    return (np.arange(first, min(first + size, rows)) for first in range(0, rows, size))


def minimise(
    evaluate: Evaluate,
    start: Floats,
    lower: Floats,
    upper: Floats,
    *,
    width: int,
    tol: float,
    steps: int = 200,
) -> tuple[Floats, Floats]:
    """Minimise every row's objective from `start` (rows, p) inside the box; returns (theta, objective).

    `evaluate` sees only rows still moving, in chunks by their `width` in runs. A row stops when its step
    is below `tol`, or when no damping finds a decrease. The objective never rises.
    """
    theta, value = np.clip(start, lower, upper), np.empty(len(start))
    for group in chunks(len(start), width):
        theta[group], value[group] = _descend(evaluate, theta[group], group, lower, upper, tol, steps)
    return theta, value


def _descend(
    evaluate: Evaluate, theta: Floats, rows: Ints, lower: Floats, upper: Floats, tol: float, steps: int
) -> tuple[Floats, Floats]:
    value, gradient, curvature = evaluate(theta, rows)
    damping = np.full(len(theta), 1e-3)
    active = np.arange(len(theta))
    for _ in range(steps):
        step = _step(theta[active], gradient[active], curvature[active], damping[active], lower, upper)
        trial = np.clip(theta[active] + step, lower, upper)
        moved = np.abs(trial - theta[active]).max(axis=1)
        new = evaluate(trial, rows[active])
        better = new[0] <= value[active]
        accepted = active[better]
        theta[accepted] = trial[better]
        value[accepted], gradient[accepted], curvature[accepted] = (part[better] for part in new)
        damping[active] = np.where(better, np.maximum(damping[active] / 8, 1e-12), damping[active] * 6)
        active = active[(moved > tol) & (damping[active] < 1e9)]
        if not active.size:
            break
    return theta, value


def _step(theta: Floats, gradient: Floats, curvature: Floats, damping: Floats, lower: Floats, upper: Floats) -> Floats:
    """The damped Newton step; a parameter that pushes against its bound stands still."""
    still: NDArray[np.bool_] = ((theta <= lower) & (gradient > 0)) | ((theta >= upper) & (gradient < 0))
    gradient = np.where(still, 0.0, gradient)
    curvature = np.where(still[:, :, None] | still[:, None, :], 0.0, curvature)
    diagonal = np.einsum("rii->ri", curvature)
    floor = 1e-14 * diagonal.max(axis=1, keepdims=True) + 1e-300
    ridge = np.where(still, 1.0, damping[:, None] * diagonal + floor)
    damped = curvature + np.eye(theta.shape[1]) * ridge[:, :, None]
    return -np.linalg.solve(damped, gradient[:, :, None])[:, :, 0].astype(np.float64)
