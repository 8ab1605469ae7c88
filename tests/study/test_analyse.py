"""Analysis of simulated studies: planted laws are found again, and the numbers say how sure they are."""

import json
import math
import random
import subprocess
import sys

import pytest
from simulated_study import BUDGETS, PLANTED, simulate

from isobyte.study.analyse import analyse

PAIRS = [("ar-bytes", "ar-bpe"), ("masked-bytes", "masked-bpe"), ("masked-bpe", "ar-bpe"), ("masked-bytes", "ar-bytes")]


@pytest.fixture(scope="module")
def whole():
    study, rows = simulate(noise=0.002)
    return analyse(study, rows, bootstrap=200)


def planted_gap(a, b, loss):
    ends = [PLANTED[name][0].envelope(PLANTED[name][1]).compute(loss) for name in (a, b)]
    return float(ends[0] / ends[1])


def test_the_pairs_and_who_stands_first(whole):
    assert [(c["a"], c["b"]) for c in whole["comparisons"]] == PAIRS
    assert [c["contrast"] for c in whole["comparisons"]] == ["representation"] * 2 + ["objective"] * 2


def test_planted_gaps_lie_in_their_intervals():
    inside = []
    for seed in range(4):
        study, rows = simulate(noise=0.004, seed=seed, conventions=())
        for found in analyse(study, rows, bootstrap=150, level=0.95)["comparisons"]:
            head = found["headline"]
            truth = planted_gap(found["a"], found["b"], head["loss"])
            assert math.isclose(head["gap"], truth, rel_tol=0.25)
            middle = [gap for gap in found["losses"] if not gap["extrapolated"]][12]
            assert math.isclose(middle["interpolated"], middle["gap"], rel_tol=0.25)
            inside.append(head["low"] <= truth <= head["high"])
    assert sum(inside) >= 13, inside


def test_the_headline_is_the_lowest_common_loss(whole):
    for found in whole["comparisons"]:
        head, measured = found["headline"], {d["name"]: d["measured"] for d in whole["designs"]}
        assert math.isclose(head["compute_a"], measured[found["a"]][1], rel_tol=1e-6)
        assert measured[found["b"]][0] <= head["compute_b"] <= measured[found["b"]][1]
        assert not head["extrapolated"]
        assert math.isclose(found["in_range"]["loss"][1], head["loss"], rel_tol=1e-9)


def test_what_lies_outside_the_measured_range_is_marked(whole):
    measured = {design["name"]: design["measured"] for design in whole["designs"]}
    for found in whole["comparisons"]:
        for gap in found["losses"] + found["computes"]:
            ends = [(gap[f"compute_{side}"], measured[found[side]]) for side in ("a", "b")]
            outside = any(C is None or not low * 0.999999 <= C <= high * 1.000001 for C, (low, high) in ends)
            assert gap["extrapolated"] == outside
        assert {gap["extrapolated"] for gap in found["computes"]} == {True, False}


def test_planted_exponents_and_offsets_lie_in_their_intervals(whole):
    inside = []
    for design in whole["designs"]:
        law, cost = PLANTED[design["name"]]
        fitted = design["fit"]["varpro"]
        for name, truth in zip(("a", "b"), law.exponents(cost), strict=True):
            inside.append(fitted["intervals"][name][0] <= truth <= fitted["intervals"][name][1])
        inside.append(design["irreducible"]["varpro"]["low"] <= law.E <= design["irreducible"]["varpro"]["high"])
    assert sum(inside) >= 10, inside


def test_optimal_sizes_follow_the_planted_optimum(whole):
    for design in whole["designs"]:
        law, cost = PLANTED[design["name"]]
        for point in design["optimal"]:
            if not point["extrapolated"]:
                N, D, loss = law.optimum(point["C"], cost)
                assert math.isclose(point["N"], N, rel_tol=0.15)
                assert math.isclose(point["D"], D, rel_tol=0.15)
                assert math.isclose(point["loss"], loss, rel_tol=0.01)
                assert point["N_low"] <= point["N"] <= point["N_high"]


def test_parity_says_that_it_extrapolates_and_how_far_it_may_be_off(whole):
    found = whole["comparisons"][0]
    main = found["parity"][0]
    assert main["form"] == "law"
    assert main["extrapolated"]
    assert main["low"] < main["compute"] < (main["high"] or math.inf)
    assert found["parity_sensitivity"]["least"] <= main["compute"] <= found["parity_sensitivity"]["greatest"]
    assert "not a forecast" in found["summary"]["parity"]
    never = whole["comparisons"][3]
    assert never["parity"][0]["compute"] is None
    assert "compute" in never["parity"][0]["infinite"]
    assert "law" in never["parity_sensitivity"]["never"]


def test_numbers_do_not_depend_on_the_order_of_rows():
    study, rows = simulate(noise=0.004, conventions=("exact", "6N"))
    shuffled = random.Random(1).sample(rows, len(rows))
    first, second = (analyse(study, part, bootstrap=40) for part in (rows, shuffled))
    assert json.dumps(first) == json.dumps(second)


def test_the_report_is_strict_json(whole):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    assert json.loads(json.dumps(whole), parse_constant=refuse) == whole


def test_a_convention_that_triples_every_count_changes_no_gap_and_triples_parity():
    study, rows = simulate(noise=0.002)
    for row in rows:
        row["flops_by_convention"] = {"exact": row["flops"], "tripled": 3 * row["flops"]}
    found = analyse(study, rows, bootstrap=40)
    exact, tripled = found["conventions"]
    for head, one, other in zip(found["comparisons"], exact["gaps"], tripled["gaps"], strict=True):
        assert math.isclose(one["gap"], head["headline"]["gap"], rel_tol=1e-9)
        assert math.isclose(one["low"], head["headline"]["low"], rel_tol=1e-9)
        assert math.isclose(one["gap"], other["gap"], rel_tol=1e-6)
        assert one["never"] == other["never"]
        assert one["never"] or math.isclose(3 * one["parity"], other["parity"], rel_tol=1e-5)


def test_a_convention_that_favours_large_models_moves_the_exponent(whole):
    exponents = {c["convention"]: [d["a"] for d in c["designs"]] for c in whole["conventions"]}
    assert all(less > exact for less, exact in zip(exponents["6N"], exponents["exact"], strict=True))


def test_the_leader_and_the_headline(whole):
    assert whole["headline"]["leader"]["design"] == "ar-bpe"
    assert whole["headline"]["leader"]["budget"] == BUDGETS[-1]
    assert whole["headline"]["done"] == whole["headline"]["runs"] == 100
    assert [gap["gap"] for gap in whole["headline"]["gaps"]] == [c["headline"]["gap"] for c in whole["comparisons"]]


def test_a_bound_against_an_exact_number_is_said_to_be_one(whole):
    texts = [found["summary"]["text"] for found in whole["comparisons"]]
    assert "upper bound" not in texts[0]
    assert "Both BPB are upper bounds" in texts[1]
    assert "masked-bpe is an upper bound" in texts[2]


def test_analysis_and_report_need_no_torch():
    code = "import isobyte.study.analyse, isobyte.study.report, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
