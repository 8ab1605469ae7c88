"""The four figures of a report, from the analysis and the runs."""

from collections.abc import Callable
from typing import Any

from isobyte.study import words
from isobyte.study.report.chart import Axis, Band, Chart, Figure, Key, Level, Line, Mark, Points, extent
from isobyte.study.report.palette import MUTED, Style, budget_colours, comparison_colour, design_styles

Analysis = dict[str, Any]
Row = dict[str, Any]

FURTHER = 10.0
"""Loss and optimal sizes are drawn to this many times a design's greatest compute."""


def all_figures(analysis: Analysis, rows: list[Row]) -> list[Figure]:
    """`isoflop`, `envelope`, `gap` and `optimal`, in this order; charts without data are left out."""
    styles = design_styles(analysis["designs"])
    return [
        isoflop_figure(analysis, rows, styles),
        envelope_figure(analysis, styles),
        gap_figure(analysis, styles),
        optimal_figure(analysis, styles),
    ]


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
            x=Axis("N, parameters without embeddings and head", *(x or (1.0, 10.0)), log=True),
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
    rank = {"ar": 0, "masked": 1}, {"bpe": 0, "bytes": 1}
    return sorted(designs, key=lambda d: (rank[0].get(d["objective"], 2), rank[1].get(d["representation"], 2)))


def _fitted_points(analysis: Analysis, rows: list[Row]) -> dict[str, list[tuple[float, float, Row]]]:
    from isobyte.study.panel import fits

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
        marks.append(
            Points(
                [p[0] for p in runs],
                [p[1] for p in runs],
                colour,
                size=6,
                hover=[_run_hover(p[2]) for p in runs],
            )
        )
    optima = [entry["optimum"] | {"budget": entry["budget"]} for entry in design["budgets"]]
    for edge in (False, True):
        chosen = [optimum for optimum in optima if optimum["edge"] == edge]
        hover = [
            f"<b>{'best run' if edge else 'optimum'} at {words.compact(o['budget'])} FLOPs</b><br>N {words.scientific(o['N'])}"
            f"<br>D {words.scientific(o['D'])} bytes<br>{words.bpb(o['L'])} BPB"
            for o in chosen
        ]
        columns = ([o["N"] for o in chosen], [o["L"] for o in chosen])
        marks.append(Points(*columns, style.colour, "diamond", size=11, filled=not edge, hover=hover))
    return marks


def _run_hover(row: Row) -> str:
    stderr = f" ± {row['stderr']:.4f}" if row.get("stderr") else ""
    return (
        f"<b>{row['design']} {row['size']}</b>, seed {row['seed']}<br>N {words.scientific(row['N'])}<br>"
        f"D {words.scientific(row['data_bytes'])} bytes<br>C {words.scientific(row['flops'])} FLOPs<br>"
        f"{row['bpb']:.4f}{stderr} BPB ({row['kind']})"
    )


def _minima(design: dict[str, Any]) -> str:
    """Per budget in words, the same verdicts grouped."""
    groups: dict[str, list[str]] = {}
    for entry in design["budgets"]:
        minimum = entry["minimum"]
        where = {"interior": "interior minimum" if minimum["clear"] else "interior minimum within the estimator's error",
                 "smallest": "no interior minimum, smallest size best", "largest": "no interior minimum, largest size best",
                 "too few sizes": "too few sizes to tell"}[minimum["where"]]  # fmt: skip
        groups.setdefault(where, []).append(words.compact(entry["budget"]))
    if len(groups) == 1:
        verdict = next(iter(groups))
        return f"{verdict[0].upper()}{verdict[1:]} at every budget."
    return "; ".join(f"{', '.join(budgets)}: {verdict}" for verdict, budgets in groups.items()) + "."


def _isoflop_alt(design: dict[str, Any]) -> str:
    said = [
        f"{words.compact(e['budget'])} FLOPs: {words.bpb(e['optimum']['L'])} BPB at N {words.scientific(e['optimum']['N'])}, "
        f"{e['minimum']['text']}"
        for e in design["budgets"]
    ]
    return f"BPB against parameters for {design['name']}, a curve per budget. " + "; ".join(said) + "."


