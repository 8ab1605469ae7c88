"""The surface, its optimum under any cost map, and the envelope that follows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import CHINCHILLA, isoflop
from scipy.optimize import minimize_scalar

from isobyte.study.fit import CostMap, Law, fit_cost_map

exponents = st.floats(0.05, 1.5)


@given(alpha=exponents, beta=exponents, gamma=st.floats(0.5, 1.5), log_c=st.floats(30, 50))
@settings(max_examples=40, deadline=None)
def test_the_optimum_is_the_minimum_at_fixed_compute(alpha: float, beta: float, gamma: float, log_c: float) -> None:
    law, cost, C = Law(0.5, 30.0, 70.0, alpha, beta), CostMap(9.0, gamma), np.exp(log_c)
    N, D, L = law.optimum(C, cost)
    assert cost.kappa * N**gamma * D == pytest.approx(C)
    assert law.loss(N, D) == pytest.approx(L)
    found = minimize_scalar(
        lambda x: law.loss(np.exp(x), C / cost.kappa * np.exp(-gamma * x)),
        bounds=(np.log(N) - 5, np.log(N) + 5),
        method="bounded",
    )
    assert found.fun >= L * (1 - 1e-12)
    assert found.fun == pytest.approx(L, rel=1e-6)
    a, b = law.exponents(cost)
    assert a * gamma + b == pytest.approx(1)


def test_exponents_of_c_equals_6nd() -> None:
    a, b = CHINCHILLA.exponents()
    assert (a, b) == (pytest.approx(0.28 / 0.62), pytest.approx(0.34 / 0.62))
    N, D, _ = CHINCHILLA.optimum(1e24)
    assert pytest.approx(4.035834749563681e12, rel=1e-9) == D
    assert pytest.approx(1e24) == 6 * N * D


def test_the_envelope_is_the_loss_at_the_optimum_and_inverts() -> None:
    cost, computes = CostMap(11.0, 0.8), np.logspace(12, 30, 7)
    envelope = CHINCHILLA.envelope(cost)
    np.testing.assert_allclose(envelope.loss(computes), CHINCHILLA.optimum(computes, cost)[2])
    np.testing.assert_allclose(envelope.compute(envelope.loss(computes)), computes, rtol=1e-8)
    assert envelope.compute(CHINCHILLA.E) == np.inf


@pytest.mark.parametrize("cost", [CostMap(6.0, 1.0), CostMap(40.0, 0.83)])
def test_the_cost_map_is_fitted_to_achieved_compute(cost: CostMap) -> None:
    found = fit_cost_map(isoflop(CHINCHILLA, cost=cost))
    assert (found.kappa, found.gamma) == (pytest.approx(cost.kappa), pytest.approx(cost.gamma))
    assert found.rms < 1e-9
