"""Where two objectives meet, their likelihoods are one number."""

from itertools import pairwise

import pytest
import torch
from small import EXACT_FORMS, FORMS, random_net, random_table, truth

from isobyte.config.objective import AnyOrderConfig, BlockConfig, EsoConfig, MaskedConfig, SpanConfig
from isobyte.config.spans import FixedSpans, GeometricSpans, Spans
from isobyte.likelihood import oracle
from isobyte.likelihood.enumeration import enumerated_bound
from isobyte.likelihood.estimator import Settings, build_estimator
from isobyte.likelihood.exhaustive import block_bound, eso_bound, order_costs, span_bound
from isobyte.objective.base import network_log_probs
from isobyte.objective.block import block_view

V, T = 3, 4
X = oracle.all_sequences(V, T)
TABLE = random_table(V, T, seed=2)
LEFT_TO_RIGHT = ("ar", "block 1", "eso 0.0 cached", "eso 0.0 uncached", "masked left to right")


@pytest.mark.parametrize("name", LEFT_TO_RIGHT)
def test_t11_left_to_right_is_the_chain_rule(name: str) -> None:
    """Blocks of one symbol, Eso-LM at 0 and DUEL from left to right under exact posteriors: the source itself."""
    objective, estimator = FORMS[name]
    build = build_estimator(objective, Settings(8, 0, V), estimator)
    nats = build.nats(oracle.enumerated(TABLE), X, 0)
    torch.testing.assert_close(nats[:, 0], -TABLE.flatten().log(), rtol=0, atol=1e-9)
    assert torch.equal(nats[:, 0], nats[:, 1])
    assert (build.kind, build.random) == ("exact", False)
    assert build.passes(T) == (T if estimator.startswith("duel") else 1)


def test_one_order_is_the_chain_rule_in_that_order() -> None:
    nats = order_costs(oracle.enumerated(TABLE), X, V)
    torch.testing.assert_close(nats, -TABLE.flatten().log()[:, None].expand_as(nats), rtol=0, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("longer", [0, 3])
def test_t11_a_block_as_long_as_the_window_is_masked_diffusion(longer: int) -> None:
    """The same network, asked through two copies and through one."""
    model = random_net(V, 1)
    log_probs = network_log_probs(model)
    masked = enumerated_bound(log_probs, X[:20], V)
    torch.testing.assert_close(block_bound(log_probs, X[:20], T + longer, V), masked, rtol=0, atol=1e-9)
    own = build_estimator(BlockConfig(block=T + longer), Settings(8, 3, V)).nats(log_probs, X, 5)
    plain = build_estimator(MaskedConfig(), Settings(8, 3, V)).nats(log_probs, X, 5)
    assert torch.equal(own, plain)


@torch.no_grad()
def test_t11_blocks_of_one_symbol_cost_what_the_block_bound_says() -> None:
    log_probs = network_log_probs(random_net(V, 1))
    exact = build_estimator(BlockConfig(block=1), Settings(2, 0, V)).nats(log_probs, X, 0)[:, 0]
    torch.testing.assert_close(block_bound(log_probs, X, 1, V), exact, rtol=0, atol=1e-9)
    assert float(exact.neg().exp().sum()) == pytest.approx(1, abs=1e-9)


@torch.no_grad()
def test_t11_eso_at_one_is_masked_diffusion_and_near_its_ends_close_to_them() -> None:
    log_probs = network_log_probs(random_net(V, 2))
    masked = enumerated_bound(log_probs, X, V)
    uncached = EsoConfig(alpha0=1.0, cached=False)
    torch.testing.assert_close(eso_bound(log_probs, X, uncached, V), masked, rtol=0, atol=1e-9)
    for cached in (True, False):
        for end, near in ((0.0, 1e-7), (1.0, 1 - 1e-7)):
            at = truth((EsoConfig(alpha0=end, cached=cached), "exact" if end == 0 else "eso"), log_probs, X, V)
            close = eso_bound(log_probs, X, EsoConfig(alpha0=near, cached=cached), V)
            torch.testing.assert_close(close, at, rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("spans", [FixedSpans(length=1), GeometricSpans(mean=1)], ids=lambda s: s.kind)
def test_t11_spans_of_one_symbol_are_masked_diffusion(spans: Spans) -> None:
    log_probs = network_log_probs(random_net(V, 2))
    x = X[:10]
    torch.testing.assert_close(span_bound(log_probs, x, spans, V), enumerated_bound(log_probs, x, V), rtol=0, atol=1e-9)


@torch.no_grad()
def test_the_yardstick_of_spans_is_the_masked_bound_of_the_same_network() -> None:
    log_probs = network_log_probs(random_net(V, 2))
    beside = build_estimator(SpanConfig(), Settings(8, 3, V), "count-stratified").nats(log_probs, X, 0)
    assert torch.equal(beside, build_estimator(MaskedConfig(), Settings(8, 3, V)).nats(log_probs, X, 0))


@torch.no_grad()
def test_a_short_last_block_is_scored_at_its_own_length() -> None:
    """Five symbols in blocks of three: the bound of the first three, then that of two given them."""
    log_probs = network_log_probs(random_net(2, 4))
    x = oracle.all_sequences(2, 5)
    first = block_bound(log_probs, x[:, :3], 3, 2)
    whole = block_bound(log_probs, x, 3, 2)
    rest = torch.zeros(len(x), dtype=torch.float64)
    for hidden, weight in (([3, 4], 1 / 2), ([3], 1 / 2), ([4], 1 / 2)):
        masked = torch.zeros(len(x), 5, dtype=torch.bool)
        masked[:, hidden] = True
        nats = -log_probs(block_view(x, masked, 3, 2)).gather(-1, x[..., None]).squeeze(-1)
        rest += weight * torch.where(masked, nats, 0.0).sum(-1)
    torch.testing.assert_close(whole, first + rest, rtol=0, atol=1e-9)


@torch.no_grad()
def test_t16_bounds_are_ordered() -> None:
    """The mixture of orders <= K orders, tighter with K <= the mean order; steps fall to the masked bound."""
    log_probs = network_log_probs(random_net(V, 0, objective=AnyOrderConfig()))
    costs = order_costs(log_probs, X[::20], V)
    mixture, by_order = -(-costs).logsumexp(1) + torch.tensor(float(costs.shape[1])).log(), costs.mean(1)
    copies, means = 200, []
    for passes in (2, 4, 16, 48):
        own = build_estimator(AnyOrderConfig(), Settings(passes, 1, V), "k-order")
        means.append(torch.stack([own.nats(log_probs, x.expand(copies, -1), 0).mean() for x in X[::20]]))
    error = 4 * float(costs.std(1).max()) / copies**0.5
    assert all((above > below - error).all() for above, below in pairwise(means))
    totals = [float(m.sum()) for m in means]
    assert totals == sorted(totals, reverse=True)
    assert float(mixture.sum()) < totals[-1] < totals[0]
    assert totals[0] == pytest.approx(float(by_order.sum()), rel=0.02), "one order is the mean order"
    assert totals[-1] == pytest.approx(float(mixture.sum()), rel=0.03)
    expected = {
        name: float((TABLE.flatten() * truth(FORMS[name], oracle.enumerated(TABLE), X, V)).sum())
        for name in ("masked", "any order", "span fixed", "steps")
    }
    assert expected["masked"] == pytest.approx(expected["any order"], abs=1e-9)
    assert expected["masked"] < min(expected["span fixed"], expected["steps"])
    assert "masked" in EXACT_FORMS
