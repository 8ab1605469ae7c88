"""The efficiency gap: its sign, its interval, and where it ends."""

import numpy as np
import pytest
from planted import FIRST, SECOND, isoflop, known, power

from isobyte.study.fit import PowerEnvelope, Runs, common_losses, fit_runs, gap_at_computes, gap_at_losses, parity

BPE, BYTES = power({1.0: 2.9e19, 0.8: 1.1e21}), power({1.0: 2.3e20, 0.8: 2.57e21})
"""Autoregressive models after arXiv 2605.12928: bytes need 7.9 times the compute at 1.0 BPB, 2.3 times at 0.8."""

MEASURED = (1e18, 1e21)
BUDGETS = np.geomspace(1e17, 8.1e18, 5)


def test_the_published_numbers_hang_together() -> None:
    assert (BPE.m, BYTES.m) == (pytest.approx(0.0611, abs=5e-4), pytest.approx(0.0925, abs=5e-4))
    a, b = known(BYTES, MEASURED), known(BPE, MEASURED)
    at_one, at_less = gap_at_losses(a, b, np.array([1.0, 0.8]))
    assert at_one.gap == pytest.approx(7.9, abs=0.05)
    assert at_less.gap == pytest.approx(2.3, abs=0.05)
    assert not at_one.extrapolated
    assert at_less.extrapolated
    for row in parity(a, b):
        assert row.compute == pytest.approx(1.3e22, rel=0.1)
        assert row.loss == pytest.approx(0.69, abs=0.01)
        assert row.extrapolated
        assert row.better == "a"


def test_a_gap_above_one_means_a_needs_more() -> None:
    a, b = known(BYTES, MEASURED, 0.01, 0), known(BPE, MEASURED, 0.01, 1)
    forth, back = gap_at_losses(a, b, np.array([1.0]))[0], gap_at_losses(b, a, np.array([1.0]))[0]
    assert forth.gap > 1
    assert forth.compute_a == forth.gap * forth.compute_b
    assert (back.gap, back.low, back.high) == tuple(pytest.approx(1 / x) for x in (forth.gap, forth.high, forth.low))


def test_both_ways_of_asking_agree() -> None:
    a, b = known(BYTES, MEASURED, 0.01, 0), known(BPE, MEASURED, 0.01, 1)
    by_compute = gap_at_computes(a, b, np.array([2.9e19]))[0]
    by_loss = gap_at_losses(a, b, np.array([by_compute.loss]))[0]
    assert by_compute.loss == pytest.approx(1.0)
    assert by_compute.gap == pytest.approx(by_loss.gap)
    assert by_compute.low < by_compute.gap < by_compute.high


def test_the_interval_is_that_of_both_designs_together() -> None:
    a, b = known(BYTES, MEASURED, 0.004, 0), known(BPE, MEASURED, 0.003, 1)
    row = gap_at_losses(a, b, np.array([1.0]))[0]
    spread = np.hypot(0.004 / BYTES.m, 0.003 / BPE.m)
    assert np.log(row.high / row.low) == pytest.approx(2 * 1.645 * spread, rel=0.15)


def test_no_crossing_is_an_answer() -> None:
    ahead = PowerEnvelope(0.0, BPE.log_k - 0.1, BPE.m)
    for row in parity(known(BPE, MEASURED), known(ahead, MEASURED)):
        assert (row.compute, row.low, row.high, row.share) == (np.inf, np.inf, np.inf, 0.0)
        assert np.isnan(row.loss)
        assert row.better == "b"


def test_a_crossing_that_was_measured_is_not_extrapolated() -> None:
    row = parity(known(BYTES, (1e18, 1e23)), known(BPE, (1e18, 1e23)))[0]
    assert not row.extrapolated


def test_a_loss_below_the_offset_costs_infinitely_much() -> None:
    a, b = known(PowerEnvelope(0.9, 3.0, 0.1), MEASURED), known(BPE, MEASURED)
    row = gap_at_losses(a, b, np.array([0.85]))[0]
    assert (row.compute_a, row.gap) == (np.inf, np.inf)
    assert row.extrapolated


def test_from_runs_to_gap() -> None:
    fits = [
        fit_runs(isoflop(law, BUDGETS, noise=0.002, seed=k), bootstrap=200) for k, law in enumerate((FIRST, SECOND))
    ]
    a, b = (fit.envelopes for fit in fits)
    losses = common_losses(a, b, 5)
    for row in gap_at_losses(a, b, losses):
        true = FIRST.envelope().compute(row.loss) / SECOND.envelope().compute(row.loss)
        assert row.low < row.gap < row.high
        assert row.gap == pytest.approx(true, rel=0.05)
        assert not row.extrapolated
        assert np.isnan(row.interpolated) or row.interpolated == pytest.approx(true, rel=0.1)
    assert np.isfinite([row.interpolated for row in gap_at_losses(a, b, losses)]).sum() >= 3
    assert gap_at_losses(a, b, losses[-1:] * 0.95)[0].extrapolated
    rows = parity(a, b)
    assert [row.form for row in rows] == ["law", "power", "offset", "offset-law"]
    assert all(0 <= row.share <= 1 for row in rows)


def test_parity_depends_on_the_form() -> None:
    """Under a pure power law curves must cross that, with offsets, need not."""
    computes = np.geomspace(1e17, 8.1e18, 5)
    slow, fast = PowerEnvelope(0.60, 5.0, 0.16), PowerEnvelope(0.56, 4.2, 0.14)
    rows = {}
    for name, envelope in (("slow", slow), ("fast", fast)):
        law = FIRST if name == "slow" else SECOND
        runs = isoflop(law, computes)
        at = law.envelope().loss(runs.C)
        rows[name] = fit_runs(Runs(runs.N, runs.D, runs.C, runs.L - at + envelope.loss(runs.C)), bootstrap=50)
    found = {row.form: row.compute for row in parity(rows["slow"].envelopes, rows["fast"].envelopes)}
    assert len({round(np.log10(value), 2) if np.isfinite(value) else np.inf for value in found.values()}) > 1


def test_designs_without_a_common_loss() -> None:
    far = PowerEnvelope(0.0, BPE.log_k + 2, BPE.m)
    assert common_losses(known(BPE, MEASURED), known(far, MEASURED)).size == 0
