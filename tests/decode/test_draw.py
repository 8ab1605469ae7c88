"""Draws and their noise."""

import math

import pytest
import torch
from scipy.stats import chi2, kstest

from isobyte.decode.draw import adjusted, draw
from isobyte.decode.noise import Noise

LOG = torch.tensor([[0.5, 0.3, 0.15, 0.05]], dtype=torch.float64).log()


@pytest.mark.parametrize(("top_p", "kept"), [(0.1, 1), (0.5, 1), (0.51, 2), (0.8, 2), (0.9, 3), (0.951, 4), (1.0, 4)])
def test_top_p_keeps_the_smallest_set_of_that_mass(top_p: float, kept: int) -> None:
    left = adjusted(LOG[:, [2, 0, 3, 1]], top_p=top_p)[0, [1, 3, 0, 2]]
    assert (left > -math.inf).tolist() == [True] * kept + [False] * (4 - kept)
    torch.testing.assert_close(left[:kept].exp(), LOG[0, :kept].exp() / LOG[0, :kept].exp().sum())


def test_temperature_sharpens_and_zero_is_the_likeliest() -> None:
    torch.testing.assert_close(adjusted(LOG, 0.5), (2 * LOG).log_softmax(-1))
    assert adjusted(LOG, 0.0)[0].tolist() == [0.0, -math.inf, -math.inf, -math.inf]
    tied = torch.tensor([[0.2, 0.4, 0.4]]).log()
    assert draw(adjusted(tied, 0.0), torch.tensor([0.999])).tolist() == [1]


def test_no_temperature_raises_the_impossible() -> None:
    log = torch.tensor([[0.0, math.log(torch.finfo(torch.float64).tiny), -math.inf]]).double()
    assert adjusted(log, 1000.0)[0].tolist() == [0.0, -math.inf, -math.inf]


def test_draws_split_the_unit_interval() -> None:
    edges = torch.tensor([1e-16, 0.4999999, 0.5000001, 0.7999999, 0.95000001, 1 - 1e-16], dtype=torch.float64)
    assert draw(LOG.expand(6, -1), edges).tolist() == [0, 0, 1, 1, 3, 3]
    without = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]]).double().log()
    assert draw(without.expand(3, -1), torch.tensor([1e-16, 0.5, 1 - 1e-16], dtype=torch.float64)).tolist() == [1, 3, 3]


def test_noise_is_uniform_in_every_counter() -> None:
    rows, places = torch.arange(400)[:, None], torch.arange(300)
    u = Noise(7).uniform("symbol", rows, places)
    assert u.dtype == torch.float64
    assert 0 < float(u.min()) < float(u.max()) < 1
    assert kstest(u.flatten().numpy(), "uniform").pvalue > 1e-3
    for one, other in ((u[:, :-1], u[:, 1:]), (u[:-1], u[1:]), (u, Noise(7).uniform("reveal", rows, places))):
        joint = torch.histogramdd(torch.stack((one, other), -1).flatten(0, 1), 8, range=[0.0, 1.0, 0.0, 1.0]).hist
        expected = one.numel() / 64
        assert float(((joint - expected) ** 2 / expected).sum()) < chi2.ppf(0.999, 63)


def test_noise_belongs_to_seed_name_and_cell_alone() -> None:
    rows, places = torch.arange(5)[:, None], torch.arange(4)
    whole = Noise(1).uniform("symbol", rows, places)
    assert torch.equal(Noise(1, first=3).uniform("symbol", rows[:2], places), whole[3:])
    assert torch.equal(Noise(1).uniform("symbol", torch.tensor([2]), torch.tensor([3])), whole[2, 3:])
    for other in (Noise(2).uniform("symbol", rows, places), Noise(1).uniform("reveal", rows, places)):
        assert not (other == whole).any()
