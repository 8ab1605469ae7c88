"""Studies with parts missing: the analysis says less, says why, and never breaks."""

import json
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_study import BUDGETS, PLANTED, simulate

from isobyte.study.analyse import analyse
from isobyte.study.report import write_report

STUDY, ROWS = simulate(noise=0.004, conventions=("exact", "6N"))
MEASURED = ("bpb", "stderr", "stderr_text", "kind", "estimator", "flops", "data_bytes", "symbols", "bytes_per_symbol",
            "epochs", "wall_seconds", "flops_per_second", "flops_by_convention")  # fmt: skip


def unfinished(row, state="planned", error=None):
    return row | dict.fromkeys(MEASURED) | {"state": state, "error": error}


def codes(analysis):
    return {warning["code"] for warning in analysis["warnings"]}


@pytest.fixture(autouse=True)
def _no_numerical_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


PARTS = {
    "nothing": [],
    "nothing finished": [unfinished(row) for row in ROWS],
    "one run": [unfinished(row) for row in ROWS[1:]] + ROWS[:1],
    "one budget": [row for row in ROWS if row["budget"] == BUDGETS[0]],
    "two sizes": [row for row in ROWS if row["size"] in ("w16", "w24")],
    "one size": [row for row in ROWS if row["size"] == "w32"],
    "one design": [row for row in ROWS if row["design"] == "ar-bpe"],
    "half": ROWS[:50] + [unfinished(row, "running") for row in ROWS[50:]],
    "flat": [row | {"bpb": 2.0} for row in ROWS],
    "surrogate": [row | {"kind": "surrogate"} for row in ROWS],
    "no compute by convention": [row | {"flops_by_convention": None, "breakdown": None} for row in ROWS],
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_a_study_is_analysed_and_reported(name, tmp_path):
    analysis = analyse(STUDY, PARTS[name], bootstrap=30)
    write_report(analysis, PARTS[name], tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == analysis
    names = {"report.html", "report.json", "runs.csv", "isoflop.png", "envelope.png", "gap.png", "optimal.png"}
    assert {path.name for path in tmp_path.iterdir()} == names


@settings(max_examples=12, deadline=None)
@given(st.sets(st.integers(0, len(ROWS) - 1), max_size=40), st.booleans())
def test_any_runs_may_be_missing(kept, told):
    analysis = analyse(STUDY if told else {}, [ROWS[k] for k in kept], bootstrap=20)
    assert analysis["runs"]["total"] == len(kept)
    assert sum(design["runs"]["total"] for design in analysis["designs"]) == len(kept)


def test_without_a_law_the_gap_is_read_off_between_the_optima():
    rows = [row for row in ROWS if row["size"] == "w32" and row["budget"] <= BUDGETS[2]]
    found = analyse(STUDY, rows, bootstrap=30)
    first = found["comparisons"][0]
    assert first["method"] == "interpolated"
    assert first["headline"]["low"] is None
    assert 1.5 < first["headline"]["gap"] < 4
    assert {"no-law", "no-interval"} <= codes(found)


def test_with_one_budget_designs_are_compared_at_equal_compute():
    found = analyse(STUDY, PARTS["one budget"], bootstrap=30)
    first = found["comparisons"][0]
    assert first["headline"] is None
    assert first["summary"]["value"] is None
    assert first["equal_compute"][0]["difference"] > 0.2
    assert "At 10¹¹ FLOPs ar-bytes reaches 2.9" in first["summary"]["text"]


def test_failed_and_unfinished_runs_are_told():
    rows = [unfinished(ROWS[0], "failed", "loss is not finite at step 7"), unfinished(ROWS[1], "running"), *ROWS[2:]]
    found = analyse(STUDY, rows, bootstrap=30)
    assert {"failed-runs", "unfinished-runs"} <= codes(found)
    assert found["warnings"][0]["severity"] == "problem"
    assert "1 run of 25 failed; the first: loss is not finite at step 7" in found["warnings"][0]["text"]
    assert found["headline"]["done"] == 98


def test_a_surrogate_is_never_fitted():
    found = analyse(STUDY, PARTS["surrogate"], bootstrap=30)
    assert "unusable-runs" in codes(found)
    assert all(design["fit"] is None and design["budgets"] == [] for design in found["designs"])


def test_repeated_text_and_poor_models_are_told():
    rows = [row | {"epochs": 6.5 if row["design"] == "ar-bpe" else 1.0} for row in ROWS]
    study = STUDY | {"reference": {"unigram": 3.5}}
    found = {w["code"]: w for w in analyse(study, rows, bootstrap=30)["warnings"]}
    assert found["repeated-text"]["designs"] == ["ar-bpe"]
    assert "25 runs of 25" in found["repeated-text"]["text"]
    assert found["above-unigram"]["designs"] == ["masked-bytes"]
    assert found["above-unigram"]["severity"] == "caution"
    nested = STUDY | {"reference": None, "corpus": {"reference": {"unigram": 1.0, "bytes": 9}}}
    worst = {w["code"]: w for w in analyse(nested, rows, bootstrap=30)["warnings"]}["above-unigram"]
    assert worst["severity"] == "problem"


def test_the_shape_of_each_budget_is_told():
    study, whole = simulate({"masked-bytes": PLANTED["masked-bytes"]}, noise=0.0)

    def shapes(sizes):
        rows = [row for row in whole if row["size"] in sizes]
        found = analyse(study, rows, bootstrap=30)
        return {entry["minimum"]["where"] for entry in found["designs"][0]["budgets"]}

    assert shapes(("w16", "w24", "w32", "w40", "w48")) == {"interior"}
    assert shapes(("w16", "w24", "w32")) == {"largest"}
    assert shapes(("w32", "w40", "w48")) == {"smallest"}
    assert shapes(("w24", "w40")) == {"too few sizes"}


def test_a_minimum_within_the_error_of_the_estimator_is_doubted():
    rows = [row | {"stderr": 0.08} for row in ROWS if row["design"] == "masked-bytes"]
    found = analyse(STUDY, rows, bootstrap=30)
    clear = {entry["minimum"]["clear"] for entry in found["designs"][0]["budgets"]}
    assert False in clear
    assert "flat-minimum" in codes(found)


def test_a_surface_without_an_optimal_size_gives_no_gap_by_law():
    rows = [row | {"bpb": 1 + 30 * row["N"] ** -0.3} for row in ROWS]
    found = analyse(STUDY, rows, bootstrap=30)
    assert {c["method"] for c in found["comparisons"]} <= {"interpolated", None}
    assert "so its fitted surface has no optimal size" in found["comparisons"][0]["problem"]
    assert all(point["N"] and point["D"] for design in found["designs"] for point in design["optimal"])


def test_an_optimum_far_from_every_size_is_told():
    rows = [row for row in ROWS if row["design"] == "ar-bpe"]
    steep = [row | {"bpb": 1 + 40 * row["N"] ** -0.4 + 2 * row["data_bytes"] ** -0.3} for row in rows]
    found = analyse(STUDY, steep, bootstrap=30)
    assert "no-envelope" in codes(found)
    assert "the sizes trained are" in found["warnings"][0]["text"]
    assert "no-envelope" not in codes(analyse(STUDY, rows, bootstrap=30))


def test_several_seeds_use_the_noise_between_them():
    study, rows = simulate({"ar-bpe": PLANTED["ar-bpe"]}, seeds=3, noise=0.01)
    found = analyse(study, rows, bootstrap=60)
    assert found["designs"][0]["fit"]["bootstrap"]["kind"] == "seed"
    assert "one-seed" not in codes(found)


def test_two_designs_of_one_kind_are_compared_too():
    rows = [row | {"objective": "ar", "representation": "bytes"} for row in ROWS if row["objective"] == "ar"]
    found = analyse(STUDY, rows, bootstrap=30)["comparisons"]
    assert [(c["contrast"], c["a"], c["b"]) for c in found] == [("design", "ar-bytes", "ar-bpe")]
