"""The tables of what was fitted and compared."""

import math
from typing import Any

from isobyte.study import words
from isobyte.study.report.markup import Cell, link, stacked, table

Analysis = dict[str, Any]

METHODS = {"varpro": "variable projection", "approach3": "Approach 3", "approach2": "Approach 2 (parabolas)"}
GREEK = {"E": "E, BPB", "alpha": "α", "beta": "β", "a": "a (N* ~ Cᵃ)", "b": "b (D* ~ Cᵇ)"}
FORMS = {
    "law": "Fitted surface",
    "power": "Power law",
    "offset": "Power law, free offset",
    "offset-law": "Power law, surface's offset",
}
"""Forms of the loss envelope, as a reader knows them."""

SHARED_LOSSES = 5
"""Rows of a gap table: losses inside both ranges, evenly spread."""


def fits_table(analysis: Analysis) -> str:
    """Coefficients and exponents by design and method, with intervals."""
    rows = []
    for design in analysis["designs"]:
        for method, name in METHODS.items():
            fitted = (design["fit"] or {}).get(method)
            if fitted is None:
                continue
            cells = [_with_interval(fitted, key) for key in GREEK]
            rms = fitted.get("rms")
            rows.append(
                [
                    design["name"],
                    name,
                    *cells,
                    Cell(words.significant(rms, 2), rms or 0.0),
                    Cell(str(fitted["n"]), fitted["n"]),
                ]
            )
    caption = f"Fitted laws, with intervals at {analysis['options']['level']:.0%}"
    return table(["Design", "Method", *GREEK.values(), "rms, BPB", "Runs"], rows, caption=caption)


def _with_interval(fitted: dict[str, Any], key: str) -> Cell:
    if fitted.get(key) is None:
        return Cell(words.UNKNOWN)
    low, high = fitted["intervals"].get(key) or (None, None)
    return stacked(words.significant(fitted[key]), words.span(low, high), fitted[key])


def optima_table(analysis: Analysis, prefix: str) -> str:
    """The optimum of each budget, and whether the grid has a minimum inside."""
    rows = [
        [
            design["name"],
            Cell(words.compact(entry["budget"]), entry["budget"]),
            *(Cell(words.scientific(entry["optimum"][name]), entry["optimum"][name]) for name in ("C", "N", "D")),
            _number(entry["optimum"]["D"] / entry["optimum"]["N"]),
            Cell(words.bpb(entry["optimum"]["L"]), entry["optimum"]["L"]),
            Cell(
                html=link(
                    f"{prefix}{entry['best']['folder']}/", f"{entry['best']['size']}, {words.bpb(entry['best']['bpb'])}"
                )
            ),
            _shape(entry["minimum"]),
            *(Cell(words.bpb(entry["minimum"][side]), entry["minimum"][side]) for side in ("rise_left", "rise_right")),
        ]
        for design in analysis["designs"]
        for entry in design["budgets"]
    ]
    columns = [
        "Design",
        "Budget",
        "C*",
        "N*",
        "D*, bytes",
        "D*/N*",
        "BPB*",
        "Best run",
        "Shape",
        "+ at smallest",
        "+ at largest",
    ]
    caption = "Optimum of every budget: the vertex of its parabola, or the best run where there is none"
    return table(columns, rows, caption=caption, sortable=True)


def _shape(minimum: dict[str, Any]) -> str:
    where = {"interior": "interior minimum", "too few sizes": "too few sizes"}.get(minimum["where"])
    if where is None:
        return f"{minimum['where']} size is best"
    return where if minimum["clear"] or minimum["where"] != "interior" else f"{where}, within error"


def _number(value: float | None, digits: int = 3) -> Cell:
    return Cell(words.UNKNOWN) if value is None else Cell(words.significant(value, digits), value)


