"""`isobyte eval --probe`: what probes find, for people to read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table

from isobyte.cli.output import console, emit, tables

Found = dict[str, Any]


def evaluate_probes(run: Path, names: list[str], *, as_json: bool, **options: Any) -> int:
    """Measure and print; `options` are those of `evaluate.probes.probe_run`."""
    from isobyte.evaluate.probes import probe_run

    found = probe_run(run, [name.strip() for name in names], **options)
    for name, each in found["probes"].items():
        if name in TABLES:
            tables(as_json).print(TABLES[name](each))
    facts = found["run"]
    console.print(
        f"probes of {facts['objective']['kind']} over {facts['representation']['kind']}; none is a likelihood"
    )
    emit(found, as_json=as_json)
    return 0


def words_table(found: Found) -> Table:
    shown = _table(
        f"{found['words']} hidden words given n bytes (left: 2n) behind a gap: bits per byte of the word, words right",
        ("visible", "gap", *(f"n = {n}" for n in _distinct(found, "n"))),
    )
    cells = {(cell["layout"], cell["gap"], cell["n"]): cell for cell in found["cells"]}
    for layout in _distinct(found, "layout"):
        for gap in _distinct(found, "gap"):
            row = [cells.get((layout, gap, n)) for n in _distinct(found, "n")]
            if any(row):
                shown.add_row(layout, str(gap), *(_word_cell(cell) for cell in row))
        shown.add_section()
    return shown


def fragility_table(found: Found) -> Table:
    base = _number(found["base"])
    shown = _table(
        f"bits per byte more when k neighbours are lost (far: from {found['far_distance']} on); with all {base}",
        ("lost bytes", "k", "near", "far", "near - far"),
    )
    for treatment in ("resampled", "masked"):
        for k, each in found["lost"].items():
            if treatment in each:
                row = (each[treatment][kind] for kind in ("near", "far", "near_less_far"))
                shown.add_row(treatment, k, *map(_number, row))
        shown.add_section()
    return shown


def segmentation_table(found: Found) -> Table:
    shown = _table(
        f"where predictive entropy peaks, in {found['windows']} windows",
        ("given", "starts of", "peaks of", "F1", "shifted", "difference", "bits at starts - elsewhere"),
    )
    for context, kinds in found["contexts"].items():
        for truth in found["boundaries"]:
            for rule in ("entropy", "rise"):
                each = kinds[truth][rule]
                contrast = _number(kinds[truth]["contrast"]) if rule == "entropy" else ""
                row = (each[kind] for kind in ("f1", "shifted", "difference"))
                shown.add_row(context, truth, rule, *map(_number, row), contrast)
        shown.add_section()
    return shown


def layers_table(found: Found) -> Table:
    shown = _table(
        f"read off the states of each layer by linear probes, in {found['windows']} windows",
        ("target", "byte", "layer", "bits of information", "of", "right", "commonest", "above the control"),
    )
    for target, each in found["targets"].items():
        for view, layers in (each["views"] or {}).items():
            for layer in layers:
                row = (layer["information"], each["entropy_bits"], layer["accuracy"], each["majority"])
                shown.add_row(
                    target, view, str(layer["layer"]), *map(_number, row), _number(layer["selectivity"])
                )  # fmt: skip
        if each["views"] is None:
            shown.add_row(target, each["reason"])
        shown.add_section()
    return shown


TABLES: dict[str, Callable[[Found], Table]] = {
    "words": words_table,
    "fragility": fragility_table,
    "segmentation": segmentation_table,
    "layers": layers_table,
}


def _distinct(found: Found, key: str) -> list[Any]:
    return list(dict.fromkeys(cell[key] for cell in found["cells"]))


def _word_cell(cell: Found | None) -> str:
    if cell is None:
        return "-"
    return f"{_number(cell['bits_per_byte'], 2)}, {100 * cell['exact']['mean']:.0f} %"


def _table(title: str, columns: tuple[str, ...]) -> Table:
    shown = Table(title=title)
    for index, column in enumerate(columns):
        shown.add_column(column, justify="right" if index > 1 else "left")
    return shown


def _number(each: Found, digits: int = 3) -> str:
    if each["mean"] is None:
        return "-"
    return f"{each['mean']:.{digits}f}" + ("" if each["stderr"] is None else f" +- {each['stderr']:.{digits}f}")
