"""Questions about whole patches: what is asked, what it weighs, and what is expected of its cost."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from isobyte.backbone.blt.patchwise import END
from isobyte.backbone.mask import PatchesHidden
from isobyte.config.objective import (
    CosineSchedule,
    LinearSchedule,
    Objective,
    PatchArConfig,
    PatchMaskedConfig,
    PolynomialSchedule,
    Schedule,
)
from isobyte.config.patching import BytePatching, Patching, SpacePatching, StaticPatching
from isobyte.likelihood.oracle import all_sequences
from isobyte.likelihood.passes import Settings
from isobyte.likelihood.patchwise import left_to_right_nats
from isobyte.objective.base import cost_sum, network_log_probs, normalised
from isobyte.objective.draw import Draw
from isobyte.objective.patchwise import certain, grouping_of, patch_question, patch_targets, patch_weights
from isobyte.objective.training import training_questions
from patch_models import DECIDED, RULES, all_windows, grouping, patch_bound, patch_net

STARTS = torch.tensor([[True, False, False, True, False], [True, True, False, True, True]])
X = torch.tensor([[10, 11, 12, 13, 14], [20, 21, 22, 23, 24]])
BOTH = pytest.mark.parametrize("objective", [PatchMaskedConfig(), PatchArConfig()], ids=["masked", "ar"])


def test_targets_are_the_rest_of_the_patch_its_end_and_its_first_byte() -> None:
    assert patch_targets(X, STARTS).tolist() == [
        [11, 12, END, 14, END, 10, 13, *patch_targets(X, STARTS)[0, 7:].tolist()],
        [END, 22, END, END, END, 20, 21, 23, 24],
    ]
    mask = PatchesHidden(STARTS, None)
    assert mask.patch_BS.tolist() == [[0, 0, 0, 1, 1, 0, 1, 2, 3], [0, 1, 1, 2, 3, 0, 1, 2, 3]]
    assert (mask.patch_BS < mask.count_B[:, None]).tolist() == [[True] * 7 + [False] * 2, [True] * 9]


@pytest.mark.parametrize(
    ("rule", "masked", "ar"),
    [
        (SpacePatching(), [[], []], [[4], [4]]),
        (SpacePatching(max_length=3), [[2], []], [[2, 4], [4]]),
        (SpacePatching(max_length=2), [[1, 4], [2]], [[1, 4], [2, 4]]),
        (StaticPatching(size=3), [[0, 1, 2, 3, 4]] * 2, [[0, 1, 2, 3, 4]] * 2),
        (BytePatching(), [[0, 1, 2, 3, 4]] * 2, [[0, 1, 2, 3, 4]] * 2),
    ],
    ids=str,
)
def test_ends_cost_nothing_where_they_are_known_and_only_there(
    rule: Patching, masked: list[list[int]], ar: list[list[int]]
) -> None:
    """By rules that do not look at the text, at the greatest length, and from left to right with the window."""
    ends = {(0, 2), (0, 4), (1, 0), (1, 2), (1, 3), (1, 4)}
    for hidden, known in ((torch.ones(2, 4, dtype=torch.bool), masked), (None, ar)):
        mask = PatchesHidden(STARTS, hidden)
        assert [row.nonzero().flatten().tolist() for row in certain(rule, mask)] == known
        free = {(row, place) for row, places in enumerate(known) for place in places} & ends
        weights = patch_weights(rule, mask)
        assert {(row, place) for row, place in (weights[:, :5] == 0).nonzero().tolist()} == free
        assert weights[:, 5:].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


def test_what_is_shown_costs_nothing() -> None:
    hidden = torch.tensor([[False, True, True, True], [True, False, False, True]])
    weights = patch_weights(SpacePatching(), PatchesHidden(STARTS, hidden))
    assert weights.tolist() == [[0, 0, 0, 1, 1, 0, 1, 0, 0], [1, 0, 0, 0, 1, 1, 0, 0, 1]]


@dataclass(frozen=True)
class Coins(Draw):
    """Times [rows] and coins [rows, T] as told."""

    told: tuple[Any, Any] = ((), ())

    def times(self, per_row: int | None = None) -> Any:
        assert per_row is None
        return self.told[0]

    def uniform(self, name: str, *shape: int) -> Any:
        assert name == "mask"
        return self.told[1][:, : shape[0]]


@torch.no_grad()
@pytest.mark.parametrize(
    ("schedule", "rate", "within"),
    [
        (LinearSchedule(), lambda t: t, 1e-9),
        (PolynomialSchedule(power=2.0), lambda t: t**2, 1e-6),
        (CosineSchedule(), lambda t: np.cos(np.pi / 2 * (1 - t)), 1e-6),
    ],
    ids=["linear", "polynomial", "cosine"],
)
@pytest.mark.parametrize("rule", RULES)
def test_t7_t9_the_expected_cost_of_training_is_the_bound(
    rule: str, schedule: Schedule, rate: Callable[[Any], Any], within: float
) -> None:
    """Times by quadrature, coins by counting: all but the number of patches, at every schedule."""
    network = patch_net(RULES[rule], both_ways=True, seed=2)
    found = grouping_of(network)
    assert found is not None
    x = all_windows(5)[[11, 22]]
    nodes, shares = np.polynomial.legendre.leggauss(8 if within < 1e-8 else 24)
    nodes, shares = (nodes + 1) / 2, shares / 2
    bound = patch_bound(network_log_probs(network), found, x)
    for row in range(2):
        number = int(found.starts(x[row : row + 1]).sum())
        masks = all_sequences(2, number).bool().numpy()
        times, coins = np.repeat(nodes, len(masks)), np.tile(masks, (len(nodes), 1))
        p = rate(times)[:, None]
        chance = np.where(coins, p, 1 - p).prod(1) * np.repeat(shares, len(masks))
        told = np.pad(np.where(coins, -1.0, 2.0), ((0, 0), (0, 5 - number)), constant_values=-1)
        many = len(times)
        draw = Coins(0, 0, slice(0, many), many, told=(times, told))
        question = patch_question(PatchMaskedConfig(schedule=schedule), x[row].expand(many, -1), network, draw)
        assert question.weights_BT is not None
        view = question.view
        log_p = normalised(network.logits(network(view.inputs, view.mask)))
        nats = -log_p.gather(-1, question.targets_BT[..., None])[..., 0] * question.weights_BT
        expected = float((nats.sum(1) * torch.from_numpy(chance)).sum())
        assert expected == pytest.approx(float(bound[row]), rel=max(within, 1e-6))  # weights are single precision


@torch.no_grad()
@pytest.mark.parametrize("rule", DECIDED)
def test_drawn_coins_fall_as_often_as_the_time_says(rule: str) -> None:
    """Monte Carlo: of each patch, hidden with probability t, t uniform; patches of a row apart given t."""
    network, many = patch_net(RULES[rule], both_ways=True), 4000
    x = all_windows(5)[21].expand(many, -1)
    question = patch_question(PatchMaskedConfig(), x, network, Draw(4, 7, slice(0, many), many))
    assert isinstance(question.view.mask, PatchesHidden)
    hidden_BM = question.view.mask.hidden_BM
    assert hidden_BM is not None
    number = int(question.view.mask.count_B[0])
    assert hidden_BM.shape == (many, number)
    count = hidden_BM.sum(1)
    for k in range(number + 1):  # uniform: the integral of a binomial over t
        share = 1 / (number + 1)
        assert abs(int((count == k).sum()) - many * share) < 4 * math.sqrt(many * share * (1 - share))


@torch.no_grad()
@pytest.mark.parametrize("rule", RULES)
def test_left_to_right_training_asks_for_the_exact_likelihood(rule: str) -> None:
    network, x = patch_net(RULES[rule], both_ways=False, seed=1), all_windows(5)
    question = patch_question(PatchArConfig(), x, network, Draw(0, 0, slice(0, len(x)), len(x)))
    nats = left_to_right_nats(network_log_probs(network), x, Settings(2, 0, 256, grouping=grouping(RULES[rule])))
    assert float(cost_sum(network, question)) == pytest.approx(float(nats.sum()), rel=1e-6)


@torch.no_grad()
@BOTH
@pytest.mark.parametrize("rule", ["static", "space", "entropy-capped"])
@pytest.mark.parametrize("micro", [1, 4])
def test_pieces_of_a_batch_cost_what_the_batch_costs(objective: Objective, rule: str, micro: int) -> None:
    """Though a piece has fewer patches at most than all of them."""
    network = patch_net(RULES[rule], both_ways=isinstance(objective, PatchMaskedConfig), seed=4)
    x = all_windows(6)[[5, 63, 0, 17, 42, 33, 60, 8]]

    def cost(rows: slice) -> Tensor:
        (question,) = training_questions(objective, x[rows], network, Draw(3, 5, rows, 8))
        return cost_sum(network, question)

    pieces = [cost(slice(start, start + micro)) for start in range(0, 8, micro)]
    torch.testing.assert_close(torch.stack(pieces).sum(), cost(slice(0, 8)), rtol=1e-6, atol=0)


@BOTH
def test_every_weight_learns_something(objective: Objective) -> None:
    both_ways = isinstance(objective, PatchMaskedConfig)
    network = patch_net(RULES["space"], both_ways=both_ways, decoder_input="embedding")
    x = all_windows(6)
    (question,) = training_questions(objective, x, network, Draw(3, 5, slice(0, 64), 64))
    cost_sum(network, question).backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert idle == []
    assert (network.unseen is not None) == both_ways