def gap_table(comparison: dict[str, Any]) -> str:
    """The gap at some losses that both designs reach inside their ranges, and at the headline's."""
    inside = [gap for gap in comparison["losses"] if not gap["extrapolated"]]
    stride = max(1, (len(inside) - 1) // (SHARED_LOSSES - 1)) if inside else 1
    chosen = inside[::stride] or ([comparison["headline"]] if comparison["headline"] else [])
    rows = [
        [
            Cell(words.bpb(gap["loss"]), gap["loss"]),
            Cell(words.scientific(gap["compute_a"]), gap["compute_a"]),
            Cell(words.scientific(gap["compute_b"]), gap["compute_b"]),
            stacked(words.times(gap["gap"]), _ends(gap), gap["gap"]),
            Cell(words.times(gap["interpolated"]), gap["interpolated"]),
            "extrapolated" if gap["extrapolated"] else "measured",
        ]
        for gap in chosen
    ]
    columns = ["BPB", f"C, {comparison['a']}", f"C, {comparison['b']}", "Gap", "Read off the optima", "Range"]
    return table(columns, rows, caption=comparison["summary"]["title"])


def _ends(value: dict[str, Any], form=words.significant) -> str:
    """The interval; a null end is infinite if it is listed so."""
    low, high = (float("inf") if name in value["infinite"] else value[name] for name in ("low", "high"))
    return "" if low is None and high is None else words.span(low, high, form)


def parity_table(analysis: Analysis) -> str:
    """The parity compute under each form of the envelope, a row per pair of designs."""
    compared = [comparison for comparison in analysis["comparisons"] if comparison["parity"]]
    rows = [
        [
            f"{comparison['a']} / {comparison['b']}",
            *(_parity(found) for found in comparison["parity"]),
            comparison[comparison["parity"][0]["better"]],
        ]
        for comparison in compared
    ]
    forms = [FORMS[found["form"]] for found in compared[0]["parity"]] if compared else []
    caption = (
        "Parity: the compute at which the two meet, by form of the loss envelope; under 'never' the draws that meet"
    )
    return table(["Designs", *forms, "Ahead in the end"], rows, caption=caption)


def _parity(found: dict[str, Any]) -> Cell:
    if "compute" in found["infinite"]:
        return stacked("never", f"{found['share']:.0%} of draws", math.inf)
    tag = "" if found["extrapolated"] else ", measured"
    return stacked(words.scientific(found["compute"]) + tag, _ends(found, words.scientific), found["compute"])


def equal_compute_table(analysis: Analysis) -> str:
    """BPB of both designs at the same budget: a check that needs no law."""
    rows = [
        [
            f"{comparison['a']} / {comparison['b']}",
            Cell(words.compact(entry["budget"]), entry["budget"]),
            Cell(words.bpb(entry["bpb_a"]), entry["bpb_a"]),
            Cell(words.bpb(entry["bpb_b"]), entry["bpb_b"]),
            Cell(f"{entry['difference']:+.3f}".replace("-", "−"), entry["difference"]),
        ]
        for comparison in analysis["comparisons"]
        for entry in comparison["equal_compute"]
    ]
    columns = ["Designs", "Budget", "BPB of the first", "BPB of the second", "Difference"]
    return table(columns, rows, caption="BPB at equal compute", sortable=True)


def conventions_tables(analysis: Analysis) -> str:
    """The same study with compute counted by other rules: gaps, exponents, and what a run costs."""
    return _convention_gaps(analysis) + _convention_costs(analysis) + _breakdown(analysis)


def _convention_gaps(analysis: Analysis) -> str:
    pairs = [(c["a"], c["b"]) for c in analysis["comparisons"]]
    names = [design["name"] for design in analysis["designs"]]
    rows = []
    for entry in analysis["conventions"]:
        gaps = {(gap["a"], gap["b"]): gap for gap in entry["gaps"]}
        exponents = {design["design"]: design["a"] for design in entry["designs"]}
        cells = [_convention_gap(gaps.get(pair)) for pair in pairs]
        rows.append([entry["convention"], *cells, *(_number(exponents.get(name)) for name in names)])
    columns = ["Convention", *(f"{a} / {b}" for a, b in pairs), *(f"a, {name}" for name in names)]
    return table(columns, rows, caption="Headline gap and exponent a under each FLOPs convention")


def _convention_gap(gap: dict[str, Any] | None) -> Cell:
    if gap is None:
        return Cell(words.UNKNOWN)
    mark = ", extrapolated" if gap["extrapolated"] else ""
    return stacked(words.times(gap["gap"]) + mark, _ends(gap), gap["gap"])


def _convention_costs(analysis: Analysis) -> str:
    rows = []
    for design in analysis["designs"]:
        cost = design["cost"]
        if cost and cost.get("flops_by_convention"):
            exact = cost["flops"]
            ratios = [value / exact for name, value in cost["flops_by_convention"].items() if name != "exact"]
            rows.append(
                [design["name"], str(cost["size"]), Cell(words.scientific(exact), exact), *map(_number, ratios)]
            )
    if not rows:
        return ""
    counted = next(
        d["cost"]["flops_by_convention"] for d in analysis["designs"] if (d["cost"] or {}).get("flops_by_convention")
    )
    names = [name for name in counted if name != "exact"]
    columns = ["Design", "Size", "C exact", *(f"{name} / exact" for name in names)]
    return table(
        columns, rows, caption="Training FLOPs of the best run at the largest budget, by convention over exact"
    )


def _breakdown(analysis: Analysis) -> str:
    chosen = [(d["name"], d["cost"]) for d in analysis["designs"] if d["cost"] and d["cost"].get("breakdown")]
    if not chosen:
        return ""
    parts = [name for name in chosen[0][1]["breakdown"] if any(cost["breakdown"].get(name) for _, cost in chosen)]
    rows = []
    for name, cost in chosen:
        forward = sum(value for part, value in cost["breakdown"].items() if part != "attention_executed")
        shares = [cost["breakdown"].get(part, 0.0) / forward if forward else 0.0 for part in parts]
        rows.append(
            [name, str(cost["size"]), Cell(words.scientific(forward), forward), *(Cell(f"{s:.1%}", s) for s in shares)]
        )
    columns = ["Design", "Size", "Forward, FLOPs per window", *(part.replace("_", " ") for part in parts)]
    caption = (
        "Where the forward FLOPs of these runs go; 'attention executed' is what a kernel without the mask would do"
    )
    return table(columns, rows, caption=caption)
