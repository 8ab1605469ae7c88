"""Two designs of a study against each other: the efficiency gap at equal BPB, and the parity compute."""

import math
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from isobyte.study.fit import (
    CostMap,
    Envelopes,
    Gap,
    Parity,
    common_losses,
    gap_at_computes,
    gap_at_losses,
    interpolate,
    parity,
)
from isobyte.study.fit.runs import Floats
from isobyte.study.panel import Panel, compute_grid, envelopes_under

ORDER = {"representation": ("bytes", "bpe"), "objective": ("masked", "ar")}
"""The first of a pair is the one that comes first here: the gap says how much more it needs."""


@dataclass(frozen=True)
class Pair:
    """Designs a and b, which differ in `contrast` alone and share `within`."""

    a: Panel
    b: Panel
    contrast: str
    within: str


def pairs(panels: list[Panel]) -> list[Pair]:
    """Pairs that differ in the representation alone, then those that differ in the objective alone.

    Other differences (another backbone, another tuning) are compared where the two kinds agree, or where
    the study has just two designs.
    """
    found = []
    for one, other in combinations(panels, 2):
        same = one.representation == other.representation, one.objective == other.objective
        if same == (False, True):
            a, b = _ordered(one, other, "representation")
            found.append(Pair(a, b, "representation", one.objective))
        elif same == (True, False):
            a, b = _ordered(one, other, "objective")
            found.append(Pair(a, b, "objective", one.representation))
        elif same == (True, True) or len(panels) == 2:
            found.append(Pair(other, one, "design", ""))
    rank = ("representation", "objective", "design")
    return sorted(found, key=lambda pair: rank.index(pair.contrast))


def _ordered(one: Panel, other: Panel, contrast: str) -> tuple[Panel, Panel]:
    order = ORDER[contrast]
    place = [order.index(kind) if (kind := getattr(panel, contrast)) in order else 0.5 for panel in (one, other)]
    return (one, other) if place[0] <= place[1] else (other, one)


def compare(pair: Pair, greatest: float, level: float) -> dict[str, Any]:
    """Everything about one pair, continued to `greatest` FLOPs.

    Without a law for both, the gap is read off the interpolated optima and has no interval.
    """
    shared = {
        "a": pair.a.name,
        "b": pair.b.name,
        "contrast": pair.contrast,
        "within": pair.within,
        "kinds": {"a": pair.a.kind, "b": pair.b.kind},
        "equal_compute": _equal_compute(pair),
    }
    if pair.a.summary is None or pair.b.summary is None:
        return shared | _without_law(pair)
    a, b = pair.a.summary.envelopes, pair.b.summary.envelopes
    in_range = _in_range(a, b)
    computes = _computes(a, b, in_range, greatest)
    losses = _losses(a, b, float(computes[-1]))
    by_compute = gap_at_computes(a, b, computes, level=level)
    crossings = parity(a, b, level=level)
    return shared | {
        "method": "law",
        "problem": None,
        "headline": open_ends(headline(a, b, level)),
        "in_range": in_range,
        "losses": [open_ends(gap) for gap in gap_at_losses(a, b, losses, level=level)],
        "computes": [{"compute": C} | open_ends(gap) for C, gap in zip(computes, by_compute, strict=True)],
        "parity": [open_ends(crossing) for crossing in crossings],
        "parity_sensitivity": sensitivity(crossings),
    }


def headline(a: Envelopes, b: Envelopes, level: float) -> Gap:
    """The gap at the lowest loss that both designs reach inside their range.

    It is the loss at which the weaker design's optimum ends at its largest compute: there the measurement
    is best and closest to where the result will be used. Where the ranges share no loss, it is marked
    `extrapolated`.
    """
    return gap_at_losses(a, b, np.array([headline_loss(a, b)]), level=level)[0]


def headline_loss(a: Envelopes, b: Envelopes) -> float:
    """Where the weaker design ends."""
    return max(float(one.point["law"].loss(one.measured[1])) for one in (a, b))


def sensitivity(crossings: list[Parity]) -> dict[str, Any]:
    """How far the parity compute moves with the form of the envelope."""
    finite = [one.compute for one in crossings if math.isfinite(one.compute)]
    return {
        "least": min(finite, default=math.inf),
        "greatest": max(finite, default=math.inf),
        "never": [one.form for one in crossings if one.compute == math.inf],
        "unknown": [one.form for one in crossings if math.isnan(one.compute)],
    }


def open_ends(value: Gap | Parity) -> dict[str, Any]:
    """Its fields, and under `infinite` the names of those that are: strict JSON cannot tell them from unknown ones."""
    fields = asdict(value)
    infinite = [name for name, part in fields.items() if isinstance(part, float) and math.isinf(part)]
    return fields | {"infinite": infinite}


def under_conventions(pairs: list[Pair], panels: list[Panel], names: list[str], level: float) -> list[dict[str, Any]]:
    """Headline gaps, parity (without its interval) and exponents, with compute counted by each convention."""
    rows = []
    for name in names:
        found = {panel.name: envelopes_under(panel, name) for panel in panels}
        known = {design: pair for design, pair in found.items() if pair is not None}
        gaps = [
            _convention_gap(pair, known[pair.a.name][0], known[pair.b.name][0], level)
            for pair in pairs
            if pair.a.name in known and pair.b.name in known
        ]
        designs = [_convention_design(panel, known[panel.name][1]) for panel in panels if panel.name in known]
        if designs:
            rows.append({"convention": name, "gaps": gaps, "designs": designs})
    return rows


