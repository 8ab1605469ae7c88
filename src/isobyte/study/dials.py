"""Dials and hypotheses of a study: what was measured at each position, and what that says of each claim."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from isobyte.config.dials import DialConfig
from isobyte.study.measures import COMPUTE, Estimate, Ladder, Pair, gaps, ladders, measures
from isobyte.study.panel import Row

Runs = Mapping[str, Mapping[int, Ladder]]


def turned(study: Mapping[str, Any], rows: Sequence[Row], level: float) -> list[dict[str, Any]]:
    """Of each dial and budget, smallest first: the gap at every position, and the change from the first to the last."""
    runs = ladders(rows)
    found = []
    for dial in study.get("dials") or []:
        pairs = DialConfig.model_validate(dial).pairs()
        budgets = sorted({row["budget"] for row in rows})
        at_budget = [_at_budget(dial, runs, pairs, budget, level) for budget in budgets]
        found.append({key: dial[key] for key in ("name", "turns", "reference")} | {"budgets": at_budget})
    return found


def judged(study: Mapping[str, Any], rows: Sequence[Row], level: float) -> list[dict[str, Any]]:
    """Of each hypothesis: the estimate at the largest compute, the verdict, and the same by every other measure."""
    runs, dials = ladders(rows), {dial["name"]: dial for dial in study.get("dials") or []}
    found = []
    for hypothesis in study.get("hypotheses") or []:
        first, second = _sides(hypothesis, dials)
        sign = -1 if hypothesis.get("direction") == "falls" else 1
        by_measure = [
            {"measure": measure, **_judge(hypothesis, runs, first, second, sign, measure, level)}
            for measure in measures(rows)
        ]
        main = next((each for each in by_measure if each["measure"] == COMPUTE), {"verdict": "not measured"})
        changed = [each["measure"] for each in by_measure if _against(main, each)]
        found.append(
            {key: hypothesis[key] for key in ("name", "kind", "claim", "overturned")}
            | {"first": list(first), "second": list(second), "margin": hypothesis.get("margin")}
            | {"expect": hypothesis.get("expect", "greater")}
            | {key: main.get(key) for key in ("estimate", "verdict")}
            | {"by_measure": by_measure, "changes_sign_under": changed}
        )
    return found


def _at_budget(dial: Mapping[str, Any], runs: Runs, pairs: list[Pair], budget: float, level: float) -> dict[str, Any]:
    by_position, _ = gaps(runs, pairs, COMPUTE, budget)
    positions = [
        {"at": each["at"], "design": pair[0], "reference": pair[1], "gap": _json(Estimate.of(seeds, level))}
        for each, pair, seeds in zip(dial["positions"], pairs, by_position, strict=True)
    ]
    ends = _difference(by_position[-1], by_position[0])
    means = [position["gap"]["mean"] for position in positions if position["gap"]]
    steps = [after - before for before, after in pairwise(means)]
    return {
        "budget": budget,
        "positions": positions,
        "change": _json(Estimate.of(ends, level)),
        "rising_steps": sum(step > 0 for step in steps),
        "steps": len(steps),
    }


def _sides(hypothesis: Mapping[str, Any], dials: Mapping[str, Any]) -> tuple[Pair, Pair]:
    """The two gaps whose difference a hypothesis is about."""
    if hypothesis["kind"] == "contrast":
        return tuple(hypothesis["first"]), tuple(hypothesis["second"])
    pairs = DialConfig.model_validate(dials[hypothesis["dial"]]).pairs()
    return pairs[-1], pairs[0]


def _judge(
    hypothesis: Mapping[str, Any], runs: Runs, first: Pair, second: Pair, sign: int, measure: str, level: float
) -> dict[str, Any]:
    (one, other), beyond = gaps(runs, [first, second], measure)
    estimate = Estimate.of({seed: sign * value for seed, value in _difference(one, other).items()}, level)
    margin = hypothesis.get("margin") if hypothesis.get("expect") == "equal" else None
    return {"estimate": _json(estimate), "extrapolated": beyond, "verdict": verdict(estimate, margin)}


def verdict(estimate: Estimate | None, margin: float | None) -> str:
    """`supported`, `contradicted`, or `open` where the interval does not tell; of one seed nothing is told.

    Without `margin` the claim is that the difference is above 0, with it that it lies within it.
    """
    if estimate is None:
        return "not measured"
    if estimate.low is None or estimate.high is None:
        return "open"
    low, high = estimate.low, estimate.high
    if margin is None:
        return "supported" if low > 0 else "contradicted" if high < 0 else "open"
    if -margin < low and high < margin:
        return "supported"
    return "contradicted" if low > margin or high < -margin else "open"


def _against(main: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the means have opposite signs."""
    ours, theirs = main.get("estimate"), other.get("estimate")
    return bool(ours and theirs and ours["mean"] * theirs["mean"] < 0)


def _difference(one: Mapping[int, float], other: Mapping[int, float]) -> dict[int, float]:
    return {seed: one[seed] - other[seed] for seed in one if seed in other}


def _json(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else asdict(estimate)
