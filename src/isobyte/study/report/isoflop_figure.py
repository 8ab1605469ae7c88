"""BPB against N, a panel per design, a colour per budget."""

from html import escape
from typing import Any

from isobyte.study import words
from isobyte.study.panel import fits
from isobyte.study.report.chart import Axis, Chart, Figure, Key, Line, Mark, Points, extent
from isobyte.study.report.palette import MUTED, Style, budget_colours

Analysis = dict[str, Any]
Row = dict[str, Any]


def isoflop_figure(analysis: Analysis, rows: list[Row], styles: dict[str, Style]) -> Figure:
    """BPB against N, a panel per design, a colour per budget: autoregressive on top, BPE on the left."""
    designs = [design for design in _panel_order(analysis["designs"]) if design["budgets"]]
    budgets = sorted({entry["budget"] for design in designs for entry in design["budgets"]})
    colours = budget_colours(budgets)
    points = _fitted_points(analysis, rows)
    x = extent((N for name in points for N, _, _ in points[name]), log=True)
    ranges = _shared_losses(designs, points)
    charts = [
        Chart(
            title=_full_name(design),
            x=Axis("N, non-embedding parameters", *(x or (1.0, 10.0)), log=True),
            y=Axis("BPB (upper bound)" if design["kind"] == "bound" else "BPB", *ranges[design["name"]]),
            marks=_isoflop_marks(design, points[design["name"]], colours, styles[design["name"]]),
            alt=_isoflop_alt(design),
            colour=styles[design["name"]].colour,
            note=_minima(design),
        )
        for design in designs
    ]
    keys = [Key(f"{words.compact(budget)} FLOPs", colours[budget], "circle") for budget in budgets]
    keys += [
        Key("optimum of the parabola", MUTED, "diamond"),
        Key("best run, no interior optimum", MUTED, "diamond-open"),
    ]
    return Figure("isoflop", "IsoFLOP curves", charts, keys)


def _panel_order(designs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rank = {kind: place for place, kind in enumerate(words.OBJECTIVE)}, {"bpe": 0, "bytes": 1}
    return sorted(designs, key=lambda d: (rank[0].get(d["objective"], 99), rank[1].get(d["representation"], 2)))


def _fitted_points(analysis: Analysis, rows: list[Row]) -> dict[str, list[tuple[float, float, Row]]]:
    found: dict[str, list[tuple[float, float, Row]]] = {design["name"]: [] for design in analysis["designs"]}
    for row in rows:
        if fits(row):
            found[row["design"]].append((row["N"], row["bpb"], row))
    return found


def _shared_losses(
    designs: list[dict[str, Any]], points: dict[str, list[tuple[float, float, Row]]]
) -> dict[str, tuple[float, float]]:
    """One BPB axis for all panels; one per objective where a common one would flatten every curve."""
    every = extent(bpb for design in designs for _, bpb, _ in points[design["name"]])
    rows = {
        objective: extent(bpb for d in designs if d["objective"] == objective for _, bpb, _ in points[d["name"]])
        for objective in {design["objective"] for design in designs}
    }
    widest = max((high - low for low, high in (ends for ends in rows.values() if ends)), default=0.0)
    common = every is not None and every[1] - every[0] <= 1.8 * widest
    return {d["name"]: (every if common else rows[d["objective"]]) or (0.0, 1.0) for d in designs}


def _isoflop_marks(
    design: dict[str, Any], points: list[tuple[float, float, Row]], colours: dict[float, str], style: Style
) -> list[Mark]:
    marks: list[Mark] = []
    for entry in design["budgets"]:
        colour = colours[entry["budget"]]
        if entry["parabola"]:
            marks.append(Line(entry["parabola"]["N"], entry["parabola"]["bpb"], colour, width=1.6))
        runs = [point for point in points if point[2]["budget"] == entry["budget"]]
        hover = [_run_hover(row) for _, _, row in runs]
        marks.append(Points([N for N, _, _ in runs], [bpb for _, bpb, _ in runs], colour, hover=hover))
    optima = [entry["optimum"] | {"budget": entry["budget"]} for entry in design["budgets"]]
    for edge in (False, True):
        chosen = [optimum for optimum in optima if optimum["edge"] == edge]
        hover = [
            f"<b>{'best run' if edge else 'optimum'} at {words.compact(o['budget'])} FLOPs</b><br>"
            f"N {words.scientific(o['N'])}<br>D {words.scientific(o['D'])} bytes<br>{words.bpb(o['L'])} BPB"
            for o in chosen
        ]
        columns = ([o["N"] for o in chosen], [o["L"] for o in chosen])
        marks.append(Points(*columns, style.colour, "diamond", size=11, filled=not edge, hover=hover))
    return marks


def _run_hover(row: Row) -> str:
    stderr = f" ± {row['stderr']:.4f}" if row.get("stderr") else ""
    return (
        f"<b>{escape(row['design'])} {escape(str(row['size']))}</b>, seed {row['seed']}<br>"
        f"N {words.scientific(row['N'])}<br>"
        f"D {words.scientific(row['data_bytes'])} bytes<br>C {words.scientific(row['flops'])} FLOPs<br>"
        f"{row['bpb']:.4f}{stderr} BPB ({row['kind']})"
    )


VERDICTS = {
    "interior": "interior minimum",
    "flat": "interior minimum within the estimator's error",
    "smallest": "no interior minimum, smallest size best",
    "largest": "no interior minimum, largest size best",
    "too few sizes": "too few sizes to tell",
}


def _minima(design: dict[str, Any]) -> str:
    """Per budget in words, the same verdicts grouped."""
    groups: dict[str, list[str]] = {}
    for entry in design["budgets"]:
        minimum = entry["minimum"]
        where = "flat" if minimum["where"] == "interior" and not minimum["clear"] else minimum["where"]
        groups.setdefault(VERDICTS[where], []).append(words.compact(entry["budget"]))
    if len(groups) == 1:
        verdict = next(iter(groups))
        return f"{verdict[0].upper()}{verdict[1:]} at every budget."
    return "; ".join(f"{', '.join(budgets)}: {verdict}" for verdict, budgets in groups.items()) + "."


def _isoflop_alt(design: dict[str, Any]) -> str:
    said = [
        f"{words.compact(e['budget'])} FLOPs: {words.bpb(e['optimum']['L'])} BPB "
        f"at N {words.scientific(e['optimum']['N'])}, {e['minimum']['text']}"
        for e in design["budgets"]
    ]
    return f"BPB against parameters for {design['name']}, a curve per budget. " + "; ".join(said) + "."


def _full_name(design: dict[str, Any]) -> str:
    return (
        f"{design['name']} · {words.objective(design['objective'])}, {words.representation(design['representation'])}"
    )
