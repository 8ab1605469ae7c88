"""Resampled studies, and intervals that cover what they promise to."""

import numpy as np
import pytest
from planted import FIRST, SECOND, isoflop

from isobyte.errors import UserError
from isobyte.study.fit import Envelopes, Runs, fit_varpro, gap_at_losses, interval, resample
from isobyte.study.fit.bootstrap import Kind
from isobyte.study.fit.varpro import fit_draws

LEVEL = 0.9


def test_the_same_study_gives_the_same_draws_in_any_order() -> None:
    runs = isoflop(FIRST, noise=0.005)
    law = fit_varpro(runs).law
    order = np.random.default_rng(0).permutation(len(runs))
    here = resample(runs, law, draws=5, seed=3)
    there = resample(runs.take(order), law, draws=5, seed=3)
    np.testing.assert_array_equal(here.L[:, order], there.L)
    assert not np.array_equal(here.L, resample(runs, law, draws=5, seed=4).L)


def test_two_designs_share_no_stream() -> None:
    one, two = isoflop(FIRST, noise=0.005, seed=0), isoflop(FIRST, noise=0.005, seed=1)
    noise = [resample(runs, FIRST, draws=200, seed=0).L / FIRST.loss(runs.N, runs.D) - 1 for runs in (one, two)]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_residual_noise_has_the_size_of_the_noise() -> None:
    sizes = []
    for seed in range(20):
        runs = isoflop(FIRST, noise=0.005, seed=seed)
        law = fit_varpro(runs).law
        sizes.append(np.mean((resample(runs, law, draws=50, seed=0).L / law.loss(runs.N, runs.D) - 1) ** 2))
    assert np.sqrt(np.mean(sizes)) == pytest.approx(0.005, rel=0.07)


def test_case_draws_keep_every_budget() -> None:
    runs = isoflop(FIRST, noise=0.005)
    drawn = resample(runs, FIRST, draws=30, seed=0, kind="case")
    assert drawn.W is not None
    assert drawn.W.shape == (30, 25)
    np.testing.assert_array_equal(drawn.W.reshape(30, 5, 5).sum(axis=2), 5)
    assert drawn.W.max() > 1


def test_seeds_are_drawn_within_their_cell() -> None:
    runs = isoflop(FIRST, noise=0.005, seeds=3)
    drawn = resample(runs, FIRST, draws=400, seed=0)
    assert drawn.kind == "seed"
    assert drawn.df == 50
    cells = runs.L.reshape(25, 3)
    expected = cells.mean(axis=1, keepdims=True) + (cells - cells.mean(axis=1, keepdims=True)) * np.sqrt(3 / 2)
    for k in range(25):
        assert set(np.round(np.unique(drawn.L[:, 3 * k : 3 * k + 3]), 10)) == set(np.round(expected[k], 10))


def test_one_seed_cannot_be_resampled() -> None:
    runs = isoflop(FIRST, noise=0.005)
    assert resample(runs, FIRST, draws=2, seed=0).kind == "residual"
    with pytest.raises(UserError, match="two seeds"):
        resample(runs, FIRST, draws=2, seed=0, kind="seed")


def test_intervals_are_stretched_percentiles() -> None:
    draws = np.random.default_rng(0).normal(size=20_001)
    low, high = interval(0.0, draws, 0.9, df=10**6)
    assert (low, high) == (pytest.approx(-1.645, abs=0.04), pytest.approx(1.645, abs=0.04))
    narrow = interval(0.0, draws, 0.9, df=5)
    assert narrow[1] / high == pytest.approx(2.0150 / 1.6449, rel=1e-3)
    ratio = interval(1.0, np.exp(draws), 0.9, df=5, log=True)
    assert np.log(ratio) == pytest.approx(narrow)


def test_infinite_and_unknown_draws_open_the_interval() -> None:
    draws = np.linspace(1, 2, 100)
    some = np.where(np.arange(100) >= 90, np.inf, draws)
    assert interval(1.5, some, 0.9, df=20)[1] == np.inf
    assert np.isfinite(interval(1.5, some, 0.9, df=20)[0])
    unknown = np.where(np.arange(100) >= 90, np.nan, draws)
    assert interval(1.5, unknown, 0.9, df=20) == (-np.inf, np.inf)
    assert interval(np.inf, np.full(50, np.inf), 0.9, df=20) == (np.inf, np.inf)


def fitted(runs: Runs, draws: int, kind: Kind | None) -> tuple[tuple[float, float], Envelopes]:
    """The interval of the exponent a, and the envelope with its draws."""
    fit = fit_varpro(runs)
    drawn = resample(runs, fit.law, draws=draws, seed=0, kind=kind)
    laws = fit_draws(runs, drawn.L, drawn.W, tol=1e-6)
    ends = interval(fit.law.exponents(fit.cost)[0], laws.exponents(fit.cost)[0], LEVEL, drawn.df)
    point, refits = {"law": fit.law.envelope(fit.cost)}, {"law": laws.envelope(fit.cost)}
    return ends, Envelopes(point, refits, None, (float(runs.C.min()), float(runs.C.max())), drawn.df)


def hits(
    studies: int, *, budgets: int, half: float, noise: float, draws: int, seeds: int = 1, kind: Kind | None = None
) -> tuple[int, int]:
    """In how many simulated studies the intervals hold the true exponent a, and the true gap at a loss in range."""
    computes = np.geomspace(1e17, 1e17 * 3 ** (budgets - 1), budgets)
    true = [law.envelope() for law in (FIRST, SECOND)]
    loss = np.sqrt(min(one.loss(computes[0]) for one in true) * max(one.loss(computes[-1]) for one in true))
    a, gap = FIRST.exponents()[0], true[0].compute(loss) / true[1].compute(loss)
    found = np.zeros(2, dtype=int)
    for study in range(studies):
        both = [
            fitted(isoflop(law, computes, half=half, noise=noise, seed=2 * study + k, seeds=seeds), draws, kind)
            for k, law in enumerate((FIRST, SECOND))
        ]
        row = gap_at_losses(both[0][1], both[1][1], np.array([loss]), level=LEVEL)[0]
        found += [both[0][0][0] <= a <= both[0][0][1], row.low <= gap <= row.high]
    return int(found[0]), int(found[1])


def assert_covers(found: int, studies: int) -> None:
    """Within three binomial standard deviations of what the level promises."""
    assert abs(found - LEVEL * studies) <= 3 * np.sqrt(studies * LEVEL * (1 - LEVEL))


def test_intervals_cover_in_sixty_studies() -> None:
    for found in hits(60, budgets=5, half=4.0, noise=0.005, draws=150):
        assert_covers(found, 60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("budgets", "half", "noise", "seeds"),
    [(4, 4.0, 0.01, 1), (5, 3.0, 0.005, 1), (6, 4.0, 0.002, 1), (5, 4.0, 0.005, 2)],
)
def test_intervals_cover_in_two_hundred_studies(budgets: int, half: float, noise: float, seeds: int) -> None:
    for found in hits(200, budgets=budgets, half=half, noise=noise, draws=400, seeds=seeds):
        assert_covers(found, 200)
