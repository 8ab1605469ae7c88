"""BPB read off at any cost, and gaps seed by seed."""

from typing import Any

import pytest

from isobyte.study.measures import Estimate, Ladder, cost, gaps, ladders, measures


def run(design: str, budget: float, bpb: float, *, seed: int = 0, size: str = "w32", **more: Any) -> dict[str, Any]:
    found = {
        "design": design, "budget": budget, "seed": seed, "size": size, "state": "done", "kind": "exact", "bpb": bpb,
        "flops": budget, "N": 10.0, "data_bytes": budget / 100, "flops_by_convention": {"6N": budget / 2},
    }  # fmt: skip
    return found | more


def test_bpb_between_budgets_is_a_line_in_the_logarithm_and_beyond_says_so() -> None:
    ladder = Ladder((run("a", 1e3, 4.0), run("a", 1e5, 2.0)))
    assert ladder.bpb("exact", 1e4) == (pytest.approx(3.0), False)
    assert ladder.bpb("exact", 1e6) == (pytest.approx(1.0), True)
    assert ladder.bpb("6N", 5e3) == (pytest.approx(3.0), False)
    assert ladder.bpb("text", 1e2) == (pytest.approx(3.0), False)
    assert ladder.bpb("gone", 1e2) is None


def test_one_budget_tells_of_its_own_cost_alone() -> None:
    ladder = Ladder((run("a", 1e3, 4.0),))
    assert ladder.bpb("exact", 1e3) == (4.0, False)
    assert ladder.bpb("exact", 2e3) is None


def test_parameters_that_do_not_grow_tell_nothing_of_others() -> None:
    ladder = Ladder((run("a", 1e3, 4.0), run("a", 1e5, 2.0)))
    assert ladder.bpb("parameters", 10.0) == (2.0, False)
    assert ladder.bpb("parameters", 20.0) is None


def test_the_best_size_is_that_of_the_mean_over_seeds() -> None:
    rows = [
        run("a", 1e3, 3.0, seed=0, size="s"), run("a", 1e3, 5.0, seed=1, size="s"),
        run("a", 1e3, 3.5, seed=0, size="m"), run("a", 1e3, 3.5, seed=1, size="m"),
        run("a", 1e3, 1.0, seed=0, size="l", state="failed"),
    ]  # fmt: skip
    found = ladders(rows)["a"]
    assert {seed: [row["size"] for row in ladder.rows] for seed, ladder in found.items()} == {0: ["m"], 1: ["m"]}


def test_gaps_are_paired_by_seed_at_the_least_of_the_largest_costs() -> None:
    rows = [run("a", c, v + s, seed=s) for s in (0, 1) for c, v in ((1e3, 4.0), (1e5, 3.0))]
    rows += [run("b", c, v + 2 * s, seed=s) for s in (0, 1) for c, v in ((1e3, 3.0), (1e5, 1.0))]
    rows += [run("b", 1e3, 9.0, seed=7)]
    found, beyond = gaps(ladders(rows), [("a", "b")], "exact")
    assert found == [{0: pytest.approx(2.0), 1: pytest.approx(1.0)}]
    assert not beyond
    dearer = [
        row | {"flops_by_convention": {"6N": row["flops"] * (100 if row["design"] == "a" else 1)}} for row in rows
    ]
    found, beyond = gaps(ladders(dearer), [("a", "b")], "6N")
    assert found[0][0] == pytest.approx(4.0 - 1.0)  # a had spent 1e5 by then, at its least budget
    assert not beyond


def test_gaps_at_a_budget_need_runs_there() -> None:
    rows = [run("a", 1e3, 4.0), run("b", 1e3, 3.0), run("a", 1e5, 2.0)]
    assert gaps(ladders(rows), [("a", "b")], "exact", 1e3)[0] == [{0: 1.0}]
    assert gaps(ladders(rows), [("a", "b")], "exact", 1e5)[0] == [{}]


def test_intervals_are_students_and_one_seed_has_none() -> None:
    found = Estimate.of({0: 1.0, 1: 2.0, 2: 3.0}, 0.9)
    assert found is not None
    assert found.mean == 2.0
    assert found.high == pytest.approx(2 + 2.91998558 / 3**0.5)
    assert found.low == pytest.approx(2 - 2.91998558 / 3**0.5)
    assert Estimate.of({0: 1.0}, 0.9) == Estimate(1.0, None, None, {0: 1.0})
    assert Estimate.of({}, 0.9) is None


def test_measures_are_compute_conventions_parameters_text() -> None:
    rows = [run("a", 1e3, 4.0, flops_by_convention={"exact": 1.0, "6N": 2.0})]
    assert measures(rows) == ["exact", "6N", "parameters", "text"]
    assert [cost(rows[0], name) for name in measures(rows)] == [1e3, 2.0, 10.0, 10.0]
