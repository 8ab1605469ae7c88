"""What figures of fitted curves share: measured stretches solid, extrapolated ones dashed, optima as markers."""

from collections.abc import Callable
from typing import Any

from isobyte.study import words
from isobyte.study.report.chart import Band, Key, Line, Mark, Points
from isobyte.study.report.palette import MUTED, Style

FURTHER = 10.0
"""Loss and optimal sizes are drawn to this many times a design's greatest compute."""


def optimal_curve(design: dict[str, Any], name: str, style: Style) -> list[Mark]:
    """Band and line of an optimal quantity, dashed beyond the measured computes."""
    end = FURTHER * design["measured"][1]
    curve = [point for point in design["optimal"] if point["C"] <= end and point.get(name)]
    if len(curve) < 2:
        return []
    marks: list[Mark] = []
    if all(f"{name}_low" in point for point in curve):
        x, low, high = ([point[key] for point in curve] for key in ("C", f"{name}_low", f"{name}_high"))
        marks.append(Band(x, low, high, style.colour))
    return marks + solid_and_dashed(curve, "C", name, style.colour)


def optima(design: dict[str, Any], name: str, style: Style, say: Callable[[dict[str, Any]], str]) -> list[Mark]:
    """The optimum of each budget; hollow where it is only the best run."""
    marks: list[Mark] = []
    for edge in (False, True):
        chosen = [entry["optimum"] for entry in design["budgets"] if entry["optimum"]["edge"] == edge]
        hover = [f"<b>{design['name']}</b><br>C {words.scientific(o['C'])} FLOPs<br>{say(o)}" for o in chosen]
        columns = ([o["C"] for o in chosen], [o[name] for o in chosen])
        marks.append(Points(*columns, style.colour, style.symbol, size=8, filled=not edge, hover=hover))
    return marks


def design_keys(designs: list[dict[str, Any]], styles: dict[str, Style]) -> list[Key]:
    keys = [Key(d["name"], styles[d["name"]].colour, styles[d["name"]].symbol) for d in designs]
    return [*keys, Key("extrapolated", MUTED, dashed=True)] if any(d["optimal"] for d in designs) else keys


def solid_and_dashed(curve: list[dict[str, Any]], x: str, y: str, colour: str) -> list[Mark]:
    """The measured stretch as a line, the rest dashed; the pieces meet."""
    inside = [k for k, point in enumerate(curve) if not point["extrapolated"]]
    if not inside:
        return [Line([p[x] for p in curve], [p.get(y) for p in curve], colour, dashed=True)]
    first, last = inside[0], inside[-1]
    pieces = ((curve[: first + 1], True), (curve[first : last + 1], False), (curve[last:], True))
    return [
        Line([p[x] for p in piece], [p.get(y) for p in piece], colour, dashed, 1.8 if dashed else 2.4)
        for piece, dashed in pieces
        if len(piece) > 1
    ]
