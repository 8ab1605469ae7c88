"""Walks: what is asked step by step, through caches, is what one pass over the whole answers; and it is a code."""

import pytest
import torch
from torch import Tensor

from isobyte.backbone.flat import FlatModel
from isobyte.config import objective as kinds
from isobyte.config.backbone import FlatConfig
from isobyte.errors import UserError
from isobyte.objective.any_order import order_view
from isobyte.objective.ar import ar_view
from isobyte.objective.base import View, network_log_probs
from isobyte.objective.block import block_view
from isobyte.objective.eso import diffusion_view, sequential_view
from isobyte.objective.network import build_network
from isobyte.objective.order import Order
from isobyte.objective.walk import Reveal, Walk, blind_walk, drive, masked_walk, symbol_walk
from isobyte.objective.walk_digits import consistent_log_probs, digit_by_digit

VOCAB, LENGTH = 6, 10
OBJECTIVES = [
    kinds.ArConfig(),
    kinds.MaskedConfig(),
    kinds.MaskedConfig(time_conditioning=True),
    kinds.AnyOrderConfig(),
    kinds.BlockConfig(block=1),
    kinds.BlockConfig(block=4),
    kinds.BlockConfig(block=16),
    kinds.EsoConfig(alpha0=0.5),
    kinds.EsoConfig(alpha0=0.5, cached=False),
    kinds.EsoConfig(alpha0=0.0),
    kinds.EsoConfig(alpha0=1.0),
    kinds.DigitsConfig(),
]
ORDERS = [Order("left_to_right"), Order("random", 2), Order("confidence"), Order("margin", 3), Order("entropy")]


def net(objective: kinds.Objective, vocab: int = VOCAB) -> FlatModel:
    """Float64, of confident random opinions."""
    model = build_network(FlatConfig(layers=2, width=24, heads=2), objective, vocab).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
                weight.copy_(noise * 1.5 / weight.shape[-1] ** 0.5)
    return model


def windows(count: int = 3, vocab: int = VOCAB, length: int = LENGTH) -> Tensor:
    return torch.randint(vocab, (count, length), generator=torch.Generator().manual_seed(2))


def hidden(x: Tensor, vocab: int = VOCAB) -> Tensor:
    return torch.full_like(x, vocab)


def nats_of(walk: Walk, x_WT: Tensor) -> Tensor:
    """[W] the cost of x along the walk; everything is asked once."""
    nats, asked = torch.zeros(len(x_WT), dtype=torch.float64), torch.zeros_like(x_WT)

    def answer(reveal: Reveal) -> Tensor:
        symbols = x_WT[reveal.rows, reveal.places]
        torch.testing.assert_close(reveal.log_NV.logsumexp(-1).double(), torch.zeros(len(symbols)).double())
        nats.index_add_(0, reveal.rows, -reveal.log_NV[torch.arange(len(symbols)), symbols].double())
        asked[reveal.rows, reveal.places] += 1
        return symbols

    whole = drive(walk, answer)
    assert torch.equal(whole, x_WT)
    assert (asked == 1).all()
    return nats


def at(log_probs: Tensor, x_WT: Tensor) -> Tensor:
    return log_probs.gather(-1, x_WT[..., None]).squeeze(-1)


@torch.no_grad()
def test_autoregression_through_the_cache_is_one_pass() -> None:
    model, x = net(kinds.ArConfig()), windows()
    whole = -at(network_log_probs(model)(ar_view(x, VOCAB)), x).sum(-1)
    torch.testing.assert_close(nats_of(symbol_walk(kinds.ArConfig(), model, hidden(x), Order()), x), whole)


@torch.no_grad()
def test_any_order_through_the_cache_is_one_pass() -> None:
    model, x, order = net(kinds.AnyOrderConfig()), windows(), Order(seed=4)
    order_WT = order.permutation(LENGTH).expand(3, -1)
    whole = -at(network_log_probs(model)(order_view(x, order_WT, VOCAB)), x.gather(1, order_WT)).sum(-1)
    torch.testing.assert_close(nats_of(symbol_walk(kinds.AnyOrderConfig(), model, hidden(x), order), x), whole)


@torch.no_grad()
@pytest.mark.parametrize("block", [1, 3, 4, 16])
def test_blocks_through_the_cache_are_the_training_view(block: int) -> None:
    """Left to right in each block: before symbol i, those of its block from i on are hidden."""
    config = kinds.BlockConfig(block=block)
    model, x = net(config), windows()
    expected = torch.zeros(3, dtype=torch.float64)
    for place in range(LENGTH):
        masked = (torch.arange(LENGTH) >= place).expand(3, -1)
        expected -= at(network_log_probs(model)(block_view(x, masked, block, VOCAB)), x)[:, place]
    torch.testing.assert_close(nats_of(symbol_walk(config, model, hidden(x), Order("left_to_right")), x), expected)


