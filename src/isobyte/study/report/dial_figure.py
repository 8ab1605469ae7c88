"""The gap at every position of every dial."""

from typing import Any

from isobyte.study import words
from isobyte.study.report.chart import Axis, Band, Chart, Figure, Key, Level, Line, Mark, Points, extent
from isobyte.study.report.palette import SPARE

Analysis = dict[str, Any]


def dial_figure(analysis: Analysis) -> Figure:
    """A chart for each dial, a line for each budget, with intervals over seeds."""
    budgets = sorted({each["budget"] for dial in analysis["dials"] for each in dial["budgets"]})
    colours = {budget: SPARE[k % len(SPARE)].colour for k, budget in enumerate(budgets)}
    charts = [_chart(dial, colours) for dial in analysis["dials"] if _known(dial)]
    keys = [Key(f"{words.compact(budget)} FLOPs", colours[budget]) for budget in budgets]
    return Figure("dials", "Dials of contiguity", charts, keys)


def _known(dial: dict[str, Any]) -> list[dict[str, Any]]:
    """Positions with a gap, of all budgets."""
    return [each for budget in dial["budgets"] for each in budget["positions"] if each["gap"]]


def _chart(dial: dict[str, Any], colours: dict[float, str]) -> Chart:
    """Positions stand evenly spread, in the dial's order."""
    marks: list[Mark] = []
    for budget in dial["budgets"]:
        known = [(k, each) for k, each in enumerate(budget["positions"]) if each["gap"]]
        if not known:
            continue
        x, gaps = [float(k) for k, _ in known], [each["gap"] for _, each in known]
        colour = colours[budget["budget"]]
        if all(gap["low"] is not None for gap in gaps):
            marks.append(Band(x, [gap["low"] for gap in gaps], [gap["high"] for gap in gaps], colour))
        values = [gap["mean"] for gap in gaps]
        marks.append(Line(x, values, colour))
        hover = [_hover(each, budget["budget"]) for _, each in known]
        marks.append(Points(x, values, colour, hover=hover))
    ends = [gap[key] for each in _known(dial) for gap in [each["gap"]] for key in ("mean", "low", "high")]
    low, high = extent([*ends, 0.0], pad=0.12) or (0.0, 1.0)
    if low < 0 < high:
        marks.append(Level(0.0, "no gap"))
    names = tuple((float(k), f"{each['at']:g}") for k, each in enumerate(dial["budgets"][-1]["positions"]))
    turned = Axis(dial["turns"], -0.3, len(names) - 0.7, names=names)
    return Chart(dial["name"], turned, Axis("BPB above the reference", low, high), marks, _alt(dial))


def _hover(position: dict[str, Any], budget: float) -> str:
    gap = position["gap"]
    ends = "" if gap["low"] is None else f" {words.span(gap['low'], gap['high'], signed)}"
    held = f"{position['design']} above {position['reference']}"
    return f"<b>{held}</b><br>{signed(gap['mean'])}{ends} BPB<br>{words.compact(budget)} FLOPs"


def _alt(dial: dict[str, Any]) -> str:
    said = [
        f"{each['at']:g}: {signed(each['gap']['mean'])}" for each in dial["budgets"][-1]["positions"] if each["gap"]
    ]
    return f"Gap in BPB by {dial['turns']}, at the largest budget {'; '.join(said)}."


def signed(value: float | None) -> str:
    """`+0.123`, with a true minus."""
    return words.UNKNOWN if value is None else f"{value:+.3f}".replace("-", "−")