def envelope_figure(analysis: Analysis, styles: dict[str, Style]) -> Figure:
    """The optimum's BPB against compute for all designs, with rates of simple models and compressors."""
    designs = [design for design in analysis["designs"] if design["budgets"]]
    marks: list[Mark] = []
    for design in designs:
        marks += _curve(design, "loss", styles[design["name"]])
        marks += _optima(design, "L", styles[design["name"]], lambda o: f"{words.bpb(o['L'])} BPB")
    losses = [y for mark in marks if isinstance(mark, Line | Points) for y in mark.y]
    computes = [x for mark in marks if isinstance(mark, Line | Points) for x in mark.x]
    x, y = extent(computes, log=True, pad=0.02), extent(losses)
    if x is None or y is None:
        return Figure("envelope", "Loss against compute", [], columns=1)
    shown = {name: rate for name, rate in reference(analysis).items() if y[0] / 1.3 <= rate <= y[1] * 1.5}
    y = extent([*losses, *shown.values()], pad=0.05) or y
    marks += _levels(shown, y)
    hidden = [f"{name} {words.bpb(rate)}" for name, rate in reference(analysis).items() if name not in shown]
    note = "Off the axis: " + ", ".join(hidden) + " bits per byte." if hidden else ""
    chart = Chart(
        title="BPB at the compute-optimal size",
        x=Axis("C, training FLOPs", *x, log=True),
        y=Axis("BPB", *y),
        marks=marks,
        alt=_envelope_alt(designs),
        note=note,
    )
    return Figure("envelope", "Loss against compute", [chart], _design_keys(designs, styles), columns=1)


def reference(analysis: Analysis) -> dict[str, float]:
    """Bits per byte of simple models and compressors on the held-out text, by name."""
    study = analysis["study"]
    found = study.get("reference") or (study.get("corpus") or {}).get("reference") or {}
    return {name: rate for name, rate in found.items() if isinstance(rate, int | float) and rate > 0}


def _levels(shown: dict[str, float], y: tuple[float, float]) -> list[Mark]:
    """Named lines; a name goes below its line where the next line above is too near."""
    marks: list[Mark] = []
    order = sorted(shown, key=lambda name: shown[name])
    for place, name in enumerate(order):
        above = shown[order[place + 1]] if place + 1 < len(order) else float("inf")
        marks.append(Level(shown[name], f"{name} {words.bpb(shown[name])}", above - shown[name] < 0.07 * (y[1] - y[0])))
    return marks


def _envelope_alt(designs: list[dict[str, Any]]) -> str:
    said = []
    for design in designs:
        first, last = design["budgets"][0], design["budgets"][-1]
        said.append(
            f"{design['name']} falls from {words.bpb(first['optimum']['L'])} BPB at {words.compact(first['budget'])} FLOPs "
            f"to {words.bpb(last['optimum']['L'])} at {words.compact(last['budget'])}"
        )
    return "BPB at the optimum against compute. " + "; ".join(said) + "."


def gap_figure(analysis: Analysis, styles: dict[str, Style]) -> Figure:
    """How many times more compute the first of two designs needs, against the compute of the second."""
    charts, keys = [], []
    for contrast in ("representation", "objective", "design"):
        chosen = [c for c in analysis["comparisons"] if c["contrast"] == contrast and c["computes"]]
        if not chosen:
            continue
        colours = [comparison_colour(c, styles) for c in chosen]
        marks = [mark for c, colour in zip(chosen, colours, strict=True) for mark in _gap_marks(c, colour)]
        keys += [Key(f"{c['a']} / {c['b']}", colour) for c, colour in zip(chosen, colours, strict=True)]
        y = _gap_range(chosen)
        x = extent((gap["compute"] for c in chosen for gap in c["computes"]), log=True, pad=0.02) or (
            1.0,
            10.0,
        )
        if y[0] < 1 < y[1]:
            marks.append(Level(1.0, "equal compute"))
        label = "Compute of the second design, FLOPs"
        charts.append(
            Chart(
                _gap_title(chosen),
                Axis(label, *x, log=True),
                Axis("Efficiency gap", *y, log=True),
                marks,
                _gap_alt(chosen),
            )
        )
    if charts:
        keys.append(Key("extrapolated", MUTED, dashed=True))
    return Figure("gap", "Efficiency gap", charts, keys)


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
        columns = ([gap[name] for gap in gaps] for name in ("compute", "low", "high"))
        marks.append(Band(*columns, colour))
    marks += _solid_and_dashed(gaps, "compute", "gap", colour)
    head = comparison["headline"]
    hover = [
        f"<b>{comparison['a']} / {comparison['b']}</b><br>{comparison['summary']['value']} at {words.bpb(head['loss'])} BPB"
    ]
    marks.append(Points([head["compute_b"]], [head["gap"]], colour, "circle", size=9, hover=hover))
    return marks


def _solid_and_dashed(curve: list[dict[str, Any]], x: str, y: str, colour: str) -> list[Mark]:
    """The measured stretch as a line, the rest dashed; the pieces meet."""
    inside = [k for k, point in enumerate(curve) if not point["extrapolated"]]
    if not inside:
        return [Line([p[x] for p in curve], [p.get(y) for p in curve], colour, dashed=True)]
    first, last = inside[0], inside[-1]
    pieces = ((curve[: first + 1], True), (curve[first : last + 1], False), (curve[last:], True))
    return [
        Line(
            [p[x] for p in piece],
            [p.get(y) for p in piece],
            colour,
            dashed=dashed,
            width=1.8 if dashed else 2.4,
        )
        for piece, dashed in pieces
        if len(piece) > 1
    ]


