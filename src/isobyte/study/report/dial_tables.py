"""Tables of dials, and what the study says of its hypotheses."""

from html import escape
from typing import Any

from isobyte.study import words
from isobyte.study.measures import COMPUTE
from isobyte.study.report.dial_figure import signed
from isobyte.study.report.markup import Cell, paragraph, stacked, table

Analysis = dict[str, Any]

TAG = {"supported": "remark", "contradicted": "problem", "open": "caution", "not measured": "caution"}
MEASURES = {COMPUTE: "compute, exact", "parameters": "parameters", "text": "bytes of text"}


def dials_table(analysis: Analysis) -> str:
    """A row per dial and position at the largest budget that has it."""
    rows = []
    for dial in analysis["dials"]:
        last = _last(dial)
        if last is None:
            continue
        for position in last["positions"]:
            gap = position["gap"]
            rows.append(
                [
                    dial["name"],
                    Cell(f"{position['at']:g}", position["at"]),
                    position["design"],
                    position["reference"],
                    Cell(words.compact(last["budget"]), last["budget"]),
                    _estimate(gap),
                    _seeds(gap),
                ]
            )
    columns = ["Dial", "At", "Design", "Above", "FLOPs", "Gap, BPB", "By seed"]
    return table(columns, rows, caption=f"Gaps at equal compute, {_level(analysis)} intervals over seeds")


def changes_table(analysis: Analysis) -> str:
    """What each dial does from its first position to its last, at every budget."""
    rows = [
        [
            dial["name"],
            Cell(words.compact(each["budget"]), each["budget"]),
            _estimate(each["change"]),
            Cell(f"{each['rising_steps']} of {each['steps']}", each["rising_steps"]),
        ]
        for dial in analysis["dials"]
        for each in dial["budgets"]
        if each["change"]
    ]
    columns = ["Dial", "FLOPs", "Change of the gap, first to last, BPB", "Steps up"]
    return table(columns, rows, caption=f"From the end that is like autoregression on; {_level(analysis)} intervals")


def verdicts(analysis: Analysis) -> str:
    """Each hypothesis: claim, what was measured, what would overturn it."""
    items = []
    for found in analysis["hypotheses"]:
        tag = f'<span class="tag {TAG[found["verdict"]]}">{escape(found["verdict"])}</span>'
        parts = [
            f"<p><strong>{escape(found['name'])}</strong> {tag}</p>",
            paragraph(found["claim"]),
            paragraph(_measured(found, analysis)),
            paragraph(f"It would be overturned by: {found['overturned']}", "note"),
        ]
        items.append(f'<div class="card">{"".join(parts)}</div>')
    return f'<div class="cards">{"".join(items)}</div>' if items else ""


def _measured(found: dict[str, Any], analysis: Analysis) -> str:
    estimate = found["estimate"]
    if estimate is None:
        return "Not measured: runs are missing."
    what = " above ".join(found["first"])
    less = " above ".join(found["second"])
    text = f"Measured: the gap of {what}, less that of {less}, is {signed(estimate['mean'])} BPB"
    if estimate["low"] is None:
        return f"{text} with one seed, which tells no spread."
    text += f" {words.span(estimate['low'], estimate['high'], signed)} at {_level(analysis)} over seeds."
    if found["expect"] == "equal":
        text += f" Gaps count as equal within {found['margin']:g} BPB."
    changed = found["changes_sign_under"]
    measures = len([each for each in found["by_measure"] if each["estimate"]])
    if changed:
        return f"{text} The sign changes when what is matched is {_list(changed)}."
    return f"{text} The sign is the same by all {measures} measures of cost." if measures > 1 else text


def _list(names: list[str]) -> str:
    return " or ".join(MEASURES.get(name, f"compute by {name}") for name in names)


def ledger_table(analysis: Analysis) -> str:
    """Every hypothesis' estimate with other costs matched: other counts of FLOPs, parameters, text."""
    measures = list(dict.fromkeys(each["measure"] for found in analysis["hypotheses"] for each in found["by_measure"]))
    names = [found["name"] for found in analysis["hypotheses"]]
    by_name = {found["name"]: {e["measure"]: e for e in found["by_measure"]} for found in analysis["hypotheses"]}
    rows = [
        [MEASURES.get(measure, f"compute by {measure}"), *(_ledger_cell(by_name[name].get(measure)) for name in names)]
        for measure in measures
    ]
    caption = "The same estimates with another cost matched; * is continued beyond the runs"
    return table(["Matched", *names], rows, caption=caption)


def _ledger_cell(each: dict[str, Any] | None) -> Cell:
    if each is None or each["estimate"] is None:
        return Cell(words.UNKNOWN)
    estimate = each["estimate"]
    ends = "" if estimate["low"] is None else words.span(estimate["low"], estimate["high"], signed)
    return stacked(signed(estimate["mean"]) + ("*" if each["extrapolated"] else ""), ends, estimate["mean"])


def _estimate(found: dict[str, Any] | None) -> Cell:
    if found is None:
        return Cell(words.UNKNOWN)
    ends = "" if found["low"] is None else words.span(found["low"], found["high"], signed)
    return stacked(signed(found["mean"]), ends, found["mean"])


def _seeds(found: dict[str, Any] | None) -> str:
    return words.UNKNOWN if found is None else " ".join(signed(value) for value in found["by_seed"].values())


def _last(dial: dict[str, Any]) -> dict[str, Any] | None:
    return next((each for each in reversed(dial["budgets"]) if any(p["gap"] for p in each["positions"])), None)


def _level(analysis: Analysis) -> str:
    return f"{analysis['options']['level']:.0%}"
