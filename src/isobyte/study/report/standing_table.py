"""The table of designs at equal compute."""

from typing import Any

from isobyte.config.permutation import TEXT
from isobyte.study import words
from isobyte.study.report.markup import Cell, link, stacked, table


def standing_table(analysis: dict[str, Any], prefix: str) -> str:
    """The best run of every design at the largest budget; numbers that are no likelihood have a column of their own."""
    last = max((entry["budget"] for entry in analysis["standings"]), default=None)
    entries = [entry for entry in analysis["standings"] if entry["budget"] == last]
    companions = any(entry["companions"] for entry in entries)
    patched = any(entry["bytes_per_patch"] for entry in entries)
    rows = [
        [
            Cell(html=link(f"{prefix}{entry['folder']}/", entry["design"])),
            words.objective(entry["objective"]),
            words.representation(entry["representation"]),
            *([_patches(entry["bytes_per_patch"])] if patched else []),
            Cell(str(entry["size"])),
            Cell(_number(entry), entry["bpb"]),
            str(entry["estimator"]),
            _above(entry["difference"], entry["bpb"]),
            *([_companions(entry["companions"])] if companions else []),
        ]
        for entry in entries
    ]
    columns = ["Design", "Objective", "Representation", "Size", "BPB", "Estimator", "Above AR, BPB"]
    if patched:
        columns.insert(3, "Bytes per patch")
    if companions:
        columns.append("Other numbers, in bits per byte")
    level = f"{analysis['options']['level']:.0%}"
    caption = f"Best runs at {words.compact(last)} FLOPs; above AR with {level} intervals over the text"
    return table(columns, rows, caption=caption, sortable=True)


def _number(entry: dict[str, Any]) -> str:
    sign = "=" if entry["kind"] == "exact" else "≤"
    return f"{sign} {words.bpb(entry['bpb'])}" + ("" if entry["source"] == TEXT else " (another source)")


def _patches(length: float | None) -> Cell:
    return Cell(words.UNKNOWN) if length is None else Cell(words.significant(length), length)


def _above(difference: dict[str, Any] | None, bpb: float) -> Cell:
    if difference is None:
        return Cell(words.UNKNOWN)
    ends = words.span(difference["low"], difference["high"], lambda x: f"{x:+.3f}".replace("-", "−"))
    return stacked(f"{difference['bpb']:+.3f}".replace("-", "−"), ends, bpb)


def _companions(found: list[dict[str, Any]]) -> Cell:
    """A surrogate is never called BPB; another bound of the same network says whose it is."""
    sign = {"exact": "=", "bound": "≤"}
    texts = []
    for other in found:
        name = f"{other['kind']}/{other['estimator']}" if other["kind"] not in sign else other["estimator"]
        texts.append(f"{name} {sign.get(other['kind'], '')} {words.bpb(other['value'])}".replace("  ", " "))
    return Cell("; ".join(texts) or words.UNKNOWN)