@torch.no_grad()
@pytest.mark.parametrize("cached", [True, False])
def test_eso_step_by_step_is_the_training_view(cached: bool) -> None:
    """Each symbol's cost is that which training asks for, given the same symbols revealed in the same order."""
    config, x, order = kinds.EsoConfig(alpha0=0.5, cached=cached), windows(), Order(seed=3)
    model = net(config)
    sequence: list[int] = []

    def note(reveal: Reveal) -> Tensor:
        sequence.append(int(reveal.places[0]))
        costs.append(-at(reveal.log_NV, x[reveal.rows, reveal.places]))
        return x[reveal.rows, reveal.places]

    costs: list[Tensor] = []
    drive(symbol_walk(config, model, hidden(x), order), note)
    keys = torch.tensor(sequence).argsort().expand(3, -1) / LENGTH
    falls = [i for i in range(1, LENGTH) if sequence[i] < sequence[i - 1]]
    assert 0 < falls[-1] < LENGTH, "a random phase, and one from left to right"

    def masked_from(start: int) -> Tensor:
        masked = torch.zeros(3, LENGTH, dtype=torch.bool)
        masked[:, sequence[start:]] = True
        return masked

    for step, place in enumerate(sequence):
        views = [diffusion_view(x, masked_from(step), keys, VOCAB, cached=cached)]
        for phase in range(falls[-1], step + 1):
            views.append(sequential_view(x, masked_from(phase), keys, VOCAB, cached=cached))
        found = [-at(network_log_probs(model)(view), x)[:, place] for view in views]
        assert any(torch.allclose(costs[step], each) for each in found), (step, place)


@torch.no_grad()
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_every_walk_is_a_code(objective: kinds.Objective, order: Order) -> None:
    """Summed over all windows the probabilities of a walk make one: the Kraft sum of an exact likelihood."""
    length, vocab = 4, 3
    model = net(objective, vocab)
    x = torch.cartesian_prod(*[torch.arange(vocab)] * length)
    nats = nats_of(symbol_walk(objective, model, hidden(x, vocab), order), x)
    torch.testing.assert_close((-nats).exp().sum(), torch.tensor(1.0).double(), rtol=1e-9, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("digits", [None, 2])
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_digit_by_digit_is_a_code(digits: int | None, order: Order) -> None:
    config, vocab, length = kinds.DigitsConfig(digits=digits), 5, 3
    model = net(config, vocab)
    assert model.codes is not None
    x = torch.cartesian_prod(*[torch.arange(vocab)] * length)
    d = model.codes[x].flatten(1)
    nats = torch.zeros(len(x), dtype=torch.float64)

    def answer(reveal: Reveal) -> Tensor:
        found = d[reveal.rows, reveal.places]
        nats.index_add_(0, reveal.rows, -at(reveal.log_NV, found))
        return found

    walk = digit_by_digit(consistent_log_probs(model), model.codes, hidden(x, vocab), order.choose)
    assert torch.equal(drive(walk, answer), x)
    torch.testing.assert_close((-nats).exp().sum(), torch.tensor(1.0).double(), rtol=1e-9, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_what_is_given_is_kept_and_rows_do_not_meet(objective: kinds.Objective) -> None:
    """Ragged prompts and gaps: each row walks as it would alone, and only what is hidden is asked."""
    model, x = net(objective), windows(4)
    given = x.clone()
    given[0, 3:] = VOCAB
    given[1, :] = VOCAB
    given[2, 2:5] = VOCAB

    def run(rows: slice) -> tuple[Tensor, dict[tuple[int, int], Tensor]]:
        seen: dict[tuple[int, int], Tensor] = {}

        def answer(reveal: Reveal) -> Tensor:
            for row, place, log in zip(reveal.rows.tolist(), reveal.places.tolist(), reveal.log_NV, strict=True):
                assert given[rows][row, place] == VOCAB
                seen[row + rows.start, place] = log
            return (reveal.places * 7 + 1) % VOCAB

        return drive(symbol_walk(objective, model, given[rows], Order("random", 2, seed=1)), answer), seen

    together, asked = run(slice(0, 4))
    assert torch.equal(together[given < VOCAB], x[given < VOCAB])
    assert (together < VOCAB).all()
    assert len(asked) == int((given == VOCAB).sum())
    for row in range(4):
        alone, own = run(slice(row, row + 1))
        assert torch.equal(alone[0], together[row])
        for key, log in own.items():
            torch.testing.assert_close(log, asked[key])


def test_a_view_of_two_copies_shows_the_network_nothing_else() -> None:
    view = block_view(windows(), torch.ones(3, LENGTH, dtype=torch.bool), 4, VOCAB)
    assert isinstance(view, View)
    assert (view.inputs[:, :LENGTH] == VOCAB).all()


def test_orders_that_do_not_exist_or_look_at_the_answer_are_refused() -> None:
    with pytest.raises(UserError, match="never at what is hidden"):
        Order("oracle")
    with pytest.raises(UserError, match="at least 1"):
        Order("confidence", 0)


@torch.no_grad()
@pytest.mark.parametrize("rule", ["random", "left_to_right"])
@pytest.mark.parametrize("told", [False, True])
def test_a_blind_walk_asks_the_head_for_no_more_and_gets_the_same(rule: str, told: bool) -> None:
    config = kinds.MaskedConfig(time_conditioning=told)
    model, x, order = net(config), windows(), Order(rule, 3, seed=2)
    full = masked_walk(network_log_probs(model), hidden(x), VOCAB, order.choose, told_rate=told)
    torch.testing.assert_close(nats_of(blind_walk(model, hidden(x), order, told_rate=told), x), nats_of(full, x))
