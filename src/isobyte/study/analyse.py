"""Collected runs -> what the study proves: the content of `report.json`."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from isobyte.study import sentences
from isobyte.study.caution import cautions
from isobyte.study.compare import compare
from isobyte.study.conventions import under_conventions
from isobyte.study.dials import judged, turned
from isobyte.study.fit import strict
from isobyte.study.isoflop import isoflops
from isobyte.study.pairs import Pair, pairs
from isobyte.study.panel import BEYOND, Panel, Row, fit_panel, greatest_compute, optimal_curve
from isobyte.study.standing import standings

FORMAT = 1
"""Of `report.json`; raised when a field changes its meaning."""


REFERENCES = ("unigram", "bigram", "zstd", "xz", "ppmd")


def analyse(
    study: Mapping[str, Any], rows: Iterable[Row], *, bootstrap: int = 1000, level: float = 0.9, seed: int = 0
) -> dict[str, Any]:
    """Everything a report states, as strict JSON, from the study's description and one row per run.

    Numbers depend on the finished runs, `bootstrap` (draws), `level` (of intervals) and `seed` alone, not
    on the order of the rows. What is infinite or unknown is null; a gap or a parity names its infinite
    fields under `infinite`. Missing runs, sizes, budgets or designs leave parts empty and a warning behind.
    """
    rows, study = sorted(rows, key=_place), dict(study)
    options = {"bootstrap": bootstrap, "level": level, "seed": seed}
    panels = [fit_panel(name, *_kinds(part, name), part, **options) for name, part in _by_design(study, rows).items()]
    greatest = greatest_compute(panels)
    designs = [_design(study, panel, BEYOND * greatest, level) for panel in panels]
    matched = _matched(study, panels)
    comparisons = [_compare(pair, greatest, level) for pair in matched]
    hypotheses = judged(study, rows, level)
    analysis = {
        "format": FORMAT,
        "headline": _headline(study, rows, designs, comparisons),
        "study": study,
        "options": options,
        "reference": reference(study),
        "runs": _tally(rows),
        "designs": designs,
        "standings": standings(panels, level),
        "comparisons": comparisons,
        "dials": turned(study, rows, level),
        "hypotheses": hypotheses,
        "conventions": under_conventions(matched, panels, _conventions(panels), level),
        "warnings": cautions(panels, designs, comparisons, hypotheses, reference(study).get("unigram")),
    }
    return strict(analysis)


def _place(row: Row) -> tuple[Any, ...]:
    """An order of rows that does not depend on how they were collected."""
    return (
        str(row.get("design")),
        row.get("budget") or 0.0,
        row.get("N") or 0,
        row.get("seed") or 0,
        str(row.get("hash")),
    )


def _headline(
    study: dict[str, Any], rows: list[Row], designs: list[dict[str, Any]], comparisons: list[dict[str, Any]]
) -> dict[str, Any]:
    """What to read if only one thing is read."""
    numbers = ("loss", "compute_a", "compute_b", "gap", "low", "high", "extrapolated")
    gaps = [
        {"a": found["a"], "b": found["b"], "contrast": found["contrast"]}
        | {name: (found["headline"] or {}).get(name) for name in numbers}
        | {"parity": found["parity"][0]["compute"] if found["parity"] else None}
        for found in comparisons
    ]
    return {
        "study": study.get("name"),
        "runs": len(rows),
        "done": sum(row.get("state") == "done" for row in rows),
        "leader": sentences.leader(designs),
        "gaps": gaps,
    }


def _by_design(study: dict[str, Any], rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by design, in the order of the study; designs without a row are dropped."""
    found: dict[str, list[Row]] = {name: [] for name in settings(study)}
    for row in rows:
        found.setdefault(row["design"], []).append(row)
    return {name: part for name, part in found.items() if part}


