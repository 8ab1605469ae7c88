"""Bounds are bounds: the entropy where they should be, never below it, and codes in Kraft's sense."""

import math

import numpy as np
import pytest
import torch
from small import binary_entropy, entropy, random_net, random_table
from small import measure as score
from torch import Tensor

from isobyte.config.objective import (
    ArConfig,
    CosineSchedule,
    LinearSchedule,
    MaskedConfig,
    PolynomialSchedule,
    Schedule,
)
from isobyte.likelihood import oracle
from isobyte.likelihood.count_stratified import masked_nats
from isobyte.likelihood.enumeration import count_costs, enumerated_bound, schedule_bound, step_bound
from isobyte.likelihood.exact import ar_nats
from isobyte.objective.base import network_log_probs

SCHEDULES: list[Schedule] = [
    LinearSchedule(),
    CosineSchedule(),
    PolynomialSchedule(power=0.5),
    PolynomialSchedule(power=3),
]


def mean(table: Tensor, nats: Tensor) -> float:
    """The expectation under the source of a cost per sequence; impossible sequences do not count."""
    possible = table.flatten() > 0
    return float((table.flatten() * nats)[possible].sum())


def test_uniform_predictor_costs_log_v_per_symbol_whatever_the_mask() -> None:
    x = torch.randint(5, (4, 7))
    nats = masked_nats(oracle.uniform(5), x, 5, passes=6, seed=0, first_window=0)
    torch.testing.assert_close(nats, torch.full((4, 2), 7 * math.log(5), dtype=torch.float64), rtol=1e-13, atol=0)
    costs = count_costs(oracle.uniform(5), x, 5)
    torch.testing.assert_close(costs, (torch.arange(8.0).double() * math.log(5)).expand(4, 8), rtol=1e-13, atol=0)


def test_independent_symbols_cost_their_own_surprise_under_every_form() -> None:
    p = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    x = torch.randint(4, (6, 6))
    surprise = -p.log()[x].sum(-1)
    costs = count_costs(oracle.iid(p), x, 4)
    torch.testing.assert_close(ar_nats(oracle.iid(p), x, 4), surprise)
    torch.testing.assert_close(enumerated_bound(oracle.iid(p), x, 4), surprise)
    for steps in (1, 2, 7):
        np.testing.assert_allclose(step_bound(costs, steps), surprise, rtol=1e-12)


def test_copied_symbol_costs_log_v_once_unless_steps_reveal_blindly() -> None:
    x = torch.arange(3)[:, None].expand(3, 6)
    log_probs = oracle.all_equal(3)
    torch.testing.assert_close(ar_nats(log_probs, x, 3), torch.full((3,), math.log(3), dtype=torch.float64))
    torch.testing.assert_close(enumerated_bound(log_probs, x, 3), torch.full((3,), math.log(3), dtype=torch.float64))
    by_steps = [step_bound(count_costs(log_probs, x, 3), steps)[0] for steps in (1, 2, 4, 64, 4096)]
    assert by_steps[0] == pytest.approx(6 * math.log(3), abs=1e-12)
    assert sorted(by_steps, reverse=True) == by_steps
    assert math.log(3) < by_steps[-1] < math.log(3) * 1.001


def test_even_parity_gives_its_last_bit_away() -> None:
    x = oracle.all_sequences(2, 6)
    x = x[x.sum(1) % 2 == 0]
    log_probs = oracle.even_parity()
    expected = torch.full((len(x),), 5 * math.log(2), dtype=torch.float64)
    torch.testing.assert_close(ar_nats(log_probs, x, 2), expected)
    torch.testing.assert_close(enumerated_bound(log_probs, x, 2), expected)
    assert (count_costs(log_probs, x, 2)[:, 1] == 0).all()


@pytest.mark.parametrize("holes", [0.0, 0.5])
def test_any_source_is_worth_its_entropy_to_its_own_oracle_and_more_to_any_other(holes: float) -> None:
    table = random_table(3, 4, seed=3, holes=holes)
    x = oracle.all_sequences(3, 4)
    own, other = oracle.enumerated(table), oracle.enumerated(random_table(3, 4, seed=4))
    truth = entropy(table)
    assert mean(table, ar_nats(own, x, 3)) == pytest.approx(truth, abs=1e-9)
    assert mean(table, enumerated_bound(own, x, 3)) == pytest.approx(truth, abs=1e-9)
    assert mean(table, enumerated_bound(other, x, 3)) > truth + 0.1
    by_steps = [mean(table, torch.from_numpy(step_bound(count_costs(own, x, 3), steps))) for steps in (1, 2, 8)]
    assert by_steps[0] > by_steps[1] > by_steps[2] > truth


