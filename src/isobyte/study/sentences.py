"""The results in plain words, for the top of a report and for the terminal."""

import math
from typing import Any

from isobyte.config.permutation import TEXT
from isobyte.study import words

NAMED = 5
"""Rivals that the first sentence of a report names."""


def leader(designs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Which design reaches the lowest BPB of the text, and with what compute; without one, of the first's source."""
    ends = [(design, design["budgets"][-1]) for design in designs if design["budgets"]]
    if not ends:
        return None
    sources = [design["source"] for design, _ in ends]
    source = TEXT if TEXT in sources else sources[0]
    ends = [end for end in ends if end[0]["source"] == source]
    largest = max(last["budget"] for _, last in ends)
    rivals = [(design, last) for design, last in ends if last["budget"] == largest]
    (design, last), *others = sorted(rivals, key=lambda pair: pair[1]["optimum"]["L"])
    more = len(others) - NAMED
    others = [f"{other['name']} {words.bpb(end['optimum']['L'])}" for other, end in others[:NAMED]]
    others += [words.count(more, "more design")] if more > 0 else []
    text = f"At {words.compact(largest)} FLOPs, {design['name']} reaches {words.bpb(last['optimum']['L'])} BPB"
    text += f"; {', '.join(others)}." if others else "."
    return {
        "design": design["name"],
        "budget": largest,
        "bpb": last["optimum"]["L"],
        "title": f"Lowest BPB at the largest budget: {design['name']}",
        "text": text,
    }


def gap(comparison: dict[str, Any], level: float) -> dict[str, Any]:
    """Title and text of one comparison's headline."""
    a, b, found = comparison["a"], comparison["b"], comparison["headline"]
    title = _title(comparison)
    if found is None:
        return {"title": title, "value": None, "text": _no_gap(comparison)}
    value = words.times(found["gap"])
    ends = words.span(found["low"], found["high"]) if comparison["method"] == "law" else None
    reach = f"To reach {words.bpb(found['loss'])} BPB, {a} needs {words.scientific(found['compute_a'])} FLOPs "
    reach += f"and {b} {words.scientific(found['compute_b'])}."
    parts = [reach, _method(comparison, level), _bounds(comparison)]
    return {
        "title": title,
        "value": value,
        "interval": ends,
        "extrapolated": found["extrapolated"],
        "text": " ".join(part for part in parts if part),
    }


def parity(comparison: dict[str, Any], largest: float) -> str:
    """Where the two designs meet, under the main form of the loss envelope and under the others."""
    if not comparison["parity"]:
        return "Parity: not estimated, for want of a fitted law."
    main = comparison["parity"][0]
    ahead = comparison[main["better"]]
    if not math.isfinite(main["compute"]):
        return f"Parity: under the fitted law never; {ahead} stays ahead. {_forms(comparison)}"
    ends = words.span(main["low"], main["high"], words.scientific)
    text = f"Parity: under the fitted law at {words.scientific(main['compute'])} FLOPs {ends}"
    if main["extrapolated"]:
        text += f", {words.significant(main['compute'] / largest, 2)} times the largest compute measured"
    return f"{text}; beyond it {ahead} is ahead. {_forms(comparison)}"


def _forms(comparison: dict[str, Any]) -> str:
    """How much of the answer hangs on the form of the loss envelope."""
    found = comparison["parity_sensitivity"]
    forms, never = len(comparison["parity"]), len(found["never"])
    meet = forms - never - len(found["unknown"])
    if not meet:
        return f"None of {forms} forms of the loss envelope has them meet."
    least, greatest = (words.scientific(found[end], 2) for end in ("least", "greatest"))
    where = least if least == greatest else f"{least} to {greatest}"
    text = f"Of {forms} forms of the loss envelope {meet} have them meet ({where})."
    return f"{text} An extrapolation, not a forecast." if any(p["extrapolated"] for p in comparison["parity"]) else text


def _title(comparison: dict[str, Any]) -> str:
    within = comparison["within"]
    if comparison["contrast"] == "representation":
        kinds = [words.representation(kind) for kind in comparison["levels"]]
        return f"{words.objective(within).capitalize()}: {kinds[0]} against {kinds[1]}"
    if comparison["contrast"] == "objective":
        kinds = [words.objective(kind) for kind in comparison["levels"]]
        name = words.representation(within)
        return f"{name[0].upper()}{name[1:]}: {kinds[0]} against {kinds[1]}"
    return f"{comparison['a']} against {comparison['b']}"


def _no_gap(comparison: dict[str, Any]) -> str:
    text = f"No efficiency gap can be stated ({comparison['problem']})."
    if comparison["equal_compute"]:
        last = comparison["equal_compute"][-1]
        text += (
            f" At {words.compact(last['budget'])} FLOPs {comparison['a']} reaches {words.bpb(last['bpb_a'])} BPB"
            f" and {comparison['b']} {words.bpb(last['bpb_b'])}."
        )
    return text


def _method(comparison: dict[str, Any], level: float) -> str:
    found = comparison["headline"]
    if comparison["method"] == "interpolated":
        return f"Read off between the optima, without a law or an interval ({comparison['problem']})."
    text = f"The interval is at {level:.0%}."
    if found["extrapolated"]:
        text += " Extrapolated: their measured ranges share no such loss."
    return text


def _bounds(comparison: dict[str, Any]) -> str:
    kinds = comparison["kinds"]
    bounded = [comparison[side] for side in ("a", "b") if kinds[side] == "bound"]
    if len(bounded) == 1:
        return f"The BPB of {bounded[0]} is an upper bound, so part of the gap may be slack of the bound."
    return "Both BPB are upper bounds." if bounded else ""
