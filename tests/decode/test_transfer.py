"""Transfer rules on opinions made by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from isobyte.config.schedule import CosineSchedule, LinearSchedule
from isobyte.decode import transfer
from isobyte.decode.noise import Noise
from isobyte.decode.remask import Remask
from isobyte.decode.transfer import Clock, Step, Stepper


def opinions(*sure: float) -> Tensor:
    """[1, T, 2] of which each cell's likeliest symbol has probability `sure`."""
    return torch.tensor([[[p, 1 - p] for p in sure]], dtype=torch.float64).log()


def step(log: Tensor, hidden: list[int] | None = None, coins: Tensor | None = None, number: int = 0) -> Step:
    width = log.shape[1]
    open_ = torch.tensor([hidden or [1] * width]).bool()
    return Step(log, open_, torch.tensor([number]), torch.zeros(1, width) if coins is None else coins)


def chosen(rule: transfer.Rule, at: Step) -> list[int]:
    return rule(at)[0].nonzero().flatten().tolist()


def test_threshold_takes_all_that_are_sure_and_at_least_one() -> None:
    at = step(opinions(0.95, 0.6, 0.9, 0.8))
    assert chosen(transfer.threshold(0.9), at) == [0, 2]
    assert chosen(transfer.threshold(1.1), at) == [0]
    assert chosen(transfer.threshold(0.9), step(opinions(0.95, 0.6, 0.7), [0, 1, 1])) == [2]


def test_factor_takes_the_largest_n_its_formula_allows() -> None:
    """Of 0.99, 0.9, 0.7 sure: 2 * 0.01, 3 * 0.1, 4 * 0.3."""
    log = opinions(0.7, 0.99, 0.9)
    assert chosen(transfer.factor(0.31), step(log)) == [1, 2]
    assert chosen(transfer.factor(0.29), step(log)) == [1]
    assert chosen(transfer.factor(0.01), step(log)) == [1]
    assert chosen(transfer.factor(1.3), step(log)) == [0, 1, 2]
    assert chosen(transfer.factor(1.3), step(log, [1, 0, 1])) == [0, 2]


def test_entropy_bound_is_the_sum_less_the_largest() -> None:
    log = opinions(0.5, 0.99, 0.9)
    h = -(log.exp() * log).sum(-1)[0]
    assert chosen(transfer.entropy_bounded(0.0), step(log)) == [1]
    assert chosen(transfer.entropy_bounded(float(h[1]) + 1e-3), step(log)) == [1, 2]
    assert chosen(transfer.entropy_bounded(float(h[1]) - 1e-3), step(log)) == [1]
    assert chosen(transfer.entropy_bounded(float(h[1] + h[2]) + 1e-3), step(log)) == [0, 1, 2]
    assert chosen(transfer.entropy_bounded(0.0), step(log, [1, 0, 1])) == [2]


def test_a_sum_of_entropies_takes_the_largest_one_too() -> None:
    log = opinions(0.5, 0.99, 0.9)
    h = -(log.exp() * log).sum(-1)[0]
    assert chosen(transfer.entropy_summed(0.0), step(log)) == [1], "one at least"
    assert chosen(transfer.entropy_summed(0.0), step(opinions(0.9, 1.0, 1.0))) == [1, 2], "and as much as the bound"
    assert chosen(transfer.entropy_summed(float(h[1] + h[2]) - 1e-3), step(log)) == [1]
    assert chosen(transfer.entropy_summed(float(h[1] + h[2]) + 1e-3), step(log)) == [1, 2]
    assert chosen(transfer.entropy_summed(float(h.sum()) + 1e-3), step(log)) == [0, 1, 2]
    assert chosen(transfer.entropy_summed(float(h.sum()) + 1e-3), step(log, [1, 0, 1])) == [0, 2]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), rows=st.integers(1, 3), cells=st.integers(1, 9), gamma=st.floats(0, 4))
