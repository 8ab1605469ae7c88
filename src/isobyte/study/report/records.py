"""The tables of what was done: settings, planner's decisions, runs."""

import os
from pathlib import Path
from typing import Any

from isobyte.study import words
from isobyte.study.report.markup import Cell, flatten, link, paragraph, table

Analysis = dict[str, Any]
Row = dict[str, Any]

CAPTION = "One row per run; the size leads to its folder, ± is the standard error of the estimator"

SHOWN = 500
"""Runs on the page at most; `runs.csv` has them all."""


def settings_table(analysis: Analysis) -> str:
    """Every setting of every design, one column a design."""
    chosen = {d["name"]: flatten(_without_name(d["settings"])) for d in analysis["designs"] if d["settings"]}
    names = dict.fromkeys(name for settings in chosen.values() for name in settings)
    rows = [[name, *(settings.get(name, words.UNKNOWN) for settings in chosen.values())] for name in names]
    return table(["Setting", *chosen], rows, caption="Settings of each design")


def _without_name(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "name"}


def decisions_table(analysis: Analysis) -> str:
    """Where the planner put each budget's sizes, and why."""
    rows = [
        [
            str(decision.get("design", "")),
            Cell(words.compact(decision.get("budget")), decision.get("budget") or 0.0),
            str(decision.get("centre", "")),
            ", ".join(map(str, decision.get("sizes") or ())),
            str(decision.get("reason", "")),
        ]
        for decision in analysis["study"].get("decisions") or []
        if isinstance(decision, dict)
    ]
    columns = ["Design", "Budget", "Centre", "Sizes", "Why"]
    return table(columns, rows, caption="How the sizes of each budget were chosen")


def runs_table(rows: list[Row], prefix: str) -> str:
    """All runs, or the best of very many; `prefix` leads from the page to the study's folder."""
    if not rows:
        return ""
    chosen = choose(rows)
    columns = ["Design", "Budget", "Size", "Seed", "State", "BPB", "±", "Kind", "N", "N_total", "D, bytes", "C, FLOPs",
               "Epochs", "lr", "Batch", "Window", "Steps", "Time", "FLOP/s"]  # fmt: skip
    body = table(columns, [_run(row, prefix) for row in chosen], caption=CAPTION, sortable=True)
    if len(chosen) == len(rows):
        return body
    text = (
        f"{len(chosen):,} of {len(rows):,} runs are shown: those that failed, and the best of each design and budget. "
    )
    return paragraph(text + "All of them are in runs.csv.") + body


def choose(rows: list[Row]) -> list[Row]:
    """At most `SHOWN` rows in their order: failed ones (a fifth at most), then the best of each design and budget."""
    if len(rows) <= SHOWN:
        return rows
    failed = [k for k, row in enumerate(rows) if row.get("state") in ("failed", "crashed")][: SHOWN // 5]
    groups: dict[tuple[Any, Any], list[int]] = {}
    for k, row in enumerate(rows):
        if row.get("bpb") is not None:
            groups.setdefault((row["design"], row["budget"]), []).append(k)
    ranked = [
        (rank, k) for group in groups.values() for rank, k in enumerate(sorted(group, key=lambda k: rows[k]["bpb"]))
    ]
    best = [k for _, k in sorted(ranked)]
    kept = list(dict.fromkeys([*failed, *best]))[:SHOWN]
    return [rows[k] for k in sorted(kept)]


def _run(row: Row, prefix: str) -> list[str | Cell]:
    state, size = str(row.get("state") or "unknown"), str(row.get("size"))
    return [
        str(row.get("design")),
        _sized(row, "budget", words.compact),
        Cell(html=link(f"{prefix}{row['folder']}/", size)) if row.get("folder") else size,
        _sized(row, "seed", str),
        f"{state}: {row['error']}" if row.get("error") else state,
        _sized(row, "bpb", lambda v: f"{v:.4f}"),
        _sized(row, "stderr", lambda v: f"{v:.4f}" if v else "0"),
        str(row.get("kind") or words.UNKNOWN),
        *(_sized(row, key, words.scientific) for key in ("N", "N_total", "data_bytes", "flops")),
        _sized(row, "epochs", words.significant),
        _sized(row, "lr", lambda v: f"{v:.3g}"),
        *(_sized(row, key, lambda v: f"{v:,}") for key in ("batch", "window", "steps")),
        _sized(row, "wall_seconds", words.duration),
        _sized(row, "flops_per_second", words.scientific),
    ]


def _sized(row: Row, key: str, form: Any) -> Cell:
    value = row.get(key)
    return Cell(words.UNKNOWN) if value is None else Cell(form(value), float(value))


def prefix_to(study_folder: Path, page_folder: Path) -> str:
    """Relative path from the page to the study's folder, with a slash at its end unless they are the same."""
    path = os.path.relpath(study_folder, page_folder).replace(os.sep, "/")
    return "" if path == "." else f"{path}/"
