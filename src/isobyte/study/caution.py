"""What a reader should know before believing a study's numbers."""

import re
from collections import Counter
from typing import Any

from isobyte.study import words
from isobyte.study.panel import Panel

EPOCHS = 4.0
"""Up to about four passes, repeated text is worth nearly as much as new text (arXiv 2305.16264)."""

SEVERITY = ("problem", "caution", "note")

NOTES = frozenset({"few-points", "wide-grid", "cost-map", "one-seed", "budget-spread"})

Caution = dict[str, Any]


def caution(severity: str, code: str, design: str | None, text: str) -> Caution:
    return {"severity": severity, "code": code, "design": design, "text": text}


def cautions(
    study: dict[str, Any],
    panels: list[Panel],
    designs: list[dict[str, Any]],
    comparisons: list[dict[str, Any]],
) -> list[Caution]:
    """All warnings, the worst first, then by design."""
    found = [warning for panel in panels for warning in _runs(panel)]
    found += [
        warning for panel, design in zip(panels, designs, strict=True) for warning in _panel(study, panel, design)
    ]
    found += [warning for comparison in comparisons for warning in _comparison(comparison)]
    return sorted(found, key=lambda warning: SEVERITY.index(warning["severity"]))


def _runs(panel: Panel) -> list[Caution]:
    found = []
    states = Counter(row.get("state") for row in panel.rows)
    failed = [row for row in panel.rows if row.get("state") in ("failed", "crashed")]
    if failed:
        first = next((str(row["error"]) for row in failed if row.get("error")), "no message")
        text = f"{words.count(len(failed), 'run')} of {len(panel.rows)} failed; the first: {first}"
        found.append(caution("problem", "failed-runs", panel.name, text))
    open_runs = len(panel.rows) - states["done"] - len(failed)
    if open_runs:
        text = f"{words.count(open_runs, 'run')} of {len(panel.rows)} not finished; the numbers are those of a part"
        found.append(caution("caution", "unfinished-runs", panel.name, text))
    unfit = states["done"] - len(panel.fitted)
    if unfit:
        text = f"{words.count(unfit, 'finished run')} left out: no exact or bounded BPB, or a number is missing"
        found.append(caution("problem", "unusable-runs", panel.name, text))
    return found + _repeated_text(panel)


def _repeated_text(panel: Panel) -> list[Caution]:
    over = [row for row in panel.fitted if (row.get("epochs") or 0) > EPOCHS]
    if not over:
        return []
    most = max(row["epochs"] for row in over)
    text = (
        f"{words.count(len(over), 'run')} of {len(panel.fitted)} read the training text more than {EPOCHS:g} times "
        f"(at most {words.significant(most)}): repeated text is worth less than new text, and the law does not know"
    )
    return [caution("caution", "repeated-text", panel.name, text)]


def _panel(study: dict[str, Any], panel: Panel, design: dict[str, Any]) -> list[Caution]:
    found = []
    if panel.problem:
        found.append(caution("problem", "no-law", panel.name, f"no law is fitted: {panel.problem}"))
    found += _no_better_than_frequencies(study, panel, design)
    for budget in design["budgets"]:
        minimum = budget["minimum"]
        if minimum["where"] == "interior" and not minimum["clear"]:
            text = (
                f"budget {words.compact(budget['budget'])}: the minimum stands out no more than the estimator's error"
            )
            found.append(caution("caution", "flat-minimum", panel.name, text))
    fits = [] if panel.summary is None else [panel.summary.varpro.warnings, panel.summary.approach3.warnings]
    names = ["variable projection", "approach 3"]
    if panel.approach2 is not None:
        fits.append(panel.approach2.warnings)
        names.append("parabolas")
    for name, warnings in zip(names if panel.summary else ["parabolas"], fits, strict=False):
        found += [_from_fit(panel.name, name, text) for text in warnings]
    if panel.summary is not None and panel.summary.resamples == "residual":
        text = "cells have one seed: the noise is taken from the residuals of the law"
        found.append(caution("note", "one-seed", panel.name, text))
    return found


def _no_better_than_frequencies(study: dict[str, Any], panel: Panel, design: dict[str, Any]) -> list[Caution]:
    """A model above the unigram entropy has learned less than the frequencies of the bytes."""
    unigram = (study.get("reference") or {}).get("unigram")
    poor = [b["budget"] for b in design["budgets"] if unigram and b["best"]["bpb"] >= unigram]
    if not poor:
        return []
    last = design["budgets"][-1]["budget"] in poor
    text = f"not below the unigram entropy ({words.bpb(unigram)} BPB) at {', '.join(map(words.compact, poor))} FLOPs"
    return [caution("problem" if last else "caution", "above-unigram", panel.name, text)]


def _from_fit(design: str, method: str, text: str) -> Caution:
    code, _, said = text.partition(": ")
    said = re.sub(r"\b(\d(?:\.\d+)?e[+-]?\d+)\b", lambda match: words.compact(float(match[1])), said)
    said = re.sub(r"(\d)x\b", r"\1×", said)
    return caution("note" if code in NOTES else "caution", code, design, f"{method}: {said}")


def _comparison(comparison: dict[str, Any]) -> list[Caution]:
    name = f"{comparison['a']} / {comparison['b']}"
    if comparison["method"] is None:
        return [caution("problem", "no-gap", name, f"no efficiency gap: {comparison['problem']}")]
    if comparison["method"] == "interpolated":
        return [caution("caution", "no-interval", name, f"gap without an interval: {comparison['problem']}")]
    if comparison["headline"]["extrapolated"]:
        text = "their measured ranges share no loss: every gap between them is extrapolated"
        return [caution("caution", "no-common-loss", name, text)]
    return []
