"""What a reader should know before believing a study's numbers."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from isobyte.config.permutation import TEXT
from isobyte.study import words
from isobyte.study.panel import Panel

EPOCHS = 4.0
"""Up to about four passes, repeated text is worth nearly as much as new text (arXiv 2305.16264)."""

SEVERITY = ("problem", "caution", "note")

NOTES = frozenset({"few-points", "wide-grid", "cost-map", "one-seed", "budget-spread"})
"""Codes of the fits that qualify a number rather than question it."""

Caution = dict[str, Any]


def caution(severity: str, code: str, design: str, text: str) -> Caution:
    return {"severity": severity, "code": code, "designs": [design], "text": text}


def cautions(
    panels: list[Panel],
    designs: list[dict[str, Any]],
    comparisons: list[dict[str, Any]],
    hypotheses: list[dict[str, Any]],
    unigram: float | None,
) -> list[Caution]:
    """All warnings, the worst first; those that say the same of several designs are one.

    `unigram` is the entropy of the held-out text's byte frequencies, in bits per byte.
    """
    found = [*_other_sources(panels), *(warning for panel in panels for warning in _runs(panel))]
    for panel, design in zip(panels, designs, strict=True):
        found += [*_no_better_than_frequencies(design, unigram), *_flat_minima(design), *_fits(panel)]
    found += [warning for comparison in comparisons for warning in _comparison(comparison)]
    found += _unequal_choice(panels, hypotheses)
    merged: dict[tuple[str, str, str], Caution] = {}
    for warning in found:
        first = merged.setdefault((warning["severity"], warning["code"], warning["text"]), warning)
        if first is not warning:
            first["designs"] += warning["designs"]
    return sorted(merged.values(), key=lambda warning: SEVERITY.index(warning["severity"]))


def _other_sources(panels: list[Panel]) -> Iterator[Caution]:
    """BPB that are none of the text's."""
    for panel in panels:
        if panel.source != TEXT:
            text = (
                "reads text shuffled in a way that nothing undoes: its BPB is that of another source, not comparable "
                "with those of the text, and held against designs of the same source alone"
            )
            yield caution("caution", "another-source", panel.name, text)


def _runs(panel: Panel) -> Iterator[Caution]:
    states = Counter(row.get("state") for row in panel.rows)
    failed = [row for row in panel.rows if row.get("state") in ("failed", "crashed")]
    if failed:
        first = next((str(row["error"]) for row in failed if row.get("error")), "no message")
        text = f"{words.count(len(failed), 'run')} of {len(panel.rows)} failed; the first: {first}"
        yield caution("problem", "failed-runs", panel.name, text)
    unfinished = len(panel.rows) - states["done"] - len(failed)
    if unfinished:
        text = f"{words.count(unfinished, 'run')} of {len(panel.rows)} not finished; the numbers are those of a part"
        yield caution("caution", "unfinished-runs", panel.name, text)
    unfit = states["done"] - len(panel.fitted)
    if unfit:
        text = f"{words.count(unfit, 'finished run')} left out: no exact or bounded BPB, or a number is missing"
        yield caution("problem", "unusable-runs", panel.name, text)
    over = [row["epochs"] for row in panel.fitted if (row.get("epochs") or 0) > EPOCHS]
    if over:
        text = (
            f"{words.count(len(over), 'run')} of {len(panel.fitted)} read the training text more than {EPOCHS:g} times "
            f"(at most {words.significant(max(over))}): repeated text is worth less, and the law does not know"
        )
        yield caution("caution", "repeated-text", panel.name, text)


def _no_better_than_frequencies(design: dict[str, Any], unigram: float | None) -> Iterator[Caution]:
    """A model above the unigram entropy has learned less than the frequencies of the bytes."""
    poor = [entry["budget"] for entry in design["budgets"] if unigram and entry["best"]["bpb"] >= unigram]
    if poor:
        at = ", ".join(map(words.compact, poor))
        severity = "problem" if design["budgets"][-1]["budget"] in poor else "caution"
        text = f"not below the unigram entropy ({words.bpb(unigram)} BPB) at {at} FLOPs"
        yield caution(severity, "above-unigram", design["name"], text)


def _flat_minima(design: dict[str, Any]) -> Iterator[Caution]:
    for entry in design["budgets"]:
        if entry["minimum"]["where"] == "interior" and not entry["minimum"]["clear"]:
            text = f"budget {words.compact(entry['budget'])}: the minimum is no deeper than the estimator's error"
            yield caution("caution", "flat-minimum", design["name"], text)


def _fits(panel: Panel) -> Iterator[Caution]:
    """The fits' own warnings."""
    if panel.problem:
        yield caution("problem", "no-law", panel.name, f"no law is fitted: {panel.problem}")
    summary = panel.summary
    fits = {
        "variable projection": summary and summary.varpro,
        "approach 3": summary and summary.approach3,
        "parabolas": panel.approach2,
    }
    for method, fitted in fits.items():
        for text in fitted.warnings if fitted else ():
            yield _from_fit(panel.name, method, text)
    if summary and panel.no_envelope:
        yield caution("problem", "no-envelope", panel.name, f"no loss against compute: {panel.no_envelope}")
    if summary and summary.resamples == "residual":
        text = "cells have one seed: the noise is taken from the residuals of the law"
        yield caution("note", "one-seed", panel.name, text)


def _from_fit(design: str, method: str, text: str) -> Caution:
    """`code: words` of a fit, with its numbers written as elsewhere in the report."""
    code, _, said = text.partition(": ")
    said = re.sub(r"\b(\d(?:\.\d+)?e[+-]?\d+)\b", lambda match: words.compact(float(match[1])), said)
    said = re.sub(r"(\d)x\b", r"\1×", said)
    return caution("note" if code in NOTES else "caution", code, design, f"{method}: {said}")


def _comparison(comparison: dict[str, Any]) -> Iterator[Caution]:
    name = f"{comparison['a']} / {comparison['b']}"
    if comparison["method"] is None:
        yield caution("problem", "no-gap", name, f"no efficiency gap: {comparison['problem']}")
    elif comparison["method"] == "interpolated":
        yield caution("caution", "no-interval", name, f"gap without an interval: {comparison['problem']}")
    elif comparison["headline"]["extrapolated"]:
        text = "their measured ranges share no loss: every gap between them is extrapolated"
        yield caution("caution", "no-common-loss", name, text)


def _unequal_choice(panels: list[Panel], hypotheses: list[dict[str, Any]]) -> Iterator[Caution]:
    """The best of several sizes is lower than the only one, whatever the designs are. What both gaps of a claim are
    held against cancels; a grid that has grown since its best lay at the edge had no more choice than another."""
    tried = {panel.name: _sizes(panel) for panel in panels if panel.fitted}
    for hypothesis in hypotheses:
        (one, under), (other, below) = hypothesis["first"], hypothesis["second"]
        names = (one, other) if under == below else (one, under, other, below)
        sizes = {name: tried[name] for name in names if name in tried}
        if sizes and min(sizes.values()) == 1 < max(sizes.values()):
            said = ", ".join(f"{name} {count}" for name, count in sizes.items())
            text = f"its designs had unequal choice, and the best of more sizes is lower; sizes tried: {said}"
            yield caution("caution", "unequal-choice", hypothesis["name"], text)


def _sizes(panel: Panel) -> int:
    """Tried at the largest budget."""
    largest = max(row["budget"] for row in panel.fitted)
    return len({row["size"] for row in panel.fitted if row["budget"] == largest})
