"""Dials and hypotheses: gaps, changes, verdicts, and whether another accounting turns them round."""

from typing import Any

import pytest
from pydantic import ValidationError
from test_measures import run

from isobyte.config.dials import DialConfig
from isobyte.config.recipes import load_recipe
from isobyte.config.study import StudyConfig
from isobyte.study.analyse import analyse
from isobyte.study.dials import judged, turned, verdict
from isobyte.study.measures import Estimate
from isobyte.study.report.dial_figure import dial_figure
from isobyte.study.report.dial_tables import changes_table, dials_table, ledger_table, verdicts

DIAL = {
    "name": "block", "turns": "block size", "reference": "ar",
    "positions": [{"at": 1, "design": "one", "reference": None}, {"at": 4, "design": "four", "reference": None},
                  {"at": 9, "design": "nine", "reference": "other"}],
}  # fmt: skip
TREND = {"kind": "trend", "name": "up", "claim": "It rises.", "overturned": "If not.", "dial": "block"}
SAME = {
    "kind": "contrast", "name": "same", "claim": "Equal.", "overturned": "If not.", "expect": "equal", "margin": 0.1,
    "first": ["one", "ar"], "second": ["four", "ar"],
}  # fmt: skip
STUDY: dict[str, Any] = {"dials": [DIAL], "hypotheses": [TREND | {"direction": "rises"}, SAME]}
LEVELS = {"ar": 2.0, "other": 2.2, "one": 2.1, "four": 2.5, "nine": 3.2}


def rows(levels: dict[str, float] = LEVELS, seeds: int = 3) -> list[dict[str, Any]]:
    found = [
        run(name, budget, level + drop + 0.01 * seed, seed=seed)
        for name, level in levels.items()
        for budget, drop in ((1e11, 0.5), (1e12, 0.0))
        for seed in range(seeds)
    ]
    return [each | {"representation": "bytes", "objective": each["design"]} for each in found]


def test_gaps_stand_above_each_positions_reference() -> None:
    (dial,) = turned(STUDY, rows(), 0.9)
    assert [each["budget"] for each in dial["budgets"]] == [1e11, 1e12]
    last = dial["budgets"][-1]
    assert [position["gap"]["mean"] for position in last["positions"]] == pytest.approx([0.1, 0.5, 1.0])
    assert [position["reference"] for position in last["positions"]] == ["ar", "ar", "other"]
    assert last["change"]["mean"] == pytest.approx(0.9)
    assert (last["rising_steps"], last["steps"]) == (2, 2)


def test_a_trend_is_judged_over_seeds_by_its_direction() -> None:
    found = judged(STUDY, rows(), 0.9)[0]
    assert found["verdict"] == "supported"
    assert found["estimate"]["mean"] == pytest.approx(0.9)
    falls = STUDY | {"hypotheses": [TREND | {"direction": "falls"}]}
    assert judged(falls, rows(), 0.9)[0]["verdict"] == "contradicted"
    assert judged(STUDY, rows(seeds=1), 0.9)[0]["verdict"] == "open"


def test_equality_is_judged_by_its_margin() -> None:
    assert judged(STUDY, rows(), 0.9)[1]["verdict"] == "contradicted"
    assert judged(STUDY, rows(LEVELS | {"four": 2.12}), 0.9)[1]["verdict"] == "supported"


@pytest.mark.parametrize(
    ("ends", "margin", "said"),
    [((0.1, 0.3), None, "supported"), ((-0.1, 0.3), None, "open"), ((-0.3, -0.1), None, "contradicted"),
     ((-0.05, 0.05), 0.1, "supported"), ((-0.05, 0.15), 0.1, "open"), ((0.15, 0.2), 0.1, "contradicted"),
     ((-0.2, -0.15), 0.1, "contradicted"), ((None, None), None, "open"), ((None, None), 0.1, "open")],
)  # fmt: skip
def test_verdicts(ends: tuple[float | None, float | None], margin: float | None, said: str) -> None:
    assert verdict(Estimate(0.0, *ends, {}), margin) == said
    assert verdict(None, margin) == "not measured"


