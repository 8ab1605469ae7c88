"""The loss at the compute-optimal size as a function of compute, and its inverse.

Inside the range that was measured, forms hardly differ. Beyond it they do, so every extrapolation is
made under each of them:

`law`          the optimum of the fitted surface, E + k C^-m exactly (see `law`)
`power`        k C^-m through the interpolated optima, no offset
`offset`       E + k C^-m through the optima, E free in 0 .. the smallest loss
`offset-law`   the same with E taken from the fitted surface
`interpolated` straight lines in ln L over ln C between the optima; no value outside their range
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isobyte.study.fit.runs import Floats, Value, slope

FORMS = ("law", "power", "offset", "offset-law")
"""Forms that extrapolate, the main one first."""

STEEPEST = (0.003, 2.0)
"""Loss exponents m searched where the offset is free. Published ones lie in .04 .. .2."""


@dataclass(frozen=True, eq=False)
class PowerEnvelope:
    """L*(C) = E + k C^-m. Fields are floats, or arrays of shape (draws,)."""

    E: Value
    log_k: Value
    m: Value

    def loss(self, C: Value) -> Value:
        """Loss at the optimum of compute C, broadcasting."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.E + np.exp(self.log_k - self.m * np.log(C))

    def compute(self, L: Value) -> Value:
        """Compute whose optimum has loss L; infinite at or below the offset E."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            above = np.exp((self.log_k - np.log(L - self.E)) / self.m)
            return np.where(np.isnan(self.E + self.log_k + self.m), np.nan, np.where(L > self.E, above, np.inf))


@dataclass(frozen=True, eq=False)
class InterpolatedEnvelope:
    """Lines in ln L over ln C through optima whose loss falls as compute grows; NaN outside their range."""

    log_c: Floats
    log_l: Floats

    def loss(self, C: Value) -> Value:
        """Loss at the optimum of compute C."""
        return np.exp(np.interp(np.log(C), self.log_c, self.log_l, left=np.nan, right=np.nan))

    def compute(self, L: Value) -> Value:
        """Compute whose optimum has loss L."""
        return np.exp(np.interp(-np.log(L), -self.log_l, self.log_c, left=np.nan, right=np.nan))


@dataclass(frozen=True, eq=False)
class Envelopes:
    """One design's envelopes by form, as fitted (`point`) and refitted (`draws`), and where it was measured.

    `measured` is the least and the greatest compute of its runs, `df` the degrees of freedom of its noise.
    """

    point: dict[str, PowerEnvelope]
    draws: dict[str, PowerEnvelope]
    interpolated: InterpolatedEnvelope | None
    measured: tuple[float, float]
    df: int


def all_forms(law: PowerEnvelope, C: Floats, L: Floats) -> dict[str, PowerEnvelope]:
    """Every form, from the surface's own envelope and the optima C and L, each (..., budgets)."""
    return {
        "law": law,
        "power": fit_power(C, L),
        "offset": fit_offset(C, L),
        "offset-law": fit_power(C, L, law.E),
    }


def interpolate(C: Floats, L: Floats) -> InterpolatedEnvelope | None:
    """Through the optima (budgets,), leaving out any that is no better than a cheaper one; None for fewer than two."""
    order = np.argsort(C)
    C, L = C[order], L[order]
    falling = np.flatnonzero(np.concatenate([[np.inf], np.minimum.accumulate(L)[:-1]]) > L)
    return InterpolatedEnvelope(np.log(C[falling]), np.log(L[falling])) if falling.size >= 2 else None


def fit_power(C: Floats, L: Floats, E: Value = 0.0) -> PowerEnvelope:
    """Least squares of ln(L - E) on ln C over the last axis; optima that are NaN or not above E are left out."""
    E = np.asarray(E, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_l = np.log(np.where(E[..., None] < L, L - E[..., None], np.nan))
        m, log_k = slope(np.log(C), log_l)
    return PowerEnvelope(np.where(np.isnan(m), np.nan, E), log_k, -m)


def fit_offset(C: Floats, L: Floats) -> PowerEnvelope:
    """Least squares of L on E + k C^-m with E, k >= 0 over the last axis, by search over m alone.

    Needs three optima; NaN for a row with fewer.
    """
    seen = np.isfinite(C) & np.isfinite(L)
    count = np.maximum(seen.sum(axis=-1, keepdims=True), 1)
    log_c = np.where(seen, np.log(C), 0.0)
    middle = log_c.sum(axis=-1, keepdims=True) / count
    x, y = np.where(seen, log_c - middle, 0.0), np.where(seen, L, 0.0)
    low, high = (np.full(count.shape, np.log(end)) for end in STEEPEST)
    for _ in range(5):
        nodes = low + (high - low) * np.linspace(0, 1, 40)
        best = _line(x, y, seen, np.exp(nodes))[2].argmin(axis=-1)[..., None]
        step = (high - low) / 39
        centre = np.take_along_axis(nodes, best, axis=-1)
        low, high = np.maximum(centre - step, low), np.minimum(centre + step, high)
    m = np.exp(0.5 * (low + high))
    E, k, _ = _line(x, y, seen, m)
    enough = (seen.sum(axis=-1) >= 3) & (k[..., 0] > 0)
    with np.errstate(divide="ignore"):
        log_k = np.log(k[..., 0]) + m[..., 0] * middle[..., 0]
    return PowerEnvelope(*(np.where(enough, part, np.nan) for part in (E[..., 0], log_k, m[..., 0])))


def _line(x: Floats, y: Floats, seen: NDArray[np.bool_], m: Floats) -> tuple[Floats, Floats, Floats]:
    """(E, k, squared error), each (..., exponents), of y on E + k exp(-m x) with E, k >= 0."""
    z = np.where(seen[..., None, :], np.exp(-m[..., :, None] * x[..., None, :]), 0.0)
    y = y[..., None, :]
    n = np.maximum(seen.sum(axis=-1), 1)[..., None]
    sz, sy, szz, szy = z.sum(axis=-1), y.sum(axis=-1), (z * z).sum(axis=-1), (z * y).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        k = np.maximum((szy - sz * sy / n) / (szz - sz * sz / n), 0.0)
        E = (sy - k * sz) / n
        k = np.where(E < 0, szy / szz, k)
    E = np.maximum(E, 0.0)
    residual = np.where(seen[..., None, :], y - E[..., None] - k[..., None] * z, 0.0)
    return E, k, (residual * residual).sum(axis=-1)