def settings(study: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The study's designs by name."""
    return {design["name"]: dict(design) for design in study.get("designs") or []}


def single_budget(study: Mapping[str, Any]) -> bool:
    """Whether the study compares at one budget by design, and so has no gap to state."""
    return len(study.get("budgets") or ()) == 1


def _matched(study: Mapping[str, Any], panels: list[Panel]) -> list[Pair]:
    """Pairs to state a gap for; of a study that turns dials, whose designs are many and have few runs each, those with
    a law on both sides."""
    if single_budget(study):
        return []
    found = pairs(panels)
    if not study.get("dials") and not study.get("hypotheses"):
        return found
    return [pair for pair in found if pair.a.summary is not None and pair.b.summary is not None]


def reference(study: Mapping[str, Any]) -> dict[str, float]:
    """Bits per byte of simple models and compressors on the held-out text, by name; of the study or of its corpus."""
    found = study.get("reference") or (study.get("corpus") or {}).get("reference") or {}
    return {name: found[name] for name in REFERENCES if math.isfinite(found.get(name) or math.nan)}


def _kinds(rows: list[Row], name: str) -> tuple[str, str]:
    """(representation, objective) of a design's rows."""
    return str(rows[0].get("representation") or name), str(rows[0].get("objective") or name)


def _design(study: dict[str, Any], panel: Panel, high: float, level: float) -> dict[str, Any]:
    budgets = isoflops(panel)
    estimators = sorted({str(row.get("estimator")) for row in panel.fitted})
    return {
        "name": panel.name,
        "representation": panel.representation,
        "objective": panel.objective,
        "kind": panel.kind,
        "source": panel.source,
        "estimator": ", ".join(estimators) or None,
        "runs": _tally(panel.rows),
        "settings": settings(study).get(panel.name),
        "budgets": budgets,
        "fit": None if panel.summary is None else panel.summary.to_json(),
        "problem": panel.problem,
        "parabolas": None if panel.approach2 is None else {"a": panel.approach2.a, "b": panel.approach2.b},
        "measured": None if panel.runs is None else [panel.runs.C.min(), panel.runs.C.max()],
        "irreducible": _irreducible(panel),
        "optimal": optimal_curve(panel, high, level),
        "cost": _cost(panel),
    }


def _irreducible(panel: Panel) -> dict[str, Any] | None:
    """The offset E that each method finds, with its interval: the BPB no compute would undercut."""
    if panel.summary is None:
        return None
    found = {}
    for method in ("varpro", "approach3"):
        low, high = panel.summary.intervals[method]["E"]
        found[method] = {"E": getattr(panel.summary, method).law.E, "low": low, "high": high}
    return found


def _cost(panel: Panel) -> dict[str, Any] | None:
    """What the best run at the largest budget cost: FLOPs by part and by convention."""
    if not panel.fitted:
        return None
    last = [row for row in panel.fitted if row["budget"] == panel.fitted[-1]["budget"]]
    best = min(last, key=lambda row: row["bpb"])
    names = ("size", "seed", "N", "flops", "breakdown", "flops_by_convention")
    return {name: best.get(name) for name in names}


def _compare(pair: Pair, greatest: float, level: float) -> dict[str, Any]:
    found = compare(pair, BEYOND * greatest, level)
    contrast = pair.contrast if pair.contrast != "design" else "name"
    found["levels"] = [getattr(pair.a, contrast), getattr(pair.b, contrast)]
    found["summary"] = sentences.gap(found, level)
    found["summary"]["parity"] = sentences.parity(found, greatest)
    return found


def _conventions(panels: list[Panel]) -> list[str]:
    """Names of the FLOPs conventions that the runs carry, in their order."""
    names: dict[str, None] = {}
    for panel in panels:
        for row in panel.fitted:
            names |= dict.fromkeys(row.get("flops_by_convention") or {})
    return list(names)


def _tally(rows: list[Row]) -> dict[str, Any]:
    """Runs by state, and the compute and time that the finished ones took."""
    states: dict[str, int] = {}
    for row in rows:
        state = str(row.get("state") or "unknown")
        states[state] = states.get(state, 0) + 1
    done = [row for row in rows if row.get("state") == "done"]
    total = {key: math.fsum(row.get(key) or 0.0 for row in done) for key in ("flops", "wall_seconds")}
    taken = sum(row.get("taken_from") is not None for row in done)
    return {"total": len(rows), "states": dict(sorted(states.items())), "taken": taken} | total
