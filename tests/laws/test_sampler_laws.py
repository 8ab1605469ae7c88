"""T13: samplers draw from the laws they should, by chi-square against enumeration."""

import itertools

import pytest
import torch
from laws_decode import FEWER, LENGTH, VOCAB, assert_law, differs, drawn, everything, hidden, net, walk_nats
from torch import Tensor

from isobyte.backbone.flat import FlatModel
from isobyte.backbone.mask import BIDIRECTIONAL
from isobyte.config import objective as kinds
from isobyte.decode.methods import Settings
from isobyte.decode.sample import sample
from isobyte.objective.base import View, network_log_probs
from isobyte.objective.order import Order
from isobyte.objective.walk import Reveal, any_order_walk, block_walk, drive, symbol_walk
from isobyte.objective.walk_digits import consistent_log_probs, digit_by_digit

MASKED = kinds.MaskedConfig()
EXACT = [
    kinds.ArConfig(),
    kinds.AnyOrderConfig(),
    kinds.EsoConfig(alpha0=0.5),
    kinds.EsoConfig(alpha0=0.5, cached=False),
    kinds.EsoConfig(alpha0=0.0),
    kinds.EsoConfig(alpha0=1.0),
]


def cost(model: FlatModel, x_WT: Tensor, masked_WT: Tensor, scored_WT: Tensor) -> Tensor:
    """[W] nats of the scored symbols, given those that are not masked."""
    log = network_log_probs(model)(View(torch.where(masked_WT, VOCAB, x_WT), BIDIRECTIONAL))
    return -(log.gather(-1, x_WT[..., None]).squeeze(-1) * scored_WT).sum(-1)


@torch.no_grad()
def any_order_law(model: FlatModel) -> Tensor:
    """The mean over all orders of the product of conditionals."""
    x = everything()
    law, orders = torch.zeros(len(x), dtype=torch.float64), list(itertools.permutations(range(LENGTH)))
    for order in orders:
        nats = torch.zeros_like(law)
        for k, place in enumerate(order):
            masked = torch.zeros_like(x, dtype=torch.bool)
            masked[:, list(order[k:])] = True
            nats += cost(model, x, masked, torch.arange(LENGTH) == place)
        law += (-nats).exp() / len(orders)
    return law


@torch.no_grad()
def ancestral_law(model: FlatModel, probabilities: list[float]) -> Tensor:
    """Enumerates every sequence of sets revealed, a coin per hidden cell and step; the last probability is 1."""
    x = everything()

    def go(step: int, masked: tuple[bool, ...]) -> Tensor:
        if not any(masked):
            return torch.ones(len(x), dtype=torch.float64)
        law = torch.zeros(len(x), dtype=torch.float64)
        p, now = probabilities[step], torch.tensor(masked).expand(len(x), -1)
        for shown in itertools.product(*[(False, True) if m else (False,) for m in masked]):
            chance = p ** sum(shown) * (1 - p) ** (sum(masked) - sum(shown))
            if chance > 0:
                left = tuple(m and not s for m, s in zip(masked, shown, strict=True))
                law += chance * (-cost(model, x, now, torch.tensor(shown))).exp() * go(step + 1, left)
        return law

    return go(0, (True,) * LENGTH)


def test_first_hitting_is_the_any_order_law_and_many_steps_approach_it() -> None:
    model = net(MASKED)
    law = any_order_law(model)
    assert_law(drawn(MASKED, model, Settings("first-hitting")), law)
    assert_law(drawn(MASKED, model, Settings("cached-ancestral", steps=400, seed=1), draws=FEWER), law)
    assert differs(drawn(MASKED, model, Settings("cached-ancestral", steps=2)), law)


def test_one_step_is_the_product_of_the_marginals() -> None:
    model = net(MASKED)
    log = network_log_probs(model)(View(hidden(1), BIDIRECTIONAL))[0]
    law = log.gather(-1, everything().T).sum(0).exp()
    assert_law(drawn(MASKED, model, Settings("ancestral", steps=1)), law.detach())


@pytest.mark.parametrize("grid", ["linear", "cosine"])
def test_few_steps_have_the_law_of_their_grid(grid: str) -> None:
    model = net(MASKED)
    p = {"linear": [1 / 3, 1 / 2, 1.0], "cosine": [1 - 3**0.5 / 2, 1 - 3**-0.5, 1.0]}
    law = ancestral_law(model, p[grid])
    found = drawn(MASKED, model, Settings("ancestral", steps=3, grid=grid))
    assert_law(found, law)
    assert differs(found, any_order_law(model))


@torch.no_grad()
@pytest.mark.parametrize("objective", EXACT, ids=str)
def test_samples_follow_their_walk(objective: kinds.Objective) -> None:
    model = net(objective)
    law = (-walk_nats(symbol_walk(objective, model, hidden(8), Order(seed=5)), everything())).exp()
    assert_law(drawn(objective, model, Settings(seed=5)), law)


@torch.no_grad()
def test_any_order_from_left_to_right() -> None:
    objective = kinds.AnyOrderConfig()
    model = net(objective)
    law = (-walk_nats(any_order_walk(model, hidden(8), torch.arange(LENGTH)), everything())).exp()
    assert_law(drawn(objective, model, Settings("left-to-right")), law)


