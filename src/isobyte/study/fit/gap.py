"""The efficiency gap between two designs: the compute that a needs over what b needs, for the same loss.

A gap above 1 means that a needs more. Intervals come from the two designs' bootstrap draws taken
together, on the log scale. Values outside the measured range of either design are marked `extrapolated`.
The parity compute, where the envelopes cross, nearly always lies far outside, and there the form of the
envelope decides: so it is stated under every form, and that there is none is an answer too.
"""

from dataclasses import dataclass

import numpy as np

from isobyte.study.fit.bootstrap import interval
from isobyte.study.fit.envelope import FORMS, Envelopes, PowerEnvelope
from isobyte.study.fit.runs import Floats

HORIZON = 30 * np.log(10)
"""How far beyond the measured range a crossing is sought, in ln C: thirty decades."""


@dataclass(frozen=True)
class Gap:
    """C_a / C_b at one loss, with its interval. Infinite: a never reaches the loss.

    `interpolated` is the same ratio read off the interpolated optima, a check with no law in it; NaN
    where they do not reach.
    """

    loss: float
    compute_a: float
    compute_b: float
    gap: float
    low: float
    high: float
    interpolated: float
    extrapolated: bool


@dataclass(frozen=True)
class Parity:
    """Where the envelopes cross, under one form. `compute` is infinite where they do not, NaN where unknown.

    `share` is the part of the draws in which they cross, `better` the design ("a" or "b") that is ahead
    beyond the crossing, or from the start of the range on where there is none.
    """

    form: str
    compute: float
    low: float
    high: float
    loss: float
    share: float
    better: str
    extrapolated: bool


def common_losses(a: Envelopes, b: Envelopes, count: int = 9) -> Floats:
    """Losses that both designs reach inside their measured ranges, from worst to best; empty if none."""
    worst = min(float(one.point["law"].loss(one.measured[0])) for one in (a, b))
    best = max(float(one.point["law"].loss(one.measured[1])) for one in (a, b))
    return np.geomspace(worst, best, count) if worst > best else np.empty(0)


def gap_at_losses(a: Envelopes, b: Envelopes, losses: Floats, *, level: float = 0.9, form: str = "law") -> list[Gap]:
    """The gap at each loss (losses,)."""
    rows = []
    for loss in np.asarray(losses, dtype=np.float64):
        draws = _ratio(a.draws[form].compute(loss), b.draws[form].compute(loss))
        rows.append(_gap(a, b, float(loss), draws, level, form))
    return rows


def gap_at_computes(
    a: Envelopes, b: Envelopes, computes: Floats, *, level: float = 0.9, form: str = "law"
) -> list[Gap]:
    """The gap at the loss that b reaches with each compute (computes,)."""
    rows = []
    for compute in np.asarray(computes, dtype=np.float64):
        draws = _ratio(a.draws[form].compute(b.draws[form].loss(compute)), compute)
        rows.append(_gap(a, b, float(b.point[form].loss(compute)), draws, level, form))
    return rows


def parity(a: Envelopes, b: Envelopes, *, level: float = 0.9) -> list[Parity]:
    """The first crossing at or above the start of both measured ranges, under every form, main one first."""
    start = float(np.log(max(a.measured[0], b.measured[0])))
    end = min(a.measured[1], b.measured[1])
    rows = []
    for form in FORMS:
        log_c = float(_crossing(a.point[form], b.point[form], start)[0])
        draws = _crossing(a.draws[form], b.draws[form], start)
        low, high = interval(log_c, draws, level, min(a.df, b.df))
        with np.errstate(over="ignore"):
            compute, low, high = (float(np.exp(value)) for value in (log_c, low, high))
        loss = float(a.point[form].loss(compute)) if np.isfinite(compute) else np.nan
        share = float(np.mean(np.isfinite(draws)))
        rows.append(Parity(form, compute, low, high, loss, share, _better(a, b, form, start, log_c), compute > end))
    return rows


def _gap(a: Envelopes, b: Envelopes, loss: float, draws: Floats, level: float, form: str) -> Gap:
    compute_a, compute_b = float(a.point[form].compute(loss)), float(b.point[form].compute(loss))
    gap = float(_ratio(compute_a, compute_b))
    low, high = interval(gap, draws, level, min(a.df, b.df), log=True)
    check = np.nan
    if a.interpolated and b.interpolated:
        check = float(a.interpolated.compute(loss) / b.interpolated.compute(loss))
    inside = _inside(compute_a, a.measured) and _inside(compute_b, b.measured)
    return Gap(loss, compute_a, compute_b, gap, low, high, check, not inside)


def _ratio(a: Floats | float, b: Floats | float) -> Floats:
    """a / b, with infinite over infinite left as NaN: neither design reaches the loss."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(np.divide(a, b))


def _inside(compute: float, measured: tuple[float, float]) -> bool:
    return measured[0] * (1 - 1e-9) <= compute <= measured[1] * (1 + 1e-9)


def _difference(a: PowerEnvelope, b: PowerEnvelope, log_c: Floats) -> Floats:
    """ln L_a - ln L_b, (draws, k), at log_c of shape (draws or 1, k)."""
    a, b = (PowerEnvelope(*(np.reshape(f, (-1, 1)) for f in (one.E, one.log_k, one.m))) for one in (a, b))
    logs = [np.log(one.E + np.exp(one.log_k - one.m * log_c)) for one in (a, b)]
    return logs[0] - logs[1]


def _crossing(a: PowerEnvelope, b: PowerEnvelope, start: float) -> Floats:
    """ln C of the first crossing at or above `start`, (draws,): infinite for none, NaN for an unknown envelope."""
    grid = start + np.linspace(0, HORIZON, 700)[None]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        difference = _difference(a, b, grid)
        crosses = difference[:, :-1] * difference[:, 1:] <= 0
        first = crosses.argmax(axis=1)
        low, high = grid[0, first], grid[0, first + 1]
        sign = np.sign(np.take_along_axis(difference, first[:, None], axis=1)[:, 0])
        for _ in range(50):
            middle = 0.5 * (low + high)
            before = np.sign(_difference(a, b, middle[:, None])[:, 0]) == sign
            low, high = np.where(before, middle, low), np.where(before, high, middle)
    found = np.where(crosses.any(axis=1), 0.5 * (low + high), np.inf)
    return np.where(np.isnan(difference[:, 0]), np.nan, found)


def _better(a: Envelopes, b: Envelopes, form: str, start: float, log_c: float) -> str:
    """The design with the lower loss just beyond the crossing; by the next form where this one is unknown."""
    beyond = np.array([[log_c + 0.1 if np.isfinite(log_c) else start]])
    for known in (form, *FORMS):
        difference = float(_difference(a.point[known], b.point[known], beyond)[0, 0])
        if not np.isnan(difference):
            return "a" if difference < 0 else "b"
    return "b"