def _gap_range(comparisons: list[dict[str, Any]]) -> tuple[float, float]:
    """Measured gaps and their intervals whole; extrapolated ones as far as four times that."""
    inside = [gap for c in comparisons for gap in c["computes"] if not gap["extrapolated"]]
    inside = inside or [c["headline"] for c in comparisons]
    values = [gap[name] for gap in inside for name in ("gap", "low", "high")]
    low, high = extent([*values, 1.0], log=True, pad=0.0) or (0.5, 2.0)
    every = extent((g[name] for c in comparisons for g in c["computes"] for name in ("gap",)), log=True, pad=0.0)
    low, high = (max(low / 4, min(low, every[0])), min(high * 4, max(high, every[1]))) if every else (low, high)
    return low / 1.25, high * 1.25


def _gap_alt(comparisons: list[dict[str, Any]]) -> str:
    said = [f"{c['a']} over {c['b']}: {c['summary']['value']}" for c in comparisons]
    return "Efficiency gap against compute, with intervals. At the lowest common BPB " + "; ".join(said) + "."


def optimal_figure(analysis: Analysis, styles: dict[str, Style]) -> Figure:
    """Compute-optimal parameters and data against compute."""
    designs = [design for design in analysis["designs"] if design["budgets"]]
    charts = []
    for name, label in (("N", "N*, parameters without embeddings and head"), ("D", "D*, training bytes")):
        marks: list[Mark] = []
        for design in designs:
            marks += _curve(design, name, styles[design["name"]])
            marks += _optima(design, name, styles[design["name"]], lambda o, n=name: f"{n}* {words.scientific(o[n])}")
        x = extent((v for m in marks if isinstance(m, Line | Points) for v in m.x), log=True, pad=0.02)
        y = extent((v for m in marks if isinstance(m, Line | Points) for v in m.y), log=True)
        if x is None or y is None:
            continue
        title = "Optimal parameters" if name == "N" else "Optimal data"
        axes = (Axis("C, training FLOPs", *x, log=True), Axis(label, *y, log=True))
        charts.append(Chart(title, *axes, marks, _optimal_alt(designs, name)))
    return Figure("optimal", "Optimal parameters and data", charts, _design_keys(designs, styles))


def _optimal_alt(designs: list[dict[str, Any]], name: str) -> str:
    exponent = "a" if name == "N" else "b"
    said = [
        f"{d['name']} as compute to the power {words.significant(d['fit']['varpro'][exponent])}"
        for d in designs
        if d["fit"]
    ]
    return f"Optimal {name} against compute. " + ("It grows: " + "; ".join(said) + "." if said else "")


def _curve(design: dict[str, Any], name: str, style: Style) -> list[Mark]:
    """Band and line of an optimal quantity, dashed beyond the measured computes."""
    low, high = design["measured"]
    curve = [point for point in design["optimal"] if low / FURTHER**0.3 <= point["C"] <= high * FURTHER]
    curve = [point for point in curve if point.get(name) is not None]
    if len(curve) < 2:
        return []
    marks: list[Mark] = []
    if all(f"{name}_low" in point for point in curve):
        columns = ([point[key] for point in curve] for key in ("C", f"{name}_low", f"{name}_high"))
        marks.append(Band(*columns, style.colour))
    return marks + _solid_and_dashed(curve, "C", name, style.colour)


def _optima(design: dict[str, Any], name: str, style: Style, say: Callable[[dict[str, Any]], str]) -> list[Mark]:
    """The optimum of each budget; hollow where it is only the best run."""
    marks: list[Mark] = []
    for edge in (False, True):
        chosen = [entry["optimum"] for entry in design["budgets"] if entry["optimum"]["edge"] == edge]
        hover = [f"<b>{design['name']}</b><br>C {words.scientific(o['C'])} FLOPs<br>{say(o)}" for o in chosen]
        columns = ([o["C"] for o in chosen], [o[name] for o in chosen])
        marks.append(Points(*columns, style.colour, style.symbol, size=8, filled=not edge, hover=hover))
    return marks


def _design_keys(designs: list[dict[str, Any]], styles: dict[str, Style]) -> list[Key]:
    keys = [Key(d["name"], styles[d["name"]].colour, styles[d["name"]].symbol) for d in designs]
    return [*keys, Key("extrapolated", MUTED, dashed=True)]


def _full_name(design: dict[str, Any]) -> str:
    return (
        f"{design['name']} · {words.objective(design['objective'])}, {words.representation(design['representation'])}"
    )
