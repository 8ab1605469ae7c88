"""Envelopes: fitted forms, inverses and interpolation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isobyte.study.fit import PowerEnvelope, fit_offset, fit_power, interpolate

C = np.geomspace(1e17, 1e20, 6)


@given(E=st.floats(0, 2), log_k=st.floats(0, 8), m=st.floats(0.02, 0.5), log_c=st.floats(35, 60))
@settings(max_examples=50, deadline=None)
def test_compute_inverts_loss(E: float, log_k: float, m: float, log_c: float) -> None:
    envelope = PowerEnvelope(E, log_k, m)
    loss = envelope.loss(np.exp(log_c))
    assert envelope.loss(envelope.compute(loss)) == pytest.approx(loss, rel=1e-9)
    assert envelope.compute(loss * 1.001) < envelope.compute(loss)


@pytest.mark.parametrize("E", [0.0, 0.4, 1.2])
def test_planted_envelopes_are_recovered(E: float) -> None:
    L = PowerEnvelope(E, 4.0, 0.11).loss(C)
    for found in (fit_power(C, L, E), fit_offset(C, L)):
        assert (found.E, found.m) == (pytest.approx(E, abs=1e-4), pytest.approx(0.11, abs=1e-4))
        np.testing.assert_allclose(found.loss(C), L, rtol=1e-6)


def test_rows_are_fitted_apart_and_unknown_optima_left_out() -> None:
    rows = np.stack([PowerEnvelope(0.3, 3.0, 0.09).loss(C), PowerEnvelope(0.1, 4.0, 0.12).loss(C)])
    rows[0, 2] = np.nan
    table = np.where(np.isnan(rows), np.nan, C)
    power, offset = fit_power(table, rows, np.array([0.3, 0.1])), fit_offset(table, rows)
    for found in (power, offset):
        np.testing.assert_allclose(found.m, [0.09, 0.12], atol=1e-4)
    few = fit_offset(np.full((1, 3), np.nan), np.full((1, 3), np.nan))
    assert np.isnan(few.m[0])
    assert np.isnan(few.compute(0.9)[0])


def test_an_offset_is_never_negative() -> None:
    L = -0.2 + np.exp(4.0 - 0.09 * np.log(C))
    assert fit_offset(C, L).E == 0


def test_an_offset_above_the_losses_leaves_nothing() -> None:
    L = PowerEnvelope(0.0, 3.0, 0.09).loss(C)
    assert np.isnan(fit_power(C, L, 10.0).m)


def test_interpolation_is_exact_on_power_laws_and_stays_inside() -> None:
    law = PowerEnvelope(0.0, 3.0, 0.08)
    found = interpolate(C, law.loss(C))
    assert found is not None
    inside = np.geomspace(1.1e17, 0.9e20, 9)
    np.testing.assert_allclose(found.loss(inside), law.loss(inside))
    np.testing.assert_allclose(found.compute(law.loss(inside)), inside)
    assert np.isnan(found.loss(2e20))
    assert np.isnan(found.compute(law.loss(9e16)))


def test_interpolation_skips_an_optimum_no_better_than_a_cheaper_one() -> None:
    L = PowerEnvelope(0.0, 3.0, 0.08).loss(C)
    L[3] = L[1]
    found = interpolate(C, L)
    assert found is not None
    assert found.log_c.size == 5
    assert np.all(np.diff(found.log_l) < 0)
    assert interpolate(C[:2], np.array([1.0, 1.1])) is None