def _convention_gap(pair: Pair, a: Envelopes, b: Envelopes, level: float) -> dict[str, Any]:
    gap = open_ends(headline(a, b, level))
    one_draw = (replace(one, draws=one.point) for one in (a, b))
    crossing = parity(*one_draw)[0].compute
    return {"a": pair.a.name, "b": pair.b.name, "parity": crossing, "never": crossing == math.inf} | gap


def _convention_design(panel: Panel, cost: CostMap) -> dict[str, Any]:
    assert panel.summary is not None
    a, b = panel.summary.varpro.law.exponents(cost)
    return {"design": panel.name, "a": a, "b": b, "cost": asdict(cost)}


def _computes(a: Envelopes, b: Envelopes, in_range: dict[str, Any] | None, greatest: float) -> Floats:
    """Computes of b: from where the ranges begin to share losses, else from b's least."""
    if in_range is None:
        return compute_grid(b.measured[0], greatest, float(b.point["law"].compute(headline_loss(a, b))))
    return compute_grid(in_range["compute_b"][0], greatest, in_range["compute_b"][1])


def _losses(a: Envelopes, b: Envelopes, greatest: float, count: int = 25) -> Floats:
    """Losses that both share inside their ranges, then on to the one b reaches with the greatest compute drawn."""
    shared = common_losses(a, b, count)
    worst = float(shared[0]) if shared.size else float(a.point["law"].loss(a.measured[0]))
    best = float(shared[-1]) if shared.size else float(a.point["law"].loss(a.measured[1]))
    further = float(b.point["law"].loss(greatest))
    beyond = np.geomspace(best, further, count)[1:] if further < best else np.empty(0)
    return np.concatenate([np.geomspace(worst, best, count), beyond])


def _in_range(a: Envelopes, b: Envelopes) -> dict[str, Any] | None:
    shared = common_losses(a, b, 2)
    if not shared.size:
        return None
    ends = {name: [float(one.point["law"].compute(loss)) for loss in shared] for name, one in (("a", a), ("b", b))}
    return {"loss": shared, "compute_a": ends["a"], "compute_b": ends["b"]}


def _equal_compute(pair: Pair) -> list[dict[str, Any]]:
    """BPB of both at each budget that both have: interpolated where there is an interior optimum, else the best run."""
    optima = [
        {} if panel.approach2 is None else {optimum.budget: optimum for optimum in panel.approach2.optima}
        for panel in (pair.a, pair.b)
    ]
    shared = sorted(set(optima[0]) & set(optima[1]))
    return [
        {
            "budget": budget,
            "bpb_a": optima[0][budget].L,
            "bpb_b": optima[1][budget].L,
            "difference": optima[0][budget].L - optima[1][budget].L,
            "edge": optima[0][budget].edge or optima[1][budget].edge,
        }
        for budget in shared
    ]


def _without_law(pair: Pair) -> dict[str, Any]:
    reasons = "; ".join(f"{panel.name}: {panel.problem}" for panel in (pair.a, pair.b) if panel.problem)
    empty = {"in_range": None, "losses": [], "computes": [], "parity": [], "parity_sensitivity": None}
    curves = [_interpolated(panel) for panel in (pair.a, pair.b)]
    if curves[0] is None or curves[1] is None:
        return empty | {"method": None, "problem": reasons, "headline": None}
    a, b = curves
    log_l = (max(a.log_l.min(), b.log_l.min()), min(a.log_l.max(), b.log_l.max()))
    if log_l[0] >= log_l[1]:
        return empty | {
            "method": None,
            "problem": f"{reasons}; their losses do not overlap",
            "headline": None,
        }
    rows = []
    inset = 1e-9 * (log_l[1] - log_l[0])
    for loss in np.exp(np.linspace(log_l[1] - inset, log_l[0] + inset, 25)):
        compute_a, compute_b = float(a.compute(loss)), float(b.compute(loss))
        if math.isfinite(compute_a / compute_b):
            ratio = compute_a / compute_b
            gap = Gap(float(loss), compute_a, compute_b, ratio, math.nan, math.nan, ratio, False)
            rows.append(open_ends(gap) | {"compute": compute_b})
    if not rows:
        return empty | {"method": None, "problem": reasons, "headline": None}
    return empty | {
        "method": "interpolated", "problem": reasons, "headline": rows[-1], "losses": rows, "computes": rows,
        "in_range": {"loss": [rows[0]["loss"], rows[-1]["loss"]],
                     "compute_a": [rows[0]["compute_a"], rows[-1]["compute_a"]],
                     "compute_b": [rows[0]["compute_b"], rows[-1]["compute_b"]]},
    }  # fmt: skip


def _interpolated(panel: Panel) -> Any:
    """Lines through the optima; through the best runs too where fewer than two budgets have one inside."""
    if panel.approach2 is None:
        return None
    chosen = panel.approach2.interior()
    chosen = chosen if len(chosen) >= 2 else panel.approach2.optima
    return interpolate(np.array([one.C for one in chosen]), np.array([one.L for one in chosen]))
