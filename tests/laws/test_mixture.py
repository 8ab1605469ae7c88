"""Mixtures of orders: bounds between the bound and the likelihood of the model of random orders, which they sum to."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.stats import binom, chisquare
from small import random_net, random_table
from torch import Tensor

from isobyte.backbone.mask import BIDIRECTIONAL
from isobyte.config import objective as kinds
from isobyte.config.spans import FixedSpans, GeometricSpans, WordSpans
from isobyte.errors import UserError
from isobyte.likelihood import exhaustive, passes
from isobyte.likelihood.any_order import order_nats
from isobyte.likelihood.enumeration import enumerated_bound
from isobyte.likelihood.mixture import (
    Draws,
    ask_log_probs,
    ask_network,
    by_part,
    chain_nats,
    draw_orders,
    mixture_nats,
    order_costs,
)
from isobyte.likelihood.oracle import all_sequences, enumerated
from isobyte.objective.base import LogProbs, View, network_log_probs
from isobyte.objective.masked import masked_view
from isobyte.random import generator

VOCAB = 2
OBJECTIVES: dict[str, tuple[kinds.Objective, int]] = {
    "masked": (kinds.MaskedConfig(), 3),
    "masked-told": (kinds.MaskedConfig(time_conditioning=True), 3),
    "block": (kinds.BlockConfig(block=3), 5),
    "block-whole": (kinds.BlockConfig(block=4), 3),
    "any_order": (kinds.AnyOrderConfig(), 3),
    "any_order-within": (kinds.AnyOrderConfig(within=2), 4),
    "span-fixed": (kinds.SpanConfig(spans=FixedSpans(length=2)), 4),
    "span-geometric": (kinds.SpanConfig(spans=GeometricSpans(mean=2.0)), 3),
    "eso": (kinds.EsoConfig(alpha0=0.4), 3),
    "eso-uncached": (kinds.EsoConfig(alpha0=0.4, cached=False), 3),
}
each_objective = pytest.mark.parametrize("name", OBJECTIVES)


def net(objective: kinds.Objective):
    """Opinionated and consistent with nothing, so that orders differ."""
    return random_net(VOCAB, objective=objective).requires_grad_(False)


def every_order(objective: kinds.Objective, length: int) -> Iterator[tuple[tuple[int, ...], int, float]]:
    """(step of each symbol, symbols left to the last pass, probability) of every order of the model."""

    def ranks(order: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(order.index(place) for place in range(len(order)))

    orders = list(itertools.permutations(range(length)))
    match objective:
        case kinds.BlockConfig():
            sizes = [min(objective.block, length - first) for first in range(0, length, objective.block)]
            inside = [list(itertools.permutations(range(size))) for size in sizes]
            for chosen in itertools.product(*inside):
                yield sum(map(ranks, chosen), ()), 0, 1 / math.prod(map(len, inside))
        case kinds.SpanConfig():
            for starts, chance in exhaustive.segmentations(objective.spans, np.zeros(length, np.int64)):
                span_of = starts.cumsum() - 1
                shuffled = list(itertools.permutations(range(int(starts.sum()))))
                for order in shuffled:
                    yield tuple(order.index(span) for span in span_of), 0, chance / len(shuffled)
        case kinds.EsoConfig():
            for left, order in itertools.product(range(length + 1), orders):
                seen = length - left
                whole = order[:seen] + tuple(sorted(order[seen:]))
                yield ranks(whole), left, float(binom.pmf(left, length, 1 - objective.alpha0)) / len(orders)
        case kinds.AnyOrderConfig(within=int(within)):
            for order in orders:
                stretches = tuple(sorted(order, key=lambda place: place // within))
                yield ranks(stretches), 0, 1 / len(orders)
        case _:
            for order in orders:
                yield ranks(order), 0, 1 / len(orders)


def all_costs(name: str) -> tuple[Tensor, Tensor, np.ndarray]:
    """All windows, their nats [N, U, M] in every order, and the orders' probabilities [M]."""
    objective, length = OBJECTIVES[name]
    rank, left, chance = zip(*every_order(objective, length), strict=True)
    x_NT = all_sequences(VOCAB, length)
    rows = x_NT.repeat_interleave(len(rank), 0)
    draws = Draws(torch.tensor(rank).repeat(len(x_NT), 1), torch.tensor(left).repeat(len(x_NT)))
    nats = by_part(objective, chain_nats(ask_network(net(objective)), objective, rows, draws, VOCAB))
    return x_NT, nats.view(len(x_NT), len(rank), -1).transpose(1, 2), np.array(chance)


