"""Two designs of a study against each other: the efficiency gap at equal BPB, and the parity compute."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from isobyte.study.fit import Envelopes, Gap, Parity, common_losses, gap_at_computes, gap_at_losses, parity
from isobyte.study.fit.runs import Floats
from isobyte.study.interpolated import interpolated_gaps
from isobyte.study.pairs import Pair
from isobyte.study.panel import compute_grid


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
    problems = [f"{panel.name}: {panel.no_envelope}" for panel in (pair.a, pair.b) if panel.no_envelope]
    return shared | (_without_law(pair, "; ".join(problems)) if problems else _by_law(pair, greatest, level))


def _by_law(pair: Pair, greatest: float, level: float) -> dict[str, Any]:
    a, b = (panel.summary.envelopes for panel in (pair.a, pair.b) if panel.summary is not None)
    in_range = _in_range(a, b)
    computes = _computes(a, b, in_range, greatest)
    losses = _losses(a, b, float(computes[-1]))
    by_compute = gap_at_computes(a, b, computes, level=level)
    crossings = parity(a, b, level=level)
    return {
        "method": "law",
        "problem": None,
        "headline": open_ends(headline(a, b, level)),
        "in_range": in_range,
        "losses": [open_ends(gap) for gap in gap_at_losses(a, b, losses, level=level)],
        "computes": [{"compute": C} | open_ends(gap) for C, gap in zip(computes, by_compute, strict=True)],
        "parity": [open_ends(crossing) for crossing in crossings],
        "parity_sensitivity": sensitivity(crossings),
    }


def _without_law(pair: Pair, problem: str) -> dict[str, Any]:
    gaps = [open_ends(gap) for gap in interpolated_gaps(pair.a, pair.b)]
    ends = {name: [gaps[0][name], gaps[-1][name]] for name in ("loss", "compute_a", "compute_b")} if gaps else None
    return {
        "method": "interpolated" if gaps else None,
        "problem": problem,
        "headline": gaps[-1] if gaps else None,
        "in_range": ends,
        "losses": gaps,
        "computes": [{"compute": gap["compute_b"]} | gap for gap in gaps],
        "parity": [],
        "parity_sensitivity": None,
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