def test_sums_of_entropies_are_those_of_plain_words(data: st.DataObject, rows: int, cells: int, gamma: float) -> None:
    """Cells by rising entropy, the first of those that tie first, while their sum stays within the bound."""
    sure = st.sampled_from([0.5, 0.75, 0.9, 0.99, 1.0]) | st.floats(0.5, 1.0)
    p = [[data.draw(sure) for _ in range(cells)] for _ in range(rows)]
    hidden = [[data.draw(st.booleans()) for _ in range(cells)] for _ in range(rows)]
    log = torch.tensor([[[each, 1 - each] for each in row] for row in p], dtype=torch.float64).log()
    at = Step(log, torch.tensor(hidden), torch.zeros(rows), torch.zeros(rows, cells))
    found = transfer.entropy_summed(gamma)(at)
    for row in range(rows):
        entropy = [round(-sum(q * math.log(q) for q in (each, 1 - each) if q > 0) * 2**20) for each in p[row]]
        expected, total = set(), 0
        for cell in sorted((n for n in range(cells) if hidden[row][n]), key=lambda n: (entropy[n], n)):
            total += entropy[cell]
            if expected and total > gamma * 2**20:
                break
            expected.add(cell)
        assert set(found[row].nonzero()[:, 0].tolist()) == expected


def test_ties_but_for_rounding_are_ties() -> None:
    log = opinions(0.75, 0.75, 0.75)
    noisy = log + torch.tensor([1e-9, -1e-9, 2e-9])[None, :, None]
    bounded = (transfer.entropy_bounded(0.0), transfer.entropy_summed(0.0))
    for rule in (transfer.threshold(1.1), transfer.factor(1e-6), *bounded):
        assert chosen(rule, step(noisy)) == chosen(rule, step(log)) == [0]


@pytest.mark.parametrize("schedule", [LinearSchedule(), CosineSchedule()])
def test_reveal_probabilities_telescope(schedule: LinearSchedule | CosineSchedule) -> None:
    """What survives all steps is nothing; what survives the first k is p at their end."""
    p = transfer.reveal_probability(schedule, torch.arange(7), 5)
    assert (p[4:] == 1).all()
    t = 1 - torch.arange(1, 5).double() / 5
    expected = t if isinstance(schedule, LinearSchedule) else torch.cos(torch.pi / 2 * (1 - t))
    torch.testing.assert_close((1 - p[:4]).cumprod(0), expected)


def test_first_hitting_takes_the_highest_coin() -> None:
    coins = torch.tensor([[0.1, 0.9, 0.5]])
    assert chosen(transfer.first_hitting, step(opinions(0.5, 0.5, 0.5), coins=coins)) == [1]
    assert chosen(transfer.first_hitting, step(opinions(0.5, 0.5, 0.5), [1, 0, 1], coins)) == [2]


def test_blocks_are_finished_in_turn_and_each_begins_at_step_zero() -> None:
    seen: list[tuple[list[int], int]] = []

    def rule(at: Step) -> Tensor:
        seen.append((at.hidden_WT[0].nonzero().flatten().tolist(), int(at.step_W[0])))
        return transfer.first_hitting(at)

    stepper = Stepper(rule, Noise(0), Clock(1, torch.device("cpu")), block=2)
    hidden = torch.tensor([[True, True, False, True, True]])
    while hidden.any():
        hidden = hidden & ~stepper(torch.zeros(1, 5, 2), hidden)
    assert [cells for cells, _ in seen[::2]] == [[0, 1], [3]]
    assert [number for _, number in seen] == [0, 1, 0, 0]


def test_remasking_keeps_the_marginals() -> None:
    """alpha_s = P(visible at t) (1 - sigma) + P(hidden at t) P(revealed), for every step of every variant."""
    for variant in ("cap", "rescale", "loop"):
        remask = Remask(variant, 0.3, 50)
        alpha = 0.0
        for k in range(50):
            alpha_t, alpha_s, sigma = remask.rates(k)
            assert alpha_t == pytest.approx(alpha, abs=1e-9)
            shown = (alpha_s - (1 - sigma) * alpha_t) / (1 - alpha_t)
            assert -1e-12 <= sigma <= min(1, (1 - alpha_s) / max(alpha_t, 1e-12)) + 1e-12
            assert -1e-12 <= shown <= 1 + 1e-12
            alpha = alpha_t * (1 - sigma) + (1 - alpha_t) * shown
        assert alpha == pytest.approx(1)


def test_the_loop_remasks_only_while_it_holds() -> None:
    remask = Remask("loop", 0.02, 100)
    held = [k for k in range(100) if remask.rates(k)[2] > 0]
    assert held == list(range(45, 95))
    assert remask.rates(60)[:2] == (0.9, 0.9)