def the_bound(name: str, x_NT: Tensor) -> Tensor:
    """[N] nats of the objective's own bound, by asking every mask."""
    objective, log_probs = OBJECTIVES[name][0], network_log_probs(net(OBJECTIVES[name][0]))
    match objective:
        case kinds.MaskedConfig():
            return enumerated_bound(log_probs, x_NT, VOCAB, told_rate=objective.time_conditioning)
        case kinds.BlockConfig():
            return exhaustive.block_bound(log_probs, x_NT, objective.block, VOCAB)
        case kinds.SpanConfig():
            return exhaustive.span_bound(log_probs, x_NT, objective.spans, VOCAB)
        case kinds.EsoConfig():
            return exhaustive.eso_bound(log_probs, x_NT, objective, VOCAB)
        case kinds.AnyOrderConfig(within=None):
            return exhaustive.order_costs(log_probs, x_NT, VOCAB).mean(1)
    orders = [torch.tensor(first + last) for first in ([0, 1], [1, 0]) for last in ([2, 3], [3, 2])]
    return torch.stack([order_nats(log_probs, x_NT, o.expand(len(x_NT), -1), VOCAB) for o in orders]).mean(0)


@each_objective
def test_the_mean_over_all_orders_is_the_bound(name: str) -> None:
    x_NT, nats, chance = all_costs(name)
    mean_N = torch.from_numpy(nats.sum(1).numpy() @ chance)
    torch.testing.assert_close(mean_N, the_bound(name, x_NT), rtol=1e-9, atol=1e-9)
    assert nats.std(-1).max() > 0.1, "a source whose orders agree shows nothing"


@each_objective
def test_the_mixture_of_all_orders_is_a_distribution(name: str) -> None:
    """Each order by itself sums to one, too: only a sum of one says that nothing is lost."""
    _, nats, chance = all_costs(name)
    mixed_N = ((-nats).exp().numpy() @ chance).prod(1)
    assert mixed_N.sum() == pytest.approx(1, abs=1e-9)
    single = (-nats.sum(1)).exp().sum(0)
    torch.testing.assert_close(single, torch.ones_like(single), rtol=1e-9, atol=1e-9)


def test_the_mixture_is_the_marginal_of_a_model_that_reveals_in_random_order() -> None:
    """Against a recursion over sets of visible places that knows no order: each hidden place is as likely the next."""
    length, log_probs = 4, network_log_probs(net(kinds.MaskedConfig()))

    def marginal(x_T: Tensor, hidden: frozenset[int]) -> float:
        if not hidden:
            return 1.0
        shown = torch.tensor([VOCAB if place in hidden else int(x_T[place]) for place in range(length)])
        p_TV = log_probs(View(shown[None], BIDIRECTIONAL))[0].exp()
        return sum(float(p_TV[i, x_T[i]]) * marginal(x_T, hidden - {i}) for i in hidden) / len(hidden)

    x_NT = all_sequences(VOCAB, length)
    wanted = [-math.log(marginal(x_T, frozenset(range(length)))) for x_T in x_NT]
    rank = torch.tensor(list(itertools.permutations(range(length))))
    rows = x_NT.repeat_interleave(len(rank), 0)
    draws = Draws(rank.repeat(len(x_NT), 1), torch.zeros(len(rows), dtype=torch.long))
    nats_NT = chain_nats(ask_log_probs(log_probs), kinds.MaskedConfig(), rows, draws, VOCAB)
    found = mixture_nats(nats_NT.sum(1).view(len(x_NT), 1, -1).numpy(), len(rank))
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_blocks_are_mixed_one_by_one() -> None:
    """No block sees in which order those before it came about, so the likelihood is a product over blocks, and mixtures
    of each block lie below those of whole windows."""
    x_NT, nats, chance = all_costs("block")
    blocks, whole = (-nats).exp().numpy() @ chance, (-nats.sum(1)).exp().numpy() @ chance
    np.testing.assert_allclose(blocks.prod(1), whole, rtol=1e-9)
    objective = OBJECTIVES["block"][0]
    costs = order_costs(ask_network(net(objective)), objective, x_NT, 8, seed=0, first=0, vocab=VOCAB)
    assert costs.shape == (len(x_NT), 2, 8)
    together = mixture_nats(costs.sum(1, keepdim=True).numpy(), 8).mean()
    assert mixture_nats(costs.numpy(), 8).mean() < together


@each_objective
def test_orders_are_drawn_as_the_model_draws_them(name: str) -> None:
    objective, length = OBJECTIVES[name]
    draws, many = draw_orders(objective, length, 6000, generator(0, name)), 6000
    seen = Counter(zip(map(tuple, draws.rank_NT.tolist()), draws.left_N.tolist(), strict=True))
    wanted: Counter[tuple[tuple[int, ...], int]] = Counter()
    for rank, left, chance in every_order(objective, length):
        wanted[rank, left] += chance * many  # pyright: ignore[reportArgumentType]
    assert set(seen) <= set(wanted)
    assert chisquare([seen[key] for key in wanted], list(wanted.values())).pvalue > 1e-3


