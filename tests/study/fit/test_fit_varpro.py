"""Variable projection recovers planted laws and keeps the invariances of the problem."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import CHINCHILLA, FIRST, LOPSIDED, SYMMETRIC, isoflop
from scipy.optimize import nnls

from isobyte.errors import UserError
from isobyte.study.fit import CostMap, Law, Runs, fit_varpro
from isobyte.study.fit.linear import Moments, solve_nonnegative
from isobyte.study.fit.varpro import fit_draws


def assert_same(one: Law, other: Law, rel: float) -> None:
    for field in fields(Law):
        assert getattr(one, field.name) == pytest.approx(getattr(other, field.name), rel=rel), field.name


@pytest.mark.parametrize("law", [SYMMETRIC, CHINCHILLA, LOPSIDED, FIRST, Law(0.0, 9.0, 7.0, 0.1, 0.12)])
@pytest.mark.parametrize("half", [2.0, 16.0])
def test_planted_laws_are_recovered(law: Law, half: float) -> None:
    fit = fit_varpro(isoflop(law, half=half))
    assert fit.law.alpha == pytest.approx(law.alpha, abs=1e-6)
    assert fit.law.beta == pytest.approx(law.beta, abs=1e-6)
    assert pytest.approx(law.E, abs=1e-5) == fit.law.E
    assert (pytest.approx(law.A, rel=1e-5), pytest.approx(law.B, rel=1e-5)) == (fit.law.A, fit.law.B)
    np.testing.assert_allclose(fit.law.exponents(fit.cost), law.exponents(), atol=1e-6)
    assert fit.rms < 1e-10
    assert not [warning for warning in fit.warnings if not warning.startswith("zero-coefficient: the best E")]


def test_a_cost_that_is_not_6nd() -> None:
    cost = CostMap(30.0, 0.85)
    fit = fit_varpro(isoflop(CHINCHILLA, np.geomspace(1e12, 1e14, 4), cost=cost))
    assert fit.law.exponents(fit.cost)[0] == pytest.approx(CHINCHILLA.exponents(cost)[0], abs=1e-6)
    assert fit.law.exponents(fit.cost)[0] != pytest.approx(CHINCHILLA.exponents()[0], abs=0.01)


@given(log_n=st.floats(-8, 8), log_d=st.floats(-8, 8), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_units_change_coefficients_only(log_n: float, log_d: float, seed: int) -> None:
    runs = isoflop(FIRST, noise=0.003, seed=seed)
    n, d = np.exp(log_n), np.exp(log_d)
    here, there = fit_varpro(runs).law, fit_varpro(Runs(runs.N * n, runs.D * d, runs.C, runs.L)).law
    assert_same(there, Law(here.E, here.A * n**here.alpha, here.B * d**here.beta, here.alpha, here.beta), 1e-5)


@given(order=st.permutations(range(25)))
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    runs = isoflop(FIRST, noise=0.003)
    assert_same(fit_varpro(runs.take(np.array(order))).law, fit_varpro(runs).law, 1e-6)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_the_linear_part_is_non_negative_least_squares(seed: int) -> None:
    random = np.random.default_rng(seed)
    p, q = np.exp(-random.uniform(0.05, 2) * random.normal(size=(2, 12)))
    target = random.normal(size=3) @ np.stack([np.ones(12), p, q]) + 0.1 * random.normal(size=12) + 1
    w = random.uniform(0.1, 2, size=12)
    table = {"one": w, "p": w * p, "q": w * q, "pp": w * p * p, "qq": w * q * q, "pq": w * p * q}
    table |= {"l": w * target, "lp": w * target * p, "lq": w * target * q, "ll": w * target * target}
    found, objective = solve_nonnegative(Moments(**{name: part.sum(keepdims=True) for name, part in table.items()}))
    expected, norm = nnls(np.sqrt(w)[:, None] * np.stack([np.ones(12), p, q], axis=1), np.sqrt(w) * target)
    np.testing.assert_allclose(found[0], expected, atol=1e-6 * max(1, abs(expected).max()))
    assert objective[0] == pytest.approx(norm**2, rel=1e-6, abs=1e-9)


def test_draws_are_the_fits_of_each_row() -> None:
    runs = isoflop(FIRST, noise=0.004)
    random = np.random.default_rng(1)
    L = runs.L * (1 + 0.003 * random.normal(size=(8, len(runs))))
    drawn = fit_draws(runs, L, None)
    for row in range(8):
        alone = fit_varpro(Runs(runs.N, runs.D, runs.C, L[row]))
        assert_same(drawn.at(row), alone.law, 1e-5)


def test_a_weight_is_a_count() -> None:
    runs = isoflop(FIRST, noise=0.004)
    count = np.random.default_rng(0).integers(1, 4, size=len(runs))
    doubled = runs.take(np.repeat(np.arange(len(runs)), count))
    assert_same(fit_varpro(runs, weights=count.astype(float)).law, fit_varpro(doubled).law, 1e-5)


def test_huber_resists_an_outlier() -> None:
    runs = isoflop(FIRST, noise=0.001)
    L = runs.L.copy()
    L[7] *= 1.2
    spoilt = Runs(runs.N, runs.D, runs.C, L)
    clean, plain, robust = fit_varpro(runs), fit_varpro(spoilt), fit_varpro(spoilt, huber=1.345)
    assert abs(robust.law.alpha - clean.law.alpha) < 0.02 < abs(plain.law.alpha - clean.law.alpha)


def test_what_cannot_be_identified_is_said() -> None:
    N = np.geomspace(1e6, 1e9, 12)
    ratio = Runs(N, 20 * N, 120 * N * N, FIRST.loss(N, 20 * N))
    assert any(warning.startswith("one-ratio") for warning in fit_varpro(ratio).warnings)
    curve = Runs(N, 1e18 / N, 6e18 * np.ones_like(N), FIRST.loss(N, 1e18 / N))
    assert any(warning.startswith("one-budget") for warning in fit_varpro(curve).warnings)
    flat = isoflop(FIRST)
    flat = Runs(flat.N, flat.D, flat.C, np.ones(len(flat)))
    assert any(warning.startswith("zero-coefficient: the best A") for warning in fit_varpro(flat).warnings)


def test_too_few_runs_or_sizes_are_named() -> None:
    runs = isoflop(FIRST)
    with pytest.raises(UserError, match="5 runs, and the fit needs at least 6"):
        fit_varpro(runs.take(np.arange(5)))
    N = np.repeat([1e6, 1e7], 5)
    D = np.tile(np.geomspace(1e8, 1e10, 5), 2)
    with pytest.raises(UserError, match="2 distinct values of N, and the fit needs at least 3"):
        fit_varpro(Runs(N, D, 6 * N * D, FIRST.loss(N, D)))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
@pytest.mark.parametrize("name", ["N", "D", "C", "L"])
def test_impossible_values_are_named(name: str, value: float) -> None:
    columns: dict[str, Any] = {key: np.ones(8) for key in ("N", "D", "C", "L")}
    columns[name][2] = value
    with pytest.raises(UserError, match=f"{name} must be finite and positive, and is .* in row 3"):
        Runs(**columns)


def test_unequal_columns_are_named() -> None:
    with pytest.raises(UserError, match=r"N has shape \(3,\), and L has 4 values"):
        Runs(np.ones(3), np.ones(4), np.ones(4), np.ones(4))
    with pytest.raises(UserError, match="3 values of seed for 4 runs"):
        Runs(np.ones(4), np.ones(4), np.ones(4), np.ones(4), seed=np.arange(3))
