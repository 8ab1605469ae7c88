"""The gap where no law could be fitted: read off between the optima, without an interval."""

import math

import numpy as np

from isobyte.study.fit import Gap, InterpolatedEnvelope, interpolate
from isobyte.study.panel import Panel


def interpolated_gaps(a: Panel, b: Panel, count: int = 25) -> list[Gap]:
    """Gaps at losses that both designs' optima span, from worst to best; empty where they span none together."""
    curves = [_interpolated(panel) for panel in (a, b)]
    known = [curve for curve in curves if curve is not None]
    if len(known) < 2:
        return []
    best = max(float(curve.log_l.min()) for curve in known)
    worst = min(float(curve.log_l.max()) for curve in known)
    if best >= worst:
        return []
    inset = 1e-9 * (worst - best)
    gaps = []
    for loss in np.exp(np.linspace(worst - inset, best + inset, count)):
        compute_a, compute_b = (float(curve.compute(loss)) for curve in known)
        ratio = compute_a / compute_b
        gaps.append(Gap(float(loss), compute_a, compute_b, ratio, math.nan, math.nan, ratio, False))
    return gaps


def _interpolated(panel: Panel) -> InterpolatedEnvelope | None:
    """Lines through the optima; through the best runs too where fewer than two budgets have one inside."""
    if panel.approach2 is None:
        return None
    chosen = panel.approach2.interior()
    chosen = chosen if len(chosen) >= 2 else panel.approach2.optima
    return interpolate(np.array([one.C for one in chosen]), np.array([one.L for one in chosen]))