@torch.no_grad()
@pytest.mark.parametrize("rule", ["left-to-right", "confidence", "margin", "entropy"])
@pytest.mark.parametrize(
    "objective", [MASKED, kinds.BlockConfig(block=2), kinds.BlockConfig(block=1), kinds.DigitsConfig()], ids=str
)
def test_deterministic_rules_follow_their_walk(objective: kinds.Objective, rule: str) -> None:
    model = net(objective)
    order = Order(rule.replace("-", "_"), 2)
    law = (-walk_nats(symbol_walk(objective, model, hidden(8), order), everything())).exp()
    assert_law(drawn(objective, model, Settings(rule, per_step=2)), law)


@torch.no_grad()
def test_random_reveals_inside_blocks_are_the_mixture_over_orders() -> None:
    """Blocks of 2 in windows of 3: the first two in either order, then the third."""
    objective, x = kinds.BlockConfig(block=2), everything()
    model = net(objective)
    law = torch.zeros(len(x), dtype=torch.float64)
    for order in ((0, 1), (1, 0)):
        place_of = -torch.tensor(order).argsort().double()

        def choose(log: Tensor, is_hidden: Tensor, keys: Tensor = place_of) -> Tensor:
            best = keys[: log.shape[1]].expand(len(log), -1).masked_fill(~is_hidden, -9).argmax(-1)
            return torch.nn.functional.one_hot(best, log.shape[1]).bool()

        law += (-walk_nats(block_walk(model, hidden(8), 2, choose), x)).exp() / 2
    assert_law(drawn(objective, model, Settings("first-hitting")), law)
    at_once = (-walk_nats(block_walk(model, hidden(8), 2, lambda _, is_hidden: is_hidden), x)).exp()
    assert_law(drawn(objective, model, Settings("ancestral", steps=1)), at_once)


@torch.no_grad()
def test_blocks_of_a_masked_model_are_finished_in_turn() -> None:
    model = net(MASKED)
    by_one = drawn(MASKED, model, Settings("first-hitting", block=1))
    law = walk_nats(symbol_walk(MASKED, model, hidden(8), Order("left_to_right")), everything())
    assert_law(by_one, (-law).exp())
    assert_law(drawn(MASKED, model, Settings("first-hitting", block=3)), any_order_law(model))


@torch.no_grad()
def test_digit_by_digit_follows_its_walk() -> None:
    """Five symbols in three bits: some codes are no symbol, and never arise."""
    objective, vocab = kinds.DigitsConfig(), 5
    model = net(objective, vocab, seed=3)
    assert model.codes is not None
    codes, x = model.codes, everything(vocab, 2)
    nats = torch.zeros(len(x), dtype=torch.float64)
    d = codes[x].flatten(1)
    walk = digit_by_digit(consistent_log_probs(model), codes, hidden(len(x), 2, vocab), Order("entropy").choose)

    def answer(reveal: Reveal) -> Tensor:
        found = d[reveal.rows, reveal.places]
        nats.index_add_(0, reveal.rows, -reveal.log_NV.gather(-1, found[:, None]).squeeze(-1))
        return found

    drive(walk, answer)
    got = sample(objective, model, hidden(FEWER, 2, vocab), Settings("entropy", by_digit=True, seed=1))
    found = torch.bincount((got.x_WT * torch.tensor([vocab, 1])).sum(-1), minlength=vocab**2)
    enough = (-nats).exp() * FEWER > 5
    law = torch.cat(((-nats).exp()[enough], (-nats).exp()[~enough].sum()[None] + 1e-12))
    found = torch.cat((found[enough], found[~enough].sum()[None]))
    statistic = ((found - law * FEWER) ** 2 / (law * FEWER).clamp_min(1)).sum()
    assert statistic < 2 * len(law) + 20
    torch.testing.assert_close((-nats).exp().sum(), torch.tensor(1.0).double())


@torch.no_grad()
def test_digits_in_the_published_way_and_one_by_one_approach_one_law() -> None:
    """Of symbols that are one digit it is ancestral sampling; of more, many steps reveal the digits one by one."""
    objective, vocab = kinds.DigitsConfig(), 4
    model = net(objective, vocab, seed=3)
    slow = drawn(objective, model, Settings("published", steps=100), vocab, 6000)
    single = drawn(objective, model, Settings("first-hitting", by_digit=True, seed=1), vocab, 6000)
    pooled = (slow + single) / 2
    statistic = float((((slow - pooled) ** 2 + (single - pooled) ** 2) / pooled.clamp_min(1)).sum())
    few = drawn(objective, model, Settings("published", steps=1), vocab, 6000)
    other = (few + single) / 2
    assert statistic < 63 + 4 * (2 * 63) ** 0.5 < float((((few - other) ** 2) * 2 / other.clamp_min(1)).sum())


@torch.no_grad()
def test_published_sampling_of_one_digit_is_ancestral() -> None:
    objective, vocab = kinds.DigitsConfig(digits=1), 3
    model = net(objective, vocab)
    one = sample(objective, model, hidden(5000, 6, vocab), Settings("published", steps=4))
    other = sample(objective, model, hidden(5000, 6, vocab), Settings("ancestral", steps=4))
    assert torch.equal(one.x_WT, other.x_WT)