@each_objective
def test_sampled_orders_cost_on_average_what_all_cost(name: str) -> None:
    """The draws, rows and parts of `order_costs`: B_1 and B_2 of one window, over many copies of it."""
    objective, window, copies = OBJECTIVES[name][0], 3, 1500
    x_NT, nats, chance = all_costs(name)
    nats_UM = nats[window].numpy()
    pairs_UMM = math.log(2) - np.logaddexp(-nats_UM[:, :, None], -nats_UM[:, None])
    wanted = {1: float((nats_UM @ chance).sum()), 2: float(np.einsum("umn,m,n->", pairs_UMM, chance, chance))}
    x_WT = x_NT[window].expand(copies, -1)
    costs = order_costs(ask_network(net(objective)), objective, x_WT, 4, seed=1, first=0, vocab=VOCAB).numpy()
    for orders, mean in wanted.items():
        found = mixture_nats(costs, orders)
        assert abs(found.mean() - mean) < 4 * found.std() / math.sqrt(copies)


def test_windows_are_asked_in_the_orders_of_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are batched."""
    objective = kinds.MaskedConfig()
    ask, x_WT = ask_network(net(objective)), torch.randint(2, (5, 6), generator=torch.Generator().manual_seed(0))

    def costs(x: Tensor, first: int, seed: int = 0) -> Tensor:
        return order_costs(ask, objective, x, 3, seed=seed, first=first, vocab=VOCAB)

    whole = costs(x_WT, 7)
    assert not torch.equal(whole, costs(x_WT, 7, seed=1))
    assert not torch.equal(whole, costs(x_WT, 8))
    monkeypatch.setattr(passes, "cells_at_once", lambda _vocab: 4 * 6)
    parts = [costs(x, 7 + 2 * index) for index, x in enumerate(x_WT.split(2))]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if "span" not in name and "told" not in name])
def test_consistent_networks_have_no_slack(name: str) -> None:
    """Under the true posteriors every order costs the same, and nothing lies below the bound."""
    objective, length = OBJECTIVES[name]
    table = random_table(VOCAB, length)
    costs = order_costs(
        ask_log_probs(enumerated(table)), objective, all_sequences(VOCAB, length), 8, seed=0, first=0, vocab=VOCAB
    ).numpy()
    for orders in (1, 2, 8):
        np.testing.assert_allclose(mixture_nats(costs, orders), -table.flatten().log(), rtol=1e-9)


def test_the_head_sees_no_other_cells_and_says_the_same() -> None:
    objective = kinds.MaskedConfig()
    network = net(objective)
    x_BT = torch.tensor([[0, 1, 1], [1, 0, 1]])
    cells = torch.tensor([[True, False, True], [False, True, False]])
    view = masked_view(x_BT, cells, VOCAB)
    log_probs: LogProbs = network_log_probs(network)
    torch.testing.assert_close(ask_network(network)(view, cells), log_probs(view)[cells], rtol=1e-12, atol=1e-12)


def test_mixtures_fall_with_every_order_and_end_at_the_marginal() -> None:
    """B_K by all tuples of K orders: between the bound and -log p(x)."""
    _, nats, chance = all_costs("masked")
    nats_NM, many = nats[:, 0].numpy(), len(chance)

    def b(orders: int) -> np.ndarray:
        chosen = np.array(list(itertools.product(range(many), repeat=orders)))
        return (math.log(orders) - np.logaddexp.reduce(-nats_NM[:, chosen], axis=-1)).mean(1)

    values = np.stack([b(orders) for orders in (1, 2, 3, 4)])
    assert (np.diff(values, axis=0) < 0).all()
    assert (values > -np.log(np.exp(-nats_NM).mean(1))).all()


def test_mixtures_of_subsets() -> None:
    nats = np.random.default_rng(0).normal(10, 3, (5, 2, 8))
    np.testing.assert_allclose(mixture_nats(nats, 1), nats.sum(1).mean(-1))
    np.testing.assert_allclose(mixture_nats(nats, 8), -np.log(np.exp(-nats).mean(-1)).sum(1))
    falling = np.stack([mixture_nats(nats, orders) for orders in (1, 2, 4, 8)])
    assert (np.diff(falling, axis=0) < 0).all()
    for orders in (0, 9):
        with pytest.raises(ValueError, match="of 8 orders"):
            mixture_nats(nats, orders)


@pytest.mark.parametrize("orders", [2, 3, 4])
def test_subsets_are_unbiased(orders: int) -> None:
    """Of iid nats 0 or 3: B_K is a sum over a binomial, and the mean over disjoint subsets has it as its mean."""
    ones = np.arange(orders + 1)
    wanted = float(binom.pmf(ones, orders, 0.5) @ -np.log((ones * math.exp(-3) + orders - ones) / orders))
    found = mixture_nats(3.0 * np.random.default_rng(1).integers(0, 2, (4000, 1, 8)), orders)
    assert abs(found.mean() - wanted) < 4 * found.std() / math.sqrt(len(found))


@pytest.mark.parametrize(
    "objective", [kinds.ArConfig(), kinds.DigitsConfig(), kinds.SpanConfig(spans=WordSpans())], ids=lambda o: o.kind
)
def test_orders_that_look_at_the_text_are_refused(objective: kinds.Objective) -> None:
    with pytest.raises(UserError, match="in no order that is drawn blind to the text"):
        draw_orders(objective, 4, 2, generator(0))
