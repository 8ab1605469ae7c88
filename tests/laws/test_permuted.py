"""Orders of reading under the laws: code lengths sum to one, and a fixed order is free where all see all."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small import random_net
from torch import Tensor

from isobyte.backbone.mask import BIDIRECTIONAL
from isobyte.config.objective import AnyOrderConfig, ArConfig, MaskedConfig
from isobyte.config.permutation import (
    Permutation,
    ShuffledBlocks,
    ShuffledInside,
    ShuffledNearby,
    ShuffledWindow,
    Strided,
)
from isobyte.likelihood.any_order import order_nats
from isobyte.likelihood.duel import duel_nats
from isobyte.likelihood.enumeration import enumerated_bound
from isobyte.likelihood.estimator import Settings, build_estimator
from isobyte.likelihood.exact import ar_nats
from isobyte.likelihood.oracle import all_sequences
from isobyte.objective.any_order import nearby
from isobyte.objective.base import LogProbs, View, network_log_probs
from isobyte.objective.masked import masked_view
from isobyte.objective.order import Order
from isobyte.objective.permutation import HELD_OUT, Reading, carried_log_probs
from isobyte.objective.walk import Reveal, drive, symbol_walk

VOCAB, T = 3, 4
INVERTIBLE: dict[str, Permutation] = {
    "window": ShuffledWindow(),
    "window-fresh": ShuffledWindow(fresh=True),
    "window-carried": ShuffledWindow(carry=True),
    "nearby-fresh": ShuffledNearby(width=3, fresh=True),
    "blocks": ShuffledBlocks(width=2),
    "stride-carried": Strided(stride=2, carry=True),
}


@torch.no_grad()
@pytest.mark.parametrize("name", INVERTIBLE)
@pytest.mark.parametrize("length", [T, 3])
def test_probabilities_of_all_windows_sum_to_one(name: str, length: int) -> None:
    """Of window number 5 of a text, which may have an order of its own."""
    reading, texts = Reading(INVERTIBLE[name], T), all_sequences(VOCAB, length)
    estimator = build_estimator(ArConfig(), Settings(2, 0, VOCAB, reading=reading))
    log_probs = network_log_probs(random_net(VOCAB))
    nats = [estimator.nats(log_probs, text[None], 5)[0, 0] for text in texts]
    assert float((-torch.stack(nats)).exp().sum()) == pytest.approx(1, abs=1e-12)
    plain = ar_nats(log_probs, texts, VOCAB)
    assert not torch.allclose(torch.stack(nats), plain), "nothing was permuted"


@torch.no_grad()
def test_a_shuffle_inside_words_is_no_code_of_the_text() -> None:
    """Texts that are read alike are each charged for it: their probabilities sum to something else than one."""
    letters = torch.tensor(list(b" ab"))
    net = random_net(256)
    reading = Reading(ShuffledInside(), T)
    estimator = build_estimator(ArConfig(), Settings(2, 0, 256, reading=reading))
    assert estimator.source == "inside"

    def log_probs(view: View) -> Tensor:
        """A network over the three letters alone."""
        answer = network_log_probs(net)(view)
        return torch.full_like(answer, -torch.inf).index_copy(-1, letters, answer[..., letters].log_softmax(-1))

    texts = letters[all_sequences(3, T)]
    assert float((-ar_nats(log_probs, texts, 256)).exp().sum()) == pytest.approx(1, abs=1e-12)
    total = sum(float((-estimator.nats(log_probs, text[None], 0)[0, 0]).exp()) for text in texts)
    assert abs(total - 1) > 0.01


# the negative control: under a fixed order with places and masks carried along a bidirectional network answers alike

LENGTH, FIXED = (
    5,
    (ShuffledWindow(carry=True, seed=2), Strided(stride=2, carry=True), ShuffledBlocks(width=2, carry=True)),
)


def control(permutation: Permutation) -> tuple[LogProbs, LogProbs, Tensor, Tensor, Tensor]:
    """A network as it is and as it is asked about what was read; a text, what is read of it, and the order."""
    reading = Reading(permutation, LENGTH)
    net = network_log_probs(random_net(VOCAB, objective=MaskedConfig()))
    x = torch.from_numpy(np.random.default_rng(0).integers(0, VOCAB, (6, LENGTH)))
    order = torch.from_numpy(reading.places(x.numpy(), HELD_OUT, np.arange(6))[0])
    assert (order != torch.arange(LENGTH)).any()
    return net, carried_log_probs(net, reading, LENGTH), x, reading.read(x, HELD_OUT, np.arange(6)), order


@torch.no_grad()
@pytest.mark.parametrize("permutation", FIXED, ids=lambda order: order.kind)
def test_every_answer_is_the_same_when_places_and_masks_are_carried_along(permutation: Permutation) -> None:
    net, asked, x, read, order = control(permutation)
    assert read.equal(x[:, order])
    for masked in all_sequences(2, LENGTH).bool():
        plain = net(masked_view(x, masked.expand(6, -1), VOCAB))
        permuted = asked(masked_view(read, masked[order].expand(6, -1), VOCAB))
        assert torch.allclose(permuted, plain[:, order], rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("permutation", FIXED, ids=lambda order: order.kind)
def test_the_bound_over_all_masks_costs_the_same(permutation: Permutation) -> None:
    """And without the places it does not: the control can fail."""
    net, asked, x, read, _ = control(permutation)
    text, carried, alone = (enumerated_bound(p, y, VOCAB) for p, y in ((net, x), (asked, read), (net, read)))
    assert torch.allclose(text, carried, rtol=0, atol=1e-12)
    assert (text - alone).abs().max() > 0.1


@torch.no_grad()
@pytest.mark.parametrize("rule", ["confidence", "margin", "entropy"])
def test_unmasking_by_a_rule_costs_the_same(rule: str) -> None:
    """Ties go to what is read first, and all cells tie while all are hidden: so of orders that begin as texts do."""
    net, asked, x, read, order = control(Strided(stride=2, carry=True))
    assert order[0] == 0
    text, carried, alone = (duel_nats(p, y, VOCAB, rule, 1) for p, y in ((net, x), (asked, read), (net, read)))
    assert torch.allclose(text, carried, rtol=0, atol=1e-12)
    assert (text - alone).abs().max() > 0.1
    told = Settings(2, 0, VOCAB, reading=Reading(Strided(stride=2, carry=True), LENGTH))
    assert build_estimator(MaskedConfig(), told, f"duel:{rule}").nats(net, x, 0)[:, 0].equal(carried)


@torch.no_grad()
def test_an_autoregressive_network_is_not_indifferent_even_so() -> None:
    """It reads another history. What is carried tells it of the order and does not undo it."""
    reading = Reading(FIXED[0], LENGTH)
    net = network_log_probs(random_net(VOCAB))
    x = torch.from_numpy(np.random.default_rng(0).integers(0, VOCAB, (6, LENGTH)))
    read = reading.read(x, HELD_OUT, np.arange(6))
    assert not torch.allclose(ar_nats(carried_log_probs(net, reading, LENGTH), read, VOCAB), ar_nats(net, x, VOCAB))


# the dial of any_order


def any_order(within: int | None, name: str, passes: int = 16, seed: int = 0) -> tuple[LogProbs, Tensor, Tensor]:
    net = network_log_probs(random_net(VOCAB, objective=AnyOrderConfig()))
    x = torch.from_numpy(np.random.default_rng(0).integers(0, VOCAB, (5, LENGTH)))
    estimator = build_estimator(AnyOrderConfig(within=within), Settings(passes, seed, VOCAB), name)
    return net, x, estimator.nats(net, x, 0)


@torch.no_grad()
@pytest.mark.parametrize("name", ["order", "k-order"])
def test_within_one_is_left_to_right(name: str) -> None:
    net, x, nats = any_order(1, name)
    left_to_right = order_nats(net, x, torch.arange(LENGTH).expand(5, -1), VOCAB)
    assert torch.allclose(nats, left_to_right[:, None].expand(-1, 2), rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("name", ["order", "k-order"])
@pytest.mark.parametrize("within", [LENGTH, 99])
def test_within_a_window_is_any_order(name: str, within: int) -> None:
    assert any_order(within, name)[2].equal(any_order(None, name)[2])


@torch.no_grad()
def test_the_estimator_means_all_orders_that_keep_stretches() -> None:
    """Stretches of two, two and one: four orders, each as likely as another."""
    net, x, _ = any_order(2, "order")
    orders = {tuple(nearby(torch.tensor(order), 2).tolist()) for order in map(list, _orders())}
    assert orders == {(*a, *b, 4) for a in ((0, 1), (1, 0)) for b in ((2, 3), (3, 2))}
    each = torch.stack([order_nats(net, x, torch.tensor(order).expand(5, -1), VOCAB) for order in sorted(orders)])
    drawn = torch.cat([any_order(2, "order", passes=2, seed=seed)[2] for seed in range(40)], 1)
    for row in range(5):
        nearest = (drawn[row, :, None] - each[:, row]).abs()
        assert nearest.min(1).values.max() < 1e-12
        counts = nearest.argmin(1).bincount(minlength=4)
        assert float(((counts - 20.0) ** 2 / 20).sum()) < 16.3, "one in a thousand by chance"
    assert abs(float((drawn.mean(1) - each.mean(0)).mean())) < 0.2


def _orders() -> list[tuple[int, ...]]:
    from itertools import permutations

    return list(permutations(range(LENGTH)))


@pytest.mark.parametrize("within", [1, 2, 4])
def test_walks_reveal_stretch_by_stretch(within: int) -> None:
    """What codecs and samplers follow; the order inside is that of the seed."""
    objective, found = AnyOrderConfig(within=within), []
    net, hidden = random_net(VOCAB, objective=objective), torch.full((1, LENGTH), VOCAB)

    def symbols_of(reveal: Reveal) -> Tensor:
        found.append(int(reveal.places))
        return torch.zeros_like(reveal.places)

    with torch.no_grad():
        drive(symbol_walk(objective, net, hidden, Order(seed=1)), symbols_of)
    drawn = Order(seed=1).permutation(LENGTH).tolist()
    assert found == sorted(drawn, key=lambda place: place // within)
    assert found != drawn


def test_views_keep_what_is_no_position() -> None:
    """Times, masks and what is asked for pass through to the network."""
    seen = []

    def log_probs(view: View) -> Tensor:
        seen.append(view)
        return torch.zeros(1, LENGTH, VOCAB)

    view = View(torch.zeros(1, LENGTH, dtype=torch.long), BIDIRECTIONAL, time_B=torch.ones(1), asked=2)
    carried_log_probs(log_probs, Reading(FIXED[0], LENGTH), LENGTH)(view)
    assert replace(seen[0], positions=None) == view
    assert seen[0].positions is not None
