"""Loss, optimal parameters and optimal data against compute, all designs together."""

import math
from typing import Any

from isobyte.study import words
from isobyte.study.report.chart import Axis, Chart, Figure, Level, Line, Mark, Points, extent
from isobyte.study.report.curves import design_keys, optima, optimal_curve
from isobyte.study.report.palette import Style

Analysis = dict[str, Any]


def envelope_figure(analysis: Analysis, styles: dict[str, Style]) -> Figure:
    """The optimum's BPB against compute for all designs, with rates of simple models and compressors."""
    designs = [design for design in analysis["designs"] if design["budgets"]]
    marks: list[Mark] = []
    for design in designs:
        marks += optimal_curve(design, "loss", styles[design["name"]])
        marks += optima(design, "L", styles[design["name"]], lambda o: f"{words.bpb(o['L'])} BPB")
    losses = [y for mark in marks if isinstance(mark, Line | Points) for y in mark.y]
    computes = [x for mark in marks if isinstance(mark, Line | Points) for x in mark.x]
    x, y = extent(computes, log=True, pad=0.02), extent(losses)
    if x is None or y is None:
        return Figure("envelope", "Loss against compute", [], columns=1)
    shown = {name: rate for name, rate in analysis["reference"].items() if y[0] / 1.3 <= rate <= y[1] * 1.5}
    y = extent([*losses, *shown.values()], pad=0.05) or y
    marks += _levels(shown, y)
    hidden = [f"{name} {words.bpb(rate)}" for name, rate in analysis["reference"].items() if name not in shown]
    note = "Off the axis: " + ", ".join(hidden) + " bits per byte." if hidden else ""
    chart = Chart(
        title="BPB at the compute-optimal size",
        x=Axis("C, training FLOPs", *x, log=True),
        y=Axis("BPB", *y),
        marks=marks,
        alt=_envelope_alt(designs),
        note=note,
    )
    return Figure("envelope", "Loss against compute", [chart], design_keys(designs, styles), columns=1)


def _levels(shown: dict[str, float], y: tuple[float, float]) -> list[Mark]:
    """Named lines; where they are close, the names step to the left."""
    marks: list[Mark] = []
    place, last = 0, -math.inf
    for name, rate in sorted(shown.items(), key=lambda item: item[1]):
        place = (place + 1) % 4 if rate - last < 0.07 * (y[1] - y[0]) else 0
        marks.append(Level(rate, f"{name} {words.bpb(rate)}", place))
        last = rate
    return marks


def _envelope_alt(designs: list[dict[str, Any]]) -> str:
    said = []
    for design in designs:
        first, last = design["budgets"][0], design["budgets"][-1]
        ends = [
            f"{words.bpb(end['optimum']['L'])} BPB at {words.compact(end['budget'])} FLOPs" for end in (first, last)
        ]
        said.append(f"{design['name']} falls from {ends[0]} to {ends[1]}")
    return "BPB at the optimum against compute. " + "; ".join(said) + "."


def optimal_figure(analysis: Analysis, styles: dict[str, Style]) -> Figure:
    """Compute-optimal parameters and data against compute."""
    designs = [design for design in analysis["designs"] if design["budgets"]]
    charts = []
    for name, label in (("N", "N*, non-embedding parameters"), ("D", "D*, training bytes")):
        marks: list[Mark] = []
        for design in designs:
            marks += optimal_curve(design, name, styles[design["name"]])
            marks += optima(design, name, styles[design["name"]], lambda o, n=name: f"{n}* {words.scientific(o[n])}")
        x = extent((v for m in marks if isinstance(m, Line | Points) for v in m.x), log=True, pad=0.02)
        y = extent((v for m in marks if isinstance(m, Line | Points) for v in m.y), log=True)
        if x is None or y is None:
            continue
        title = "Optimal parameters" if name == "N" else "Optimal data"
        axes = (Axis("C, training FLOPs", *x, log=True), Axis(label, *y, log=True))
        charts.append(Chart(title, *axes, marks, _optimal_alt(designs, name)))
    return Figure("optimal", "Optimal parameters and data", charts, design_keys(designs, styles))


def _optimal_alt(designs: list[dict[str, Any]], name: str) -> str:
    exponent = "a" if name == "N" else "b"
    said = [
        f"{d['name']} as compute to the power {words.significant(d['fit']['varpro'][exponent])}"
        for d in designs
        if d["fit"]
    ]
    return f"Optimal {name} against compute. " + ("It grows: " + "; ".join(said) + "." if said else "")