def test_markov_chain_is_worth_its_entropy_exactly() -> None:
    flip, length = 0.1, 8
    x = oracle.all_sequences(2, length)
    flips = (x[:, 1:] != x[:, :-1]).sum(1)
    table = 0.5 * flip ** flips.double() * (1 - flip) ** (length - 1 - flips.double())
    truth = math.log(2) + (length - 1) * binary_entropy(flip)
    log_probs = oracle.binary_markov(flip)
    assert mean(table, ar_nats(log_probs, x, 2)) == pytest.approx(truth, abs=1e-9)
    assert mean(table, enumerated_bound(log_probs, x, 2)) == pytest.approx(truth, abs=1e-9)


@pytest.mark.parametrize("objective", [ArConfig(), MaskedConfig()], ids=lambda o: o.kind)
def test_markov_chain_of_256_symbols_measures_at_its_entropy(objective: ArConfig | MaskedConfig) -> None:
    windows, length, flip = 64, 256, 0.1
    draw = np.random.default_rng(7)
    flips = draw.random((windows, length)) < np.where(np.arange(length) == 0, 0.5, flip)
    x = flips.cumsum(1) % 2
    value = score(
        oracle.binary_markov(flip),
        objective,
        [(x, np.full(windows, length))],
        2,
        passes=8,
        seed=0,
    )
    assert abs(value.bpb - 0.47107) < 4 * value.stderr_text
    assert value.stderr_text < 0.011
    assert value.kind == ("exact" if objective.kind == "ar" else "bound")


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.kind + str(getattr(s, "power", "")))
def test_bound_does_not_depend_on_the_schedule(schedule: Schedule) -> None:
    x = torch.randint(5, (3, 7), generator=torch.Generator().manual_seed(0))
    costs = count_costs(network_log_probs(random_net(5)), x, 5).detach()
    any_order = (costs[:, 1:] / torch.arange(1, 8)).sum(1)
    assert float(any_order.std()) > 0.1, "a net that is nearly uniform proves nothing"
    np.testing.assert_allclose(schedule_bound(costs, schedule), any_order, rtol=0, atol=1e-6)


NETS = {
    "oracle": oracle.enumerated(random_table(3, 4, seed=5)),
    "oracle with holes": oracle.enumerated(random_table(3, 4, seed=6, holes=0.5)),
    "net 0": network_log_probs(random_net(3, 0)),
    "net 1": network_log_probs(random_net(3, 1)),
}


@torch.no_grad()
@pytest.mark.parametrize("name", NETS)
def test_kraft_sums_over_every_sequence(name: str) -> None:
    x = oracle.all_sequences(3, 4)
    assert float((-ar_nats(NETS[name], x, 3)).exp().sum()) == pytest.approx(1, abs=1e-9)
    costs = count_costs(NETS[name], x, 3)
    any_order = (costs[:, 1:] / torch.arange(1, 5)).sum(1)
    assert 0.1 < float((-any_order).exp().sum()) <= 1 + 1e-9
    assert np.exp(-step_bound(costs, 2)).sum() <= 1 + 1e-9


@torch.no_grad()
def test_telling_the_net_its_mask_rate_keeps_the_kraft_sum() -> None:
    log_probs = network_log_probs(random_net(3, 2, time_conditioning=True))
    x = oracle.all_sequences(3, 4)
    told = (-enumerated_bound(log_probs, x, 3, told_rate=True)).exp().sum()
    assert 0.1 < float(told) <= 1 + 1e-9


def test_pseudo_likelihood_fails_the_kraft_test() -> None:
    """The test can fail: scoring each symbol given all others is no code length."""
    x = oracle.all_sequences(3, 4)
    pseudo = 4 * count_costs(oracle.all_equal(3), x, 3)[:, 1]
    assert float((-pseudo).exp().sum()) > 1.5
