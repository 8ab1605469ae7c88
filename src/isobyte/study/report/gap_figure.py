"""The efficiency gap against compute."""

import math
from typing import Any

from isobyte.study import words
from isobyte.study.report.chart import Axis, Band, Chart, Figure, Key, Level, Mark, Points, extent
from isobyte.study.report.curves import solid_and_dashed
from isobyte.study.report.palette import MUTED, Style, comparison_colour

Analysis = dict[str, Any]


def gap_figure(analysis: Analysis, styles: dict[str, Style]) -> Figure:
    """How many times more compute the first of two designs needs, against the compute of the second."""
    charts, keys = [], []
    for contrast in ("representation", "objective", "design"):
        chosen = [c for c in analysis["comparisons"] if c["contrast"] == contrast and c["computes"]]
        if not chosen:
            continue
        colours = [comparison_colour(c, styles) for c in chosen]
        marks = [mark for c, colour in zip(chosen, colours, strict=True) for mark in _gap_marks(c, colour)]
        y = _gap_range(chosen)
        keys += [Key(_pair(c), colour) for c, colour in zip(chosen, colours, strict=True) if _seen(c, y)]
        unseen = [f"{_pair(c)} ({c['summary']['value']})" for c in chosen if not _seen(c, y)]
        note = f"Outside the axes: {', '.join(unseen)}." if unseen else ""
        x = extent((gap["compute"] for c in chosen for gap in c["computes"]), log=True, pad=0.02) or (1.0, 10.0)
        if y[0] < 1 < y[1]:
            marks.append(Level(1.0, "equal compute"))
        label = "Compute of the second design, FLOPs"
        axes = Axis(label, *x, log=True), Axis("Efficiency gap", *y, log=True)
        charts.append(Chart(_gap_title(chosen), *axes, marks, _gap_alt(chosen), note=note))
    if charts:
        keys.append(Key("extrapolated", MUTED, dashed=True))
    return Figure("gap", "Efficiency gap", charts, keys)


def _pair(comparison: dict[str, Any]) -> str:
    return f"{comparison['a']} / {comparison['b']}"


def _seen(comparison: dict[str, Any], y: tuple[float, float]) -> bool:
    gaps = [gap["gap"] for gap in (*comparison["computes"], comparison["headline"])]
    return any(gap is not None and y[0] < gap < y[1] for gap in gaps)


def _gap_title(comparisons: list[dict[str, Any]]) -> str:
    """What is held against what, where it is the same for all."""
    name = {"representation": words.representation, "objective": words.objective}.get(comparisons[0]["contrast"], str)
    levels = {tuple(name(level) for level in comparison["levels"]) for comparison in comparisons}
    if len(levels) > 1:
        return f"By {comparisons[0]['contrast']}"
    first, second = levels.pop()
    return f"{first[0].upper()}{first[1:]} against {second}"


def _gap_marks(comparison: dict[str, Any], colour: str) -> list[Mark]:
    gaps = comparison["computes"]
    marks: list[Mark] = []
    if comparison["method"] == "law":
        x, low, high = ([gap[name] for gap in gaps] for name in ("compute", "low", "high"))
        marks.append(Band(x, low, high, colour))
    marks += solid_and_dashed(gaps, "compute", "gap", colour)
    head = comparison["headline"]
    names, value = _pair(comparison), comparison["summary"]["value"]
    hover = [f"<b>{names}</b><br>{value} at {words.bpb(head['loss'])} BPB"]
    marks.append(Points([head["compute_b"]], [head["gap"]], colour, "circle", size=9, hover=hover))
    return marks


def _gap_range(comparisons: list[dict[str, Any]]) -> tuple[float, float]:
    """Measured gaps, their intervals up to a factor of ten, and extrapolated gaps as far as four times that."""
    inside = [gap for c in comparisons for gap in c["computes"] if not gap["extrapolated"]]
    inside = [gap for gap in inside or [c["headline"] for c in comparisons] if gap["gap"]]
    ends = [(max(gap["low"] or 0.0, gap["gap"] / 10), min(gap["high"] or math.inf, gap["gap"] * 10)) for gap in inside]
    low, high = extent([1.0, *(end for pair in ends for end in pair)], log=True, pad=0.0) or (0.5, 2.0)
    drawn = extent((gap["gap"] for c in comparisons for gap in c["computes"]), log=True, pad=0.0) or (low, high)
    return max(low / 4, min(low, drawn[0])) / 1.25, min(high * 4, max(high, drawn[1])) * 1.25


def _gap_alt(comparisons: list[dict[str, Any]]) -> str:
    said = [f"{c['a']} over {c['b']}: {c['summary']['value']}" for c in comparisons]
    return "Efficiency gap against compute, with intervals. At the lowest common BPB " + "; ".join(said) + "."
