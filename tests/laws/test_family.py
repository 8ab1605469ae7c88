"""Every objective's likelihood: the entropy under exact posteriors, never below it, a code in Kraft's sense, and
estimated without bias by an estimator that knows its own error."""

import math

import numpy as np
import pytest
import torch
from small import EXACT_FORMS, FORMS, LOOSE_FORMS, binary_entropy, entropy, measure, random_net, random_table, truth
from torch import Tensor

from isobyte.config.objective import AnyOrderConfig, EsoConfig, MaskedConfig, Objective
from isobyte.likelihood import exhaustive, oracle
from isobyte.likelihood.estimator import Settings, build_estimator
from isobyte.objective.base import network_log_probs

V, T = 3, 4
X = oracle.all_sequences(V, T)


def mean(table: Tensor, nats: Tensor) -> float:
    """The expectation under the source of a cost per sequence; impossible sequences do not count."""
    possible = table.flatten() > 0
    return float((table.flatten() * nats)[possible].sum())


@pytest.mark.parametrize("name", FORMS)
def test_t1_uniform_predictor_costs_log_v_per_symbol(name: str) -> None:
    objective, estimator = FORMS[name]
    x = X[::7]
    expected = torch.full((len(x),), T * math.log(V), dtype=torch.float64)
    torch.testing.assert_close(truth(FORMS[name], oracle.uniform(V), x, V), expected, rtol=1e-12, atol=0)
    if estimator in ("exact", "block", "count-stratified", "order") or estimator.startswith("duel"):
        nats = build_estimator(objective, Settings(6, 1, V), estimator).nats(oracle.uniform(V), x, 0)
        torch.testing.assert_close(nats, expected[:, None].expand(-1, 2), rtol=1e-12, atol=0)


