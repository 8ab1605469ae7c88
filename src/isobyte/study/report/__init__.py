"""The report of a study: one page, its numbers as JSON and CSV, and its figures as PNG. No torch here."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from isobyte.files import write_atomic, write_json
from isobyte.study.report.figures import all_figures
from isobyte.study.report.matplotlib_chart import draw_png
from isobyte.study.report.page import render_page
from isobyte.study.report.records import prefix_to

NESTED = ("breakdown", "flops_by_convention")
"""Fields of a run that become one CSV column per entry."""


def write_report(
    analysis: dict[str, Any], rows: list[dict[str, Any]], folder: Path, *, study_folder: Path | None = None
) -> Path:
    """Write `report.html`, `report.json`, `runs.csv` and the PNGs into `folder`; returns the page's path.

    `analysis` is what `analyse` gave for these `rows`. The runs' folders are linked relative to
    `study_folder` (`folder` if not given). Every file is whole or absent; the page comes last.
    """
    figures = all_figures(analysis, rows)
    prefix = prefix_to(study_folder or folder, folder)
    write_json(folder / "report.json", analysis)
    write_atomic(folder / "runs.csv", runs_csv(rows))
    for figure in figures:
        write_atomic(folder / f"{figure.name}.png", draw_png(figure))
    page = folder / "report.html"
    write_atomic(page, render_page(analysis, rows, figures, prefix))
    return page


def runs_csv(rows: list[dict[str, Any]]) -> str:
    """A line per run with every field; nested ones as `name.part`, unknown values empty."""
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name in NESTED:
            found |= {f"{name}.{part}": number for part, number in (value or {}).items()}
        elif isinstance(value, dict | list):
            found[name] = json.dumps(value, allow_nan=False)
        else:
            found[name] = value
    return found
