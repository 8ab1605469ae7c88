"""Approach 3: planted laws, and the same minimum as BFGS on the published objective."""

import numpy as np
import pytest
from planted import CHINCHILLA, FIRST, LOPSIDED, SYMMETRIC, isoflop
from scipy.optimize import minimize
from scipy.special import huber, logsumexp

from isobyte.study.fit import Law, Runs, fit_approach3
from isobyte.study.fit.approach3 import refit_draws


@pytest.mark.parametrize("law", [SYMMETRIC, CHINCHILLA, LOPSIDED, FIRST])
@pytest.mark.parametrize("half", [2.0, 16.0])
def test_planted_laws_are_recovered(law: Law, half: float) -> None:
    fit = fit_approach3(isoflop(law, half=half))
    assert (fit.law.alpha, fit.law.beta) == (pytest.approx(law.alpha, abs=1e-6), pytest.approx(law.beta, abs=1e-6))
    assert pytest.approx(law.E, abs=1e-6) == fit.law.E
    assert fit.objective < 1e-20


def objective(law: Law, runs: Runs) -> float:
    terms = [
        np.log(law.A) - law.alpha * np.log(runs.N),
        np.log(law.B) - law.beta * np.log(runs.D),
        np.full(len(runs), np.log(law.E)),
    ]
    return float(huber(1e-3, logsumexp(terms, axis=0) - np.log(runs.L)).sum())


@pytest.mark.parametrize(("noise", "seed"), [(0.001, 0), (0.01, 1)])
def test_bfgs_finds_nothing_lower(noise: float, seed: int) -> None:
    runs = isoflop(FIRST, noise=noise, seed=seed)
    fit = fit_approach3(runs)
    assert fit.objective == pytest.approx(objective(fit.law, runs), rel=1e-9)

    def shifted(theta: np.ndarray) -> float:
        a, b, e, alpha, beta = theta
        law = Law(np.exp(e), np.exp(a + 18 * alpha), np.exp(b + 21 * beta), alpha, beta)
        return objective(law, runs) * 1e6

    rough = isoflop(FIRST).L.mean()
    starts = [
        np.array([np.log(rough / 4), np.log(rough / 4), np.log(rough / 2), x, y])
        for x in (0.2, 0.5)
        for y in (0.2, 0.5)
    ]
    lowest = min(minimize(shifted, start, method="BFGS").fun for start in starts)
    assert fit.objective * 1e6 <= lowest * (1 + 1e-6)
    assert fit.objective * 1e6 == pytest.approx(lowest, rel=1e-2)


def test_one_outlier_hardly_matters() -> None:
    runs = isoflop(FIRST, noise=0.0005)
    L = runs.L.copy()
    L[3] *= 1.3
    clean, spoilt = fit_approach3(runs).law, fit_approach3(Runs(runs.N, runs.D, runs.C, L)).law
    assert spoilt.alpha == pytest.approx(clean.alpha, abs=0.02)


def test_draws_are_the_fits_of_each_row() -> None:
    runs = isoflop(FIRST, noise=0.003)
    L = runs.L * (1 + 0.002 * np.random.default_rng(0).normal(size=(6, len(runs))))
    drawn = refit_draws(runs, fit_approach3(runs), L, None, tol=1e-9)
    for row in range(6):
        alone = fit_approach3(Runs(runs.N, runs.D, runs.C, L[row]))
        assert drawn.alpha[row] == pytest.approx(alone.law.alpha, abs=1e-4)
        assert drawn.beta[row] == pytest.approx(alone.law.beta, abs=1e-4)


def test_a_missing_offset_is_said() -> None:
    fit = fit_approach3(isoflop(Law(1e-9, 9.0, 7.0, 0.1, 0.12)))
    assert any(warning.startswith("zero-coefficient") for warning in fit.warnings)
