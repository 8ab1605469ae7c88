"""The estimator is unbiased and honest about its error; the training loss expects the bound."""

import math

import numpy as np
import pytest
import torch
from small import measure as score
from small import random_net, random_table

from isobyte.config.objective import (
    AnyOrderConfig,
    ArConfig,
    BlockConfig,
    CosineSchedule,
    LinearSchedule,
    MaskedConfig,
    Objective,
    PolynomialSchedule,
    Schedule,
)
from isobyte.likelihood import oracle, passes
from isobyte.likelihood.count_stratified import masked_nats, stratified_counts, window_masks
from isobyte.likelihood.enumeration import enumerated_bound
from isobyte.objective.base import Question, View, cost_sum, network_log_probs
from isobyte.objective.draw import Draw
from isobyte.objective.schedule import mask_probability, weight
from isobyte.objective.training import training_questions, window_length

LENGTH = 6


def asked(config: MaskedConfig, x: torch.Tensor, vocab: int, draw: Draw) -> Question:
    (question,) = training_questions(config, x, random_net(vocab), draw)
    return question


PREDICTOR = oracle.enumerated(random_table(2, LENGTH, seed=8))


@pytest.mark.parametrize(("length", "passes"), [(1, 4), (6, 1), (6, 4), (6, 16), (256, 8)])
def test_every_pass_asks_for_every_count_equally_often(length: int, passes: int) -> None:
    counts = np.stack([stratified_counts(first, length, passes) for first in range(1, length + 1)])
    for each in counts.T:
        np.testing.assert_array_equal(np.sort(each), np.arange(1, length + 1))


@pytest.mark.parametrize(("length", "passes"), [(256, 8), (100, 7), (5, 12)])
def test_counts_spread_evenly_over_the_passes_of_one_window(length: int, passes: int) -> None:
    for first in (1, 2, length):
        counts = np.sort(stratified_counts(first, length, passes))
        gaps = np.diff(np.append(counts, counts[0] + length))
        assert set(gaps) <= {length // passes, -(-length // passes)}


def test_masks_of_one_count_are_uniform() -> None:
    drawn = [window_masks(4, 2, seed, 0) for seed in range(4000)]
    masks = np.concatenate([mask.reshape(-1, 4) for mask, _ in drawn])
    counts = np.concatenate([count.ravel() for _, count in drawn])
    np.testing.assert_array_equal(masks.sum(1), counts)
    codes = np.bincount(masks @ (1 << np.arange(4)), minlength=16)[1:]
    sizes = np.array([bin(code).count("1") for code in range(1, 16)])
    expected = len(masks) / 4 / np.array([math.comb(4, k) for k in sizes])
    assert (((codes - expected) ** 2) / expected).sum() < 36.1, "chi-square, 14 degrees of freedom, p = 0.001"


def test_estimate_is_unbiased_and_halves_are_independent() -> None:
    x = torch.tensor([[0, 1, 1, 0, 1, 0], [1, 1, 1, 1, 0, 0]])
    truth = enumerated_bound(PREDICTOR, x, 2)
    draws = torch.stack([masked_nats(PREDICTOR, x, 2, passes=4, seed=s, first_window=0) for s in range(1500)])
    error = draws.mean((0, 2)) - truth
    assert (error.abs() < 4 * draws.mean(2).std(0) / math.sqrt(1500)).all()
    correlation = np.corrcoef(draws[:, 0, 0], draws[:, 0, 1])[0, 1]
    assert abs(correlation) < 4 / math.sqrt(1500)


def test_estimate_does_not_depend_on_how_windows_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).integers(0, 2, (10, LENGTH))
    sizes = np.full(10, LENGTH)
    pieces = [(x[:3], sizes[:3]), (x[3:], sizes[3:])]
    whole = score(PREDICTOR, MaskedConfig(), [(x, sizes)], 2, passes=4, seed=1)
    monkeypatch.setattr(passes, "cells_at_once", lambda _vocab: 7)
    split = score(PREDICTOR, MaskedConfig(), pieces, 2, passes=4, seed=1)
    assert whole.nats == pytest.approx(split.nats, rel=1e-12)
    assert whole.stderr == pytest.approx(split.stderr, rel=1e-12)
    assert (whole.bytes, whole.symbols, whole.windows, whole.nfe) == (60, 60, 10, 40)


@pytest.mark.parametrize("objective", [MaskedConfig(), ArConfig(), AnyOrderConfig(), BlockConfig(block=8)], ids=str)
def test_a_small_alphabet_fills_a_call_no_more_than_bytes_do(objective: Objective) -> None:
    """Hidden states are as many however few the symbols are: bits once took twelve gigabytes to be scored."""
    seen = {}
    for vocab in (2, 256):
        calls = seen[vocab] = []

        def uniform(view: View, vocab: int = vocab, calls: list[int] = calls) -> torch.Tensor:
            calls.append(view.inputs.numel())
            return torch.full((*view.inputs.shape, vocab), -math.log(vocab))

        x = np.zeros((8, 512), np.int64)
        score(uniform, objective, [(x, np.full(8, 512))], vocab, passes=16, seed=0)
    assert seen[2] == seen[256]
    assert max(seen[2]) <= 1 << 16


