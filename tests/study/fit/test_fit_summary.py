"""All fits of one design together."""

import json

import numpy as np
import pytest
from planted import FIRST, SYMMETRIC, isoflop

from isobyte.errors import UserError
from isobyte.study.fit import Runs, fit_runs, strict

BUDGETS = np.geomspace(1e17, 8.1e18, 5)
NAMES = ("E", "A", "B", "alpha", "beta", "a", "b")


def test_the_content_of_a_fit() -> None:
    fit = fit_runs(isoflop(FIRST, BUDGETS, noise=0.003), bootstrap=200)
    found = json.loads(json.dumps(fit.to_json(), allow_nan=False))
    for method in ("varpro", "approach3"):
        assert set(found[method]["intervals"]) == set(NAMES)
        for name in NAMES:
            low, high = found[method]["intervals"][name]
            assert low < found[method][name] < high
        assert 0.001 < found[method]["rms"] < 0.004
    assert set(found["approach2"]["intervals"]) == {"a", "b"}
    assert [set(row) for row in found["approach2"]["optima"]] == [
        {"budget", "C", "N", "D", "L", "points", "edge", "warnings"}
    ] * 5
    for method in ("varpro", "approach3", "approach2"):
        assert found[method]["n"] == 25
        assert found[method]["warnings"] == []
        assert found[method]["a"] == pytest.approx(FIRST.exponents()[0], abs=0.05)
    assert found["bootstrap"] == {"kind": "residual", "draws": 200, "level": 0.9}
    assert found["cost"]["kappa"] == pytest.approx(6)
    assert fit.laws.alpha.shape == (200,)


def test_the_order_of_rows_does_not_matter_to_intervals() -> None:
    runs = isoflop(FIRST, BUDGETS, noise=0.003)
    order = np.random.default_rng(0).permutation(25)
    here, there = (fit_runs(one, bootstrap=60).to_json() for one in (runs, runs.take(order)))
    for method in ("varpro", "approach3", "approach2"):
        for name, ends in here[method]["intervals"].items():
            assert there[method]["intervals"][name] == pytest.approx(ends, rel=1e-3), (method, name)


def test_an_exponent_that_is_unknown_is_null() -> None:
    found = fit_runs(isoflop(SYMMETRIC, half=2, off=3), bootstrap=40).to_json()
    assert (found["approach2"]["a"], found["approach2"]["intervals"]["a"]) == (None, [None, None])
    assert all(row["edge"] for row in found["approach2"]["optima"])
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("kind", ["no data term", "no size term", "flat", "noise"])
def test_runs_without_a_law_still_give_strict_json(kind: str) -> None:
    runs = isoflop(FIRST, BUDGETS)
    L = {
        "no data term": 1 + 50 * runs.N**-0.3,
        "no size term": 1 + 50 * runs.D**-0.3,
        "flat": np.ones(25),
        "noise": np.exp(np.random.default_rng(0).normal(size=25)),
    }[kind]
    found = fit_runs(Runs(runs.N, runs.D, runs.C, L), bootstrap=30).to_json()
    json.dumps(found, allow_nan=False)
    assert found["varpro"]["warnings"] + found["approach3"]["warnings"] + found["approach2"]["warnings"]


def test_seeds_are_resampled_where_there_are_some() -> None:
    fit = fit_runs(isoflop(FIRST, BUDGETS, noise=0.003, seeds=2), bootstrap=60)
    assert fit.to_json()["bootstrap"]["kind"] == "seed"


def test_too_few_runs_raise() -> None:
    with pytest.raises(UserError, match="needs at least 6"):
        fit_runs(isoflop(FIRST, BUDGETS[:1]))


def test_strict_json() -> None:
    tree = {"x": (1.0, np.inf, np.float64("nan")), 2: np.array([1, 2]), "s": np.bool_(True), "t": "text"}
    assert strict(tree) == {"x": [1.0, None, None], "2": [1, 2], "s": True, "t": "text"}
