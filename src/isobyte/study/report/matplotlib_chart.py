"""Charts as PNG and SVG files, for papers, slides and readers without a browser."""

import io
import math
from typing import Any

from isobyte.study.report.chart import Axis, Band, Chart, Figure, Key, Level, Line, Mark, Points, closed
from isobyte.study.report.palette import GRID, INK, MUTED

SYMBOLS = {"circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "cross": "P",
           "star": "*", "hexagon": "h"}  # fmt: skip
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "font.family": "DejaVu Sans",
    "svg.hashsalt": "isobyte",
}
WIDTH, HEIGHT = 5.4, 3.9
"""Inches of one chart."""


def draw_png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure's charts in a grid, its legend below; one empty frame that says so if there is nothing to draw."""
    return _draw_figure(figure, dpi, "png", {"Software": None})


def draw_svg(figure: Figure) -> bytes:
    """The same as a drawing; the same figure gives the same bytes."""
    return _draw_figure(figure, 72, "svg", {"Date": None})


def _draw_figure(figure: Figure, dpi: int, kind: str, metadata: dict[str, Any]) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    count = max(len(figure.charts), 1)
    columns = min(figure.columns, count)
    rows = math.ceil(count / columns)
    wide = WIDTH * columns if columns > 1 else 1.35 * WIDTH
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(wide, HEIGHT * rows + 0.9), dpi=dpi, layout="constrained")
        canvas.suptitle(figure.title, fontsize=12, fontweight="bold", color=INK, x=0.01, ha="left")
        axes = canvas.subplots(rows, columns, squeeze=False)
        for k, ax in enumerate(axes.flat):
            if k < len(figure.charts):
                _draw(ax, figure.charts[k])
            else:
                ax.set_axis_off()
        if not figure.charts:
            ax = axes[0][0]
            ax.text(0.5, 0.5, "nothing to show yet", ha="center", va="center", color=MUTED, transform=ax.transAxes)
        if figure.keys:
            _legend(canvas, figure.keys, columns)
        out = io.BytesIO()
        canvas.savefig(out, format=kind, facecolor="white", metadata=metadata)
    return out.getvalue()


def _draw(ax: Any, chart: Chart) -> None:
    ax.set_title(chart.title, loc="left", fontsize=10, color=chart.colour or INK)
    for axis, spec in ((ax.xaxis, chart.x), (ax.yaxis, chart.y)):
        _scale(ax, axis, spec)
    for mark in chart.marks:
        _mark(ax, mark, chart.y)
    ax.set_xlim(chart.x.low, chart.x.high)
    ax.set_ylim(chart.y.low, chart.y.high)
    ax.grid(True, color=GRID, linewidth=0.7)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(GRID)
    ax.tick_params(color=GRID, labelcolor=INK, which="both")


def _scale(ax: Any, axis: Any, spec: Axis) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    horizontal = axis is ax.xaxis
    if spec.log:
        (ax.set_xscale if horizontal else ax.set_yscale)("log")
    ticks = spec.ticks()
    axis.set_major_locator(FixedLocator([value for value, _ in ticks]))
    axis.set_major_formatter(FixedFormatter([text for _, text in ticks]))
    axis.set_minor_locator(NullLocator())
    axis.set_label_text(spec.label, color=MUTED)


def _mark(ax: Any, mark: Mark, y: Axis) -> None:
    match mark:
        case Line():
            style = {
                "color": mark.colour,
                "linewidth": 0.75 * mark.width,
                "linestyle": (0, (4, 2.5)) if mark.dashed else "-",
            }
            ax.plot(_floats(mark.x), _floats(mark.y), **style)
        case Points():
            face, edge = (mark.colour, "white") if mark.filled else ("none", mark.colour)
            ax.plot(
                _floats(mark.x), _floats(mark.y), linestyle="none", marker=SYMBOLS.get(mark.symbol, "o"),
                markersize=0.72 * mark.size, markerfacecolor=face, markeredgecolor=edge,
                markeredgewidth=0.5 if mark.filled else 1.2, zorder=3,
            )  # fmt: skip
            _names(ax, mark)
        case Band():
            ax.fill_between(*closed(mark, y), color=mark.colour, alpha=mark.alpha, linewidth=0)
        case Level():
            ax.axhline(mark.y, color=MUTED, linewidth=0.8, linestyle=":", zorder=1)
            ax.annotate(
                mark.label, (mark.share, mark.y), (-2, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", va="bottom", fontsize=7.5, color=MUTED,
            )  # fmt: skip


def _names(ax: Any, points: Points) -> None:
    offset, align = ((0, -6), "top") if points.below else ((0, 5), "bottom")
    for x, y, name in zip(points.x, points.y, points.names, strict=False):
        if x is not None and y is not None and name:
            ax.annotate(
                name, (x, y), offset, textcoords="offset points", ha="center", va=align, fontsize=7.5,
                color=points.colour, zorder=4,
            )  # fmt: skip


def _legend(canvas: Any, keys: list[Key], columns: int) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for key in keys:
        hollow = bool(key.symbol) and str(key.symbol).endswith("-open")
        handles.append(
            Line2D(
                [], [], color=key.colour, label=key.label,
                linestyle=(0, (4, 2.5)) if key.dashed else "none" if key.symbol else "-",
                marker=SYMBOLS.get(str(key.symbol).removesuffix("-open"), "") if key.symbol else "",
                markerfacecolor="none" if hollow else key.colour, markersize=6,
            )
        )  # fmt: skip
    canvas.legend(
        handles=handles,
        loc="outside lower left",
        ncols=min(len(keys), 5 if columns == 1 else 8),
        frameon=False,
        fontsize=8,
    )


def _floats(values: Any) -> list[float]:
    return [math.nan if value is None else value for value in values]
