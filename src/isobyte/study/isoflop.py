"""The runs of one budget: the best, the parabola through them, and whether there is a minimum inside the grid."""

import math
from typing import Any

import numpy as np

from isobyte.study import words
from isobyte.study.fit import Optimum
from isobyte.study.fit.runs import distinct_values
from isobyte.study.panel import Panel, Row, as_runs

CURVE = 41
"""Points of a drawn parabola."""


def isoflops(panel: Panel) -> list[dict[str, Any]]:
    """One entry per budget with finished runs, smallest budget first."""
    if panel.approach2 is None:
        return []
    optima = {optimum.budget: optimum for optimum in panel.approach2.optima}
    return [
        _isoflop([row for row in panel.fitted if row["budget"] == budget], budget, optima[float(budget)])
        for budget in sorted({row["budget"] for row in panel.fitted})
    ]


def _isoflop(rows: list[Row], budget: float, optimum: Optimum) -> dict[str, Any]:
    best = min(rows, key=lambda row: (row["bpb"], row["N"]))
    names = (
        "size",
        "seed",
        "N",
        "N_total",
        "data_bytes",
        "flops",
        "bpb",
        "stderr",
        "stderr_text",
        "hash",
        "folder",
    )
    return {
        "budget": budget,
        "runs": len(rows),
        "best": {name: best.get(name) for name in names},
        "optimum": {name: getattr(optimum, name) for name in ("C", "N", "D", "L", "edge")},
        "parabola": _parabola(rows),
        "minimum": minimum(rows),
    }


def _parabola(rows: list[Row]) -> dict[str, Any] | None:
    """The drawn curve (N, bpb) of the quadratic in ln N whose vertex Approach 2 takes; None below 3 sizes."""
    runs = as_runs(rows)
    if distinct_values(runs.N) < 3:
        return None
    x = np.log(runs.N)
    middle = x.mean()
    curve = np.polyfit(x - middle, runs.L, 2)
    at = np.linspace(x.min(), x.max(), CURVE)
    return {"N": np.exp(at), "bpb": np.polyval(curve, at - middle), "curvature": curve[0]}


def minimum(rows: list[Row]) -> dict[str, Any]:
    """Whether the best size lies inside the grid, and by how much both ends are worse.

    `where` is `interior`, `smallest`, `largest` or `too few sizes`. `clear`: both ends are worse by more
    than twice the standard error of a difference, as far as the estimator's errors tell.
    """
    sizes: dict[float, list[Row]] = {}
    for row in rows:
        sizes.setdefault(row["N"], []).append(row)
    order = sorted(sizes)
    means = [sum(row["bpb"] for row in sizes[N]) / len(sizes[N]) for N in order]
    best = min(range(len(order)), key=lambda k: means[k])
    left, right = means[0] - means[best], means[-1] - means[best]
    if len(order) < 3:
        where = "too few sizes"
    else:
        where = "smallest" if best == 0 else "largest" if best == len(order) - 1 else "interior"
    noise = 2 * math.sqrt(2) * max(row.get("stderr") or 0.0 for row in rows)
    clear = where == "interior" and min(left, right) > noise
    found = {"where": where, "rise_left": left, "rise_right": right, "clear": clear, "sizes": len(order)}
    return found | {"text": _say(found)}


def _say(found: dict[str, Any]) -> str:
    left, right = words.bpb(found["rise_left"]), words.bpb(found["rise_right"])
    match found["where"]:
        case "interior":
            doubt = "" if found["clear"] else ", within the estimator's error"
            return f"interior minimum (+{left} at the smallest size, +{right} at the largest{doubt})"
        case "too few sizes":
            return f"too few sizes to tell ({found['sizes']})"
        case end:
            return f"no interior minimum: the {end} size is best"
