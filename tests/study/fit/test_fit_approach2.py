"""Parabolas: their known bias, to the digit, and every way in which they fail, flagged."""

import numpy as np
import pytest
from planted import CHINCHILLA, FIRST, LOPSIDED, SYMMETRIC, isoflop

from isobyte.errors import UserError
from isobyte.study.fit import Law, Runs, budgets_of, fit_approach2
from isobyte.study.fit.approach2 import approach2_draws


def codes(warnings: list[str]) -> set[str]:
    return {warning.split(":")[0] for warning in warnings}


def bias(law: Law, half: float, off: float = 1.0) -> float:
    """Per cent by which D* at 1e24 FLOPs is missed, from noise-free fits at 1e17 .. 1e21 with 15 sizes each."""
    found = fit_approach2(isoflop(law, sizes=15, half=half, off=off)).optimum(1e24)[1]
    return 100 * (found / law.optimum(1e24)[1] - 1)


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        (SYMMETRIC, (0.0, 0.0, 0.0, 0.0)),
        (CHINCHILLA, (-0.3269378, -1.3011250, -2.9029047, -5.1002446)),
        (LOPSIDED, (-1.6747477, -6.4977787, -13.9104186, -23.1163080)),
    ],
)
def test_the_known_bias_of_parabolas_on_exact_surfaces(law: Law, expected: tuple[float, ...]) -> None:
    assert [bias(law, half) for half in (2, 4, 8, 16)] == pytest.approx(expected, abs=1e-6)


def test_the_known_bias_of_grids_off_centre_by_three() -> None:
    assert [bias(SYMMETRIC, half, off=3) for half in (4, 8, 16)] == pytest.approx(
        (3.4718179, 2.6451654, 1.5097923), abs=1e-6
    )


def test_wide_and_off_centre_grids_are_flagged() -> None:
    assert codes(fit_approach2(isoflop(SYMMETRIC, half=4)).warnings) == set()
    assert codes(fit_approach2(isoflop(SYMMETRIC, half=8)).warnings) == {"wide-grid"}
    assert codes(fit_approach2(isoflop(SYMMETRIC, half=4, off=3)).warnings) == {"off-centre"}


@pytest.mark.parametrize(("off", "end", "best"), [(3.0, "largest", 4), (1 / 3, "smallest", 0)])
def test_an_optimum_beyond_the_grid_gives_no_exponent(off: float, end: str, best: int) -> None:
    runs = isoflop(SYMMETRIC, half=2, off=off)
    fit = fit_approach2(runs)
    assert codes(fit.warnings) == {"edge", "too-few-budgets"}
    assert all(end in warning for optimum in fit.optima for warning in optimum.warnings)
    assert np.isnan(fit.a)
    assert np.isnan(fit.b)
    for k, optimum in enumerate(fit.optima):
        assert optimum.edge
        assert (runs.N[5 * k + best], runs.L[5 * k + best]) == (optimum.N, optimum.L)


def test_one_bad_budget_takes_no_part() -> None:
    good = isoflop(CHINCHILLA)
    L = good.L.copy()
    L[10:15] = L[10:15].max() + L[10:15].min() - L[10:15]
    fit = fit_approach2(Runs(good.N, good.D, good.C, L))
    assert [optimum.edge for optimum in fit.optima] == [False, False, True, False, False]
    assert codes(fit.warnings) == {"not-convex"}
    assert L[10:15].min() == fit.optima[2].L
    assert fit.a == pytest.approx(fit_approach2(good).a, abs=1e-6)


def test_the_optimum_is_interpolated() -> None:
    runs = isoflop(SYMMETRIC, half=2, off=1.2, sizes=5)
    for k, optimum in enumerate(fit_approach2(runs).optima):
        true = SYMMETRIC.optimum(runs.C[5 * k])
        assert tuple(pytest.approx(value, rel=0.01) for value in true) == (optimum.N, optimum.D, optimum.L)
        assert min(abs(np.log(runs.N[5 * k : 5 * k + 5] / optimum.N))) > 0.1


def test_compute_counts_as_achieved() -> None:
    runs = isoflop(FIRST, half=3)
    wander = 1 + 0.02 * np.random.default_rng(0).uniform(-1, 1, size=len(runs))
    D = runs.D * wander
    achieved = Runs(runs.N, D, runs.C * wander, FIRST.loss(runs.N, D))
    for one in fit_approach2(achieved).optima:
        assert pytest.approx(one.C, rel=1e-9) == 6 * one.N * one.D
        assert pytest.approx(FIRST.optimum(one.C)[2], rel=2e-3) == one.L


def test_few_runs_and_few_sizes_are_flagged() -> None:
    runs = isoflop(FIRST, sizes=3)
    assert codes(fit_approach2(runs).warnings) == {"few-points"}
    two = isoflop(FIRST, sizes=2)
    fit = fit_approach2(two)
    assert codes(fit.warnings) == {"too-few-sizes", "too-few-budgets"}
    assert codes(fit_approach2(two.take(np.array([0]))).warnings) == {"too-few-sizes", "too-few-budgets"}
    with pytest.raises(UserError, match="0 runs"):
        fit_approach2(two.take(np.array([], dtype=int)))


def test_budgets_are_clusters_of_compute_or_labels() -> None:
    C = np.array([1.0e18, 3.1e17, 1.02e18, 3.0e17, 1.1e17, 9.7e17, 1e17])
    ones = np.ones(7)
    np.testing.assert_array_equal(budgets_of(Runs(ones, ones, C, ones)), [2, 1, 2, 1, 0, 2, 0])
    labels = np.array(["c", "b", "c", "b", "a", "b", "a"])
    np.testing.assert_array_equal(budgets_of(Runs(ones, ones, C, ones, labels)), [2, 1, 2, 1, 0, 1, 0])


def test_a_smear_of_compute_is_no_budget() -> None:
    runs = isoflop(FIRST, np.geomspace(1e17, 1e19, 30))
    fit = fit_approach2(runs)
    assert codes(fit.warnings) >= {"no-budget", "too-few-budgets"}
    assert fit.optima[0].edge


@pytest.mark.parametrize("weighted", [False, True])
def test_draws_are_the_fits_of_each_row(weighted: bool) -> None:
    runs = isoflop(FIRST, noise=0.002)
    random = np.random.default_rng(0)
    L = runs.L * (1 + 0.001 * random.normal(size=(6, len(runs))))
    W = np.full((6, len(runs)), 2.0) if weighted else None
    drawn = approach2_draws(runs, L, W)
    for row in range(6):
        alone = fit_approach2(Runs(runs.N, runs.D, runs.C, L[row]))
        assert (drawn.a[row], drawn.b[row]) == (pytest.approx(alone.a), pytest.approx(alone.b))
        assert drawn.L[row] == pytest.approx([optimum.L for optimum in alone.optima])
        assert drawn.C[row] == pytest.approx([optimum.C for optimum in alone.optima])


def test_a_draw_that_keeps_two_sizes_has_no_optimum() -> None:
    runs = isoflop(FIRST)
    W = np.ones((1, len(runs)))
    W[0, 2:5] = 0
    drawn = approach2_draws(runs, runs.L[None], W)
    assert np.isnan(drawn.L[0]).tolist() == [True, False, False, False, False]
    assert np.isfinite(drawn.a[0])