def test_an_accounting_that_turns_the_sign_is_named() -> None:
    """`one` is better than `ar` where compute is counted in a way that makes ar cheap: it has less of it."""
    told = rows({"ar": 2.0, "one": 2.1, "four": 2.1})
    cheap = [
        each | {"flops_by_convention": {"odd": each["flops"] * (1000 if each["design"] == "four" else 1)}}
        for each in told
    ]
    claim = SAME | {"expect": "greater", "first": ["one", "ar"], "second": ["ar", "ar"]}
    turned_round = [
        each | {"flops_by_convention": {"odd": each["flops"] * (1 if each["design"] != "one" else 0.1)}}
        for each in told
    ]
    found = judged({"dials": [], "hypotheses": [claim]}, turned_round, 0.9)[0]
    assert found["estimate"]["mean"] == pytest.approx(0.1)
    odd = next(each for each in found["by_measure"] if each["measure"] == "odd")
    # at one tenth of the compute ar stands at 2.5, and `one` at 2.1
    assert odd["estimate"]["mean"] == pytest.approx(0.1 - 0.5)
    assert found["changes_sign_under"] == ["odd"]
    assert judged({"dials": [], "hypotheses": [claim]}, cheap, 0.9)[0]["changes_sign_under"] == []


def test_runs_that_are_missing_leave_gaps_unmeasured() -> None:
    part = [each for each in rows() if each["design"] not in ("nine", "four")]
    (dial,) = turned(STUDY, part, 0.9)
    assert [bool(position["gap"]) for position in dial["budgets"][-1]["positions"]] == [True, False, False]
    assert [found["verdict"] for found in judged(STUDY, part, 0.9)] == ["not measured", "not measured"]
    assert judged(STUDY, [], 0.9)[0]["verdict"] == "not measured"


def test_the_report_shows_dials_claims_and_the_ledger() -> None:
    study = STUDY | {"name": "x", "budgets": [1e11, 1e12], "designs": [{"name": name} for name in LEVELS]}
    analysis = analyse(study, rows(), bootstrap=10)
    figure = dial_figure(analysis)
    (chart,) = figure.charts
    assert [text for _, text in chart.x.ticks()] == ["1", "4", "9"]
    assert "1: +0.100; 4: +0.500; 9: +1.000" in chart.alt
    assert analysis["comparisons"] == []  # two runs each: no law, and no gap to state for any of the many pairs
    assert "+0.900" in changes_table(analysis)
    assert "other" in dials_table(analysis)
    page = verdicts(analysis)
    assert "supported" in page
    assert "contradicted" in page
    assert "If not." in page
    assert "The sign is the same by all" in page
    table = ledger_table(analysis)
    assert "compute by 6N" in table
    assert ">parameters<" in table
    empty = analyse(study | {"dials": [], "hypotheses": []}, rows(), bootstrap=10)
    assert (dials_table(empty), verdicts(empty), ledger_table(empty), dial_figure(empty).charts) == ("", "", "", [])


def test_a_claim_about_designs_with_unequal_choice_of_sizes_carries_a_warning() -> None:
    """The best of two sizes beside the only one."""
    study = STUDY | {
        "hypotheses": [SAME],
        "name": "x",
        "budgets": [1e11, 1e12],
        "designs": [{"name": name} for name in LEVELS],
    }
    more = [row | {"size": "w48", "N": 20.0} for row in rows({"four": 2.5})]
    warnings = analyse(study, rows() + more, bootstrap=10)["warnings"]
    (found,) = [warning for warning in warnings if warning["code"] == "unequal-choice"]
    assert found["designs"] == ["same"]
    assert found["text"].endswith("sizes tried: one 1, four 2")
    reference = [row | {"size": "w48", "N": 20.0} for row in rows({"ar": 2.0})]  # of both sides
    for fair in (rows(), rows() + reference):
        codes = {warning["code"] for warning in analyse(study, fair, bootstrap=10)["warnings"]}
        assert "unequal-choice" not in codes


def test_dials_and_hypotheses_must_be_about_designs_that_are_there() -> None:
    study = load_recipe("dial-block", StudyConfig).model_dump(mode="json")
    for change, what in (
        ({"dials": [DIAL]}, "designs that are not there"),
        ({"hypotheses": [TREND | {"dial": "gone"}]}, "about no dial: 'gone'"),
        ({"hypotheses": [SAME]}, "designs that are not there: \\['four', 'one'\\]|designs that are not there"),
    ):
        with pytest.raises(ValidationError, match=what):
            StudyConfig.model_validate(study | change)
    with pytest.raises(ValidationError, match="neither rise nor fall"):
        DialConfig.model_validate(DIAL | {"positions": [{"at": a, "design": "x"} for a in (1, 3, 2)]})
