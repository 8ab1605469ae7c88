"""The picture of `isobyte bench sample --methods`: quality against bytes per second."""

from itertools import groupby
from pathlib import Path
from typing import Any

from isobyte.study.report.chart import Axis, Chart, Figure, Key, Level, Line, Mark, Points, extent
from isobyte.study.report.palette import INK, MUTED

Row = dict[str, Any]
NAMES = {"blt": "BLT", "blt_s": "BLT-S", "blt_d": "BLT-D", "blt_dv": "BLT-DV"}
COLOURS = {"blt": INK, "blt_s": "#0b4f8a", "blt_d": "#c25a12", "blt_dv": "#1f7a5c"}
SYMBOLS = {"none": "circle", "cut": "square", "resume": "diamond"}
OTHER = {"blt": "star", "blt_s": "triangle-up"}
ALIGNS = {"none": "block at the end", "cut": "cut at a patch", "resume": "from the open patch"}


PANELS = (
    ("Bits per byte of the output, by the causal path", "bpb", "BPB"),
    ("Share of bytes before the first that is not greedy decoding's", "prefix", "share"),
    ("Beside the text that goes on from the prompts", "chrf", "chrF"),
)


def methods_figure(record: dict[str, Any]) -> Figure:
    """The first two of `PANELS` that were measured. A dashed line through plain decoding: to its right, faster."""
    rows, plan = record["rows"], record["plan"]
    measured = [panel for panel in PANELS if all(row["quality"][panel[1]] is not None for row in rows)]
    charts = [_chart(*panel, rows, record["reference"]) for panel in measured[:2]]
    title = f"{Path(record['model']).name}: {plan['texts']} texts of {plan['prompt_bytes']} + {plan['new_bytes']} bytes"
    return Figure("methods", title, charts, _keys(rows), columns=2)


def _chart(title: str, name: str, label: str, rows: list[Row], reference: Row) -> Chart:
    levels = [Level(reference[name], "the text that the prompts are from")] if name == "bpb" else []
    x = extent(map(_speed, rows), pad=0.1) or (0.0, 1.0)
    y = extent([*(row["quality"][name] for row in rows), *(level.y for level in levels)], pad=0.12) or (0.0, 1.0)
    fastest = {max(own, key=_speed)["name"] for _, own in groupby(rows, lambda row: row["method"])}
    plain = _speed(rows[0])
    marks: list[Mark] = [*levels, Line([plain, plain], [*y], MUTED, dashed=True, width=1)]
    for curve in _curves(rows):
        marks += _marks(curve, name, fastest)
    alt = f"{title} against bytes per second: {len(rows)} settings."
    return Chart(title, Axis("bytes per second", *x), Axis(label, *y), marks, alt)


def _speed(row: Row) -> float:
    return row["bytes_per_second"]


def _curves(rows: list[Row]) -> list[list[Row]]:
    """Settings that differ in one number alone, in the order of that number; plain decoding last, on top."""

    def others(row: Row) -> tuple[bool, str]:
        return row["method"] == "blt", f"{row['method']} {_kind(row)} {row.get('align')} {row.get('refresh')}"

    return [list(curve) for _, curve in groupby(sorted(rows, key=others), others)]


def _kind(row: Row) -> str:
    """`confidence` of `confidence0.7`."""
    return (row["by"] or "").rstrip("0123456789.")


def _marks(curve: list[Row], name: str, named: set[str]) -> list[Mark]:
    first, x, y = curve[0], [_speed(row) for row in curve], [row["quality"][name] for row in curve]
    method, colour = first["method"], COLOURS[first["method"]]
    points = Points(
        x, y, colour, _symbol(first), size=13 if method == "blt" else 8,
        filled=first.get("refresh") in (None, "never"),
        hover=[row["name"] for row in curve],
        names=[_called(row) if row["name"] in named else "" for row in curve],
        below=method == "blt_dv",
    )  # fmt: skip
    return [Line(x, y, colour, dashed=_kind(first) == "entropy", width=1.2), points]


def _symbol(row: Row) -> str:
    return OTHER.get(row["method"]) or SYMBOLS[row["align"]]


def _called(row: Row) -> str:
    """Plain decoding has a line of its own."""
    return "" if row["method"] == "blt" else f"{NAMES[row['method']]} {row['by']}"


def _keys(rows: list[Row]) -> list[Key]:
    """What is in the picture."""
    keys = [
        Key(NAMES[method], colour, OTHER.get(method))
        for method, colour in COLOURS.items()
        if _any(rows, "method", method)
    ]
    keys += [Key(told, MUTED, SYMBOLS[align]) for align, told in ALIGNS.items() if _any(rows, "align", align)]
    filled = {"confidence": False, "entropy": True}
    keys += [Key(f"by {fill}", MUTED, dashed=dashed) for fill, dashed in filled.items() if fill in map(_kind, rows)]
    if any(row.get("refresh") not in (None, "never") for row in rows):
        keys.append(Key("exact byte first", MUTED, "circle-open"))
    return keys


def _any(rows: list[Row], name: str, value: str) -> bool:
    return any(row.get(name) == value for row in rows)