@pytest.mark.parametrize("per_step", [1, 2])
@pytest.mark.parametrize("name", FORMS)
def test_t2_independent_symbols_cost_their_own_surprise(name: str, per_step: int) -> None:
    p = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    nats = truth(FORMS[name], oracle.iid(p), X, V, per_step=per_step)
    torch.testing.assert_close(nats, -p.log()[X].sum(-1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", FORMS)
def test_t3_copied_symbol_costs_log_v_unless_revealed_blindly(name: str) -> None:
    x = torch.arange(V)[:, None].expand(V, T)
    nats = truth(FORMS[name], oracle.all_equal(V), x, V)
    if name in EXACT_FORMS:
        torch.testing.assert_close(nats, torch.full((V,), math.log(V), dtype=torch.float64), rtol=0, atol=1e-12)
    else:
        assert (nats > math.log(V) + 0.1).all()
        assert (nats < T * math.log(V)).all()


@pytest.mark.parametrize("name", EXACT_FORMS)
def test_t4_even_parity_gives_its_last_bit_away(name: str) -> None:
    x = oracle.all_sequences(2, T)
    x = x[x.sum(1) % 2 == 0]
    expected = torch.full((len(x),), (T - 1) * math.log(2), dtype=torch.float64)
    torch.testing.assert_close(truth(EXACT_FORMS[name], oracle.even_parity(), x, 2), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", FORMS)
def test_t5_markov_chain_is_worth_its_entropy(name: str) -> None:
    flip, length = 0.1, 4
    x = oracle.all_sequences(2, length)
    flips = (x[:, 1:] != x[:, :-1]).sum(1)
    table = 0.5 * flip ** flips.double() * (1 - flip) ** (length - 1 - flips.double())
    value = mean(table, truth(FORMS[name], oracle.binary_markov(flip), x, 2))
    expected = math.log(2) + (length - 1) * binary_entropy(flip)
    if name in EXACT_FORMS:
        assert value == pytest.approx(expected, abs=1e-9)
    else:
        assert value > expected + 0.01


@pytest.mark.parametrize("holes", [0.0, 0.5])
@pytest.mark.parametrize("name", FORMS)
def test_any_source_is_worth_its_entropy_to_its_own_oracle_and_more_to_any_other(name: str, holes: float) -> None:
    table = random_table(V, T, seed=3, holes=holes)
    own = mean(table, truth(FORMS[name], oracle.enumerated(table), X, V))
    if name in EXACT_FORMS:
        assert own == pytest.approx(entropy(table), abs=1e-9)
    else:
        assert own > entropy(table) + 0.01
    assert mean(table, truth(FORMS[name], oracle.enumerated(random_table(V, T, seed=4)), X, V)) > entropy(table) + 0.1


@torch.no_grad()
@pytest.mark.parametrize("model", ["oracle", "net 0", "net 1"])
@pytest.mark.parametrize("name", FORMS)
def test_t8_kraft_sums_over_every_sequence(name: str, model: str) -> None:
    objective, estimator = FORMS[name]
    if model == "oracle":
        log_probs = oracle.enumerated(random_table(V, T, seed=6, holes=0.5))
    else:
        log_probs = network_log_probs(random_net(V, int(model[-1]), objective=objective))
    kraft = float((-truth(FORMS[name], log_probs, X, V)).exp().sum())
    if build_estimator(objective, Settings(2, 0, V), estimator).kind == "exact":
        assert kraft == pytest.approx(1, abs=1e-9)
    else:
        assert 0.05 < kraft <= 1 + 1e-9


@torch.no_grad()
@pytest.mark.parametrize("per_step", [2, 3])
@pytest.mark.parametrize("rule", ["left_to_right", "confidence", "margin", "entropy"])
def test_t8_deterministic_orders_sum_to_one_with_several_symbols_a_step(rule: str, per_step: int) -> None:
    log_probs = network_log_probs(random_net(V, 3))
    nats = truth((MaskedConfig(), f"duel:{rule}"), log_probs, X, V, per_step=per_step)
    assert float((-nats).exp().sum()) == pytest.approx(1, abs=1e-9)


@torch.no_grad()
def test_t8_the_best_order_for_each_text_is_no_likelihood() -> None:
    """Expected failure: an order chosen by looking at the hidden symbols."""
    nats = exhaustive.order_costs(network_log_probs(random_net(V, 0, objective=AnyOrderConfig())), X, V)
    assert float((-nats.amin(1)).exp().sum()) > 1.5
    assert float((nats.shape[1] ** -1 * (-nats).exp().sum(1)).sum()) == pytest.approx(1, abs=1e-9), "the mixture is one"


SAMPLED = {
    name: FORMS[name]
    for name in (
        "masked", "steps", "block 2", "block 3", "any order", "eso 0.3 cached", "eso 0.8 uncached", "span fixed",
        "span geometric",
    )
} | {
    "masked in time": (MaskedConfig(), "t-stratified"),
    "masked told its rate": (MaskedConfig(time_conditioning=True), "count-stratified"),
    "steps told their rate": (MaskedConfig(time_conditioning=True), "t-steps"),
}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("name", SAMPLED)
def test_t9_estimate_is_unbiased_halves_are_independent_and_two_errors_cover(name: str) -> None:
    """Many copies of a window are many independent estimates of its value."""
    objective, estimator = SAMPLED[name]
    log_probs = network_log_probs(random_net(2, 5, objective=objective))
    x, copies, group = torch.tensor([0, 1, 1, 0, 1]), 2000, 40
    expected = float(truth(SAMPLED[name], log_probs, x[None], 2))
    build = build_estimator(objective, Settings(4, 11, 2, steps=3), estimator)
    nats_W2 = build.nats(log_probs, x.expand(copies, -1), 0)
    nats_W = nats_W2.mean(1)
    assert float(nats_W.std()) > 0.01
    assert abs(float(nats_W.mean()) - expected) < 4 * float(nats_W.std()) / math.sqrt(copies)
    assert abs(np.corrcoef(nats_W2.T)[0, 1]) < 4 / math.sqrt(copies)
    stderr = nats_W2.diff(dim=1).square().view(-1, group).sum(1).sqrt() / 2
    off = nats_W.view(-1, group).sum(1) - expected * group
    covered = float((off.abs() < 2 * stderr).double().mean())
    if estimator != "t-stratified":  # whose tails are long
        assert covered > 0.84, "50 groups: 0.94 less 3 binomial deviations"
        assert float(off.std()) == pytest.approx(float(stderr.square().mean().sqrt()), rel=0.35)


@torch.no_grad()
@pytest.mark.parametrize(
    "objective", [AnyOrderConfig(), EsoConfig(alpha0=0.5), EsoConfig(alpha0=0.5, cached=False)], ids=lambda o: o.kind
)
def test_values_do_not_depend_on_how_windows_are_batched(objective: Objective) -> None:
    log_probs = network_log_probs(random_net(V, objective=objective))
    sizes = np.full(len(X), T)
    whole = measure(log_probs, objective, [(X.numpy(), sizes)], V, passes=4, seed=1)
    pieces = [(X[:30].numpy(), sizes[:30]), (X[30:].numpy(), sizes[30:])]
    assert measure(log_probs, objective, pieces, V, passes=4, seed=1).nats == pytest.approx(whole.nats, rel=1e-12)


def test_passes_are_what_the_value_reports() -> None:
    x = (X.numpy(), np.full(len(X), T))
    log_probs = oracle.uniform(V)
    for objective, name, each in (
        (EsoConfig(), None, 8), (EsoConfig(alpha0=0), None, 1), (MaskedConfig(), "duel:margin", 2),
    ):  # fmt: skip
        value = measure(log_probs, objective, [x], V, passes=8, seed=0, estimator=name, per_step=2)
        assert value.nfe == each * len(X)


def test_loose_forms_are_loose() -> None:
    assert set(LOOSE_FORMS) == {"span fixed", "span geometric", "steps"}
