"""A network is told where in the text each symbol stood: by its positions, in full passes and in cached ones."""

import numpy as np
import pytest
import torch
from torch import Tensor

from isobyte.backbone.layers import Positions
from isobyte.backbone.mask import BIDIRECTIONAL, CAUSAL
from isobyte.config.objective import MaskedConfig
from isobyte.config.permutation import Permutation, ShuffledWindow, Strided
from isobyte.objective.ar import ar_view
from isobyte.objective.base import View, network_log_probs
from isobyte.objective.permutation import HELD_OUT, Carried, Reading, carried, carried_log_probs
from isobyte.objective.walk import ar_walk, drive
from laws.small import random_net

VOCAB, T = 7, 6
ORDERS = [Strided(stride=1, carry=True), Strided(stride=4, carry=True), ShuffledWindow(carry=True, seed=3)]


def symbols(length: int = T, rows: int = 3) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, VOCAB, (rows, length)))


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order.kind}-{order.seed}")
@pytest.mark.parametrize("length", [T, 4])
def test_an_autoregressive_cell_asks_for_one_place_and_holds_the_place_before(order: Permutation, length: int) -> None:
    """BOS stands before the text, at -1."""
    net, reading = random_net(VOCAB), Reading(order, T)
    x = reading.read(symbols(length), HELD_OUT, np.arange(3))
    row = torch.from_numpy(reading.places(x.numpy(), HELD_OUT, np.arange(3))[0])
    view = ar_view(x, VOCAB)
    by_hand = network_log_probs(net)(
        View(view.inputs, CAUSAL, Positions(row, torch.cat((torch.tensor([-1]), row[:-1]))))
    )
    assert carried_log_probs(network_log_probs(net), reading, length)(view).equal(by_hand)
    assert network_log_probs(Carried(net, reading, length))(view).equal(by_hand)
    plain = network_log_probs(net)(view)
    assert not torch.allclose(plain, by_hand)


def test_identity_carried_is_asking_with_positions() -> None:
    net, reading = random_net(VOCAB), Reading(Strided(stride=1, carry=True), T)
    view, at = ar_view(symbols(), VOCAB), torch.arange(T)
    found = network_log_probs(carried(net, reading, T))(view)
    assert found.equal(network_log_probs(net)(View(view.inputs, CAUSAL, Positions(at, at - 1))))


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order.kind}-{order.seed}")
def test_a_cached_walk_is_the_full_pass(order: Permutation) -> None:
    net, reading = random_net(VOCAB).eval(), Reading(order, T)
    x, found = reading.read(symbols(), HELD_OUT, np.arange(3)), []
    asked = carried(net, reading, T)

    def truth(reveal):
        found.append(reveal.log_NV)
        return x[reveal.rows, reveal.places]

    with torch.inference_mode():
        whole = network_log_probs(asked)(ar_view(x, VOCAB))
        assert drive(ar_walk(asked, torch.full_like(x, VOCAB)), truth).equal(x)
    assert torch.allclose(torch.stack(found, 1), whole, atol=1e-12)


def test_a_hidden_cell_asks_for_where_it_stood() -> None:
    net, reading = random_net(VOCAB, objective=MaskedConfig()), Reading(ShuffledWindow(carry=True), T)
    row = torch.from_numpy(reading.places(symbols().numpy(), HELD_OUT, np.arange(3))[0])
    inputs = symbols().masked_fill(torch.tensor([1, 0, 0, 1, 1, 0]).bool(), VOCAB)
    found = network_log_probs(carried(net, reading, T))(View(inputs, BIDIRECTIONAL))
    assert found.equal(network_log_probs(net)(View(inputs, BIDIRECTIONAL, Positions(row, row))))


def test_what_is_not_carried_is_asked_as_ever() -> None:
    net = random_net(VOCAB)
    assert carried(net, None, T) is net
    assert carried(net, Reading(ShuffledWindow(), T), T) is net
