"""Charts as plotly figures: plain dictionaries that the page hands to plotly.js."""

import math
from typing import Any

from isobyte.study.report.chart import Axis, Band, Chart, Level, Line, Mark, Points, Values, closed
from isobyte.study.report.palette import GRID, INK, MUTED, fade

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def plotly_figure(chart: Chart) -> dict[str, Any]:
    """`data` and `layout` for `Plotly.newPlot`; the page adds what depends on the width of the screen."""
    data = [trace for mark in chart.marks for trace in _traces(mark, chart.y)]
    levels = [mark for mark in chart.marks if isinstance(mark, Level)]
    layout = {
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 58, "r": 14, "t": 8, "b": 48},
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "#ffffff",
            "bordercolor": GRID,
            "font": {"size": 12, "color": INK},
            "align": "left",
        },
        "xaxis": _axis(chart.x),
        "yaxis": _axis(chart.y),
        "shapes": [_level_line(level) for level in levels],
        "annotations": [_level_name(level, chart.y) for level in levels],
    }
    return {"data": data, "layout": layout}


def _axis(axis: Axis) -> dict[str, Any]:
    ticks = axis.ticks()
    ends = [math.log10(axis.low), math.log10(axis.high)] if axis.log else [axis.low, axis.high]
    return {
        "title": {"text": axis.label, "standoff": 8, "font": {"size": 12, "color": MUTED}},
        "type": "log" if axis.log else "linear",
        "range": [round(end, 6) for end in ends],
        "tickmode": "array",
        "tickvals": [value for value, _ in ticks],
        "ticktext": [text for _, text in ticks],
        "tickangle": 0,
        "automargin": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": GRID,
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
    }


def _traces(mark: Mark, y: Axis) -> list[dict[str, Any]]:
    match mark:
        case Line():
            style = {"color": mark.colour, "width": mark.width, "dash": "dash" if mark.dashed else "solid"}
            return [{**_xy(mark.x, mark.y), "mode": "lines", "line": style, "hoverinfo": "skip"}]
        case Points() if mark.x:
            symbol = mark.symbol if mark.filled else f"{mark.symbol}-open"
            edge = {"color": "#ffffff" if mark.filled else mark.colour, "width": 0.8 if mark.filled else 1.6}
            style = {"color": mark.colour, "size": mark.size, "symbol": symbol, "line": edge}
            trace = {**_xy(mark.x, mark.y), "mode": "markers", "marker": style, "cliponaxis": False}
            if mark.hover:
                trace |= {"text": list(mark.hover), "hovertemplate": "%{text}<extra></extra>"}
            return [trace]
        case Band():
            x, low, high = closed(mark, y)
            around = _xy([*x, *reversed(x)], [*high, *reversed(low)])
            fill = {"fill": "toself", "fillcolor": fade(mark.colour, mark.alpha), "line": {"width": 0}}
            return [{**around, "mode": "lines", "hoverinfo": "skip", **fill}] if x else []
    return []


def _xy(x: Values, y: Values) -> dict[str, Any]:
    return {"type": "scatter", "x": [_short(v) for v in x], "y": [_short(v) for v in y]}


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _level_line(level: Level) -> dict[str, Any]:
    line = {"color": MUTED, "width": 1, "dash": "dot"}
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": level.y,
        "y1": level.y,
        "line": line,
        "layer": "below",
    }


def _level_name(level: Level, y: Axis) -> dict[str, Any]:
    place = math.log10(level.y) if y.log else level.y
    return {
        "xref": "paper", "x": level.share, "xanchor": "right", "y": place, "yanchor": "bottom", "text": level.label,
        "showarrow": False, "borderpad": 1, "bgcolor": "rgba(255,255,255,0.7)", "font": {"size": 11, "color": MUTED},
    }  # fmt: skip