@torch.no_grad()
def test_two_standard_errors_cover_the_bound_nineteen_times_in_twenty() -> None:
    net = network_log_probs(random_net(2))
    x = np.random.default_rng(1).integers(0, 2, (40, LENGTH))
    truth = float(enumerated_bound(net, torch.from_numpy(x), 2).sum())
    windows = [(x, np.full(40, LENGTH))]
    values = [score(net, MaskedConfig(), windows, 2, passes=4, seed=seed) for seed in range(400)]
    off = np.array([(v.nats - truth) / math.log(2) / v.bytes for v in values])
    stderr = np.array([v.stderr for v in values])
    covered = (np.abs(off) < 2 * stderr).mean()
    assert 0.915 < covered < 0.985, "within 3 binomial deviations of 0.95"
    assert stderr.mean() == pytest.approx(off.std(), rel=0.1)
    assert abs(off.mean()) < 4 * off.std() / math.sqrt(len(off))


def test_text_standard_error_is_that_of_the_mean_over_windows() -> None:
    draw = np.random.default_rng(2)
    p = np.array([0.8, 0.2])
    log_probs = oracle.iid(torch.from_numpy(p))
    values = []
    for _ in range(200):
        x = (draw.random((30, LENGTH)) > p[0]).astype(np.int64)
        values.append(score(log_probs, MaskedConfig(), [(x, np.full(30, LENGTH))], 2, passes=2, seed=0))
    bpb = np.array([v.bpb for v in values])
    assert np.mean([v.stderr_text for v in values]) == pytest.approx(bpb.std(), rel=0.2)


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("micro", [1, 2])
def test_ranks_and_micro_batches_share_one_stratified_draw(world: int, micro: int) -> None:
    config, batch = MaskedConfig(), 8
    x = torch.randint(5, (batch, 9), generator=torch.Generator().manual_seed(0))
    whole = asked(config, x, 5, Draw(3, 11, slice(0, batch), batch))
    share = batch // world
    for start in range(0, batch, micro if world == 1 else share):
        rows = slice(start, start + (micro if world == 1 else share))
        part = asked(config, x[rows], 5, Draw(3, 11, rows, batch))
        assert torch.equal(part.view.inputs, whole.view.inputs[rows])
        assert part.weights_BT is not None
        assert whole.weights_BT is not None
        assert torch.equal(part.weights_BT, whole.weights_BT[rows])


def test_times_fill_every_stratum_of_the_global_batch_once() -> None:
    for step in range(20):
        times = Draw(0, step, slice(0, 16), 16).times()
        assert ((times > 0) & (times <= 1)).all()
        np.testing.assert_array_equal(np.sort(np.ceil(times * 16)), np.arange(1, 17))
    assert not np.array_equal(Draw(0, 0, slice(0, 4), 4).times(), Draw(0, 1, slice(0, 4), 4).times())
    assert not np.array_equal(Draw(0, 0, slice(0, 4), 4).times(), Draw(1, 0, slice(0, 4), 4).times())


SCHEDULES = [LinearSchedule(), CosineSchedule(), PolynomialSchedule(power=2)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.kind)
def test_weight_is_the_logarithmic_slope_of_the_mask_probability(schedule: Schedule) -> None:
    t = torch.linspace(0.01, 1, 50, dtype=torch.float64, requires_grad=True)
    p = mask_probability(schedule, t)
    (slope,) = torch.autograd.grad(p.sum(), t)
    torch.testing.assert_close(weight(schedule, t), slope / p)
    assert float(mask_probability(schedule, torch.tensor(1.0))) == 1
    assert abs(float(mask_probability(schedule, torch.tensor(0.0)))) < 1e-7


@torch.no_grad()
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.kind)
def test_training_loss_is_the_bound_per_symbol_in_expectation(schedule: Schedule) -> None:
    config, length, batch = MaskedConfig(schedule=schedule), 5, 2048
    model = random_net(4, 3)
    x = torch.tensor([[2, 0, 3, 3, 1]])
    truth = float(enumerated_bound(network_log_probs(model), x, 4)) / length
    losses = []
    for step in range(40):
        question = asked(config, x.expand(batch, length), 4, Draw(0, step, slice(0, batch), batch))
        losses.append(float(cost_sum(model, question)) / (batch * length))
    stderr = np.std(losses, ddof=1) / math.sqrt(len(losses))
    assert stderr < 0.01 * truth
    assert abs(np.mean(losses) - truth) < 4 * stderr


def test_cut_windows_have_every_length_and_their_share_of_the_steps() -> None:
    config = MaskedConfig(random_length=0.25)
    lengths = np.array([window_length(config, 8, seed=0, step=step) for step in range(4000)])
    counts = np.bincount(lengths, minlength=9)[1:]
    assert counts[:7] == pytest.approx(np.full(7, 4000 * 0.25 / 8), rel=0.35)
    assert (lengths == 8).mean() == pytest.approx(0.75 + 0.25 / 8, abs=0.03)
    assert {window_length(MaskedConfig(), 8, seed=0, step=step) for step in range(50)} == {8}
