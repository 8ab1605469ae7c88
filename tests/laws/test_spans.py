"""Spans that the text decides: the mask gives their boundaries away, so they are paid for or the number is a score."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small import random_net, truth
from torch import Tensor

from isobyte.config.objective import SpanConfig
from isobyte.config.spans import WordSpans
from isobyte.errors import UserError
from isobyte.likelihood import oracle
from isobyte.likelihood.boundaries import CLASSES, SINCE, BoundaryCoder, contexts
from isobyte.likelihood.estimator import Settings, build_estimator, companions, estimators
from isobyte.objective.base import LogProbs, View, network_log_probs
from isobyte.objective.span import span_starts

WORDS = SpanConfig(spans=WordSpans())
LETTERS = b"a "
T = 6


def in_bytes(log_probs: LogProbs) -> LogProbs:
    """A network over the two letters, shown and asked for bytes."""
    ids = torch.tensor(list(LETTERS))

    def asked(view: View) -> Tensor:
        small = torch.full_like(view.inputs, 2)
        for index, byte in enumerate(LETTERS):
            small[view.inputs == byte] = index
        log_BTV = torch.full((*small.shape, 256), -torch.inf, dtype=torch.float64)
        log_BTV[..., ids] = log_probs(View(small, view.mask)).double()
        return log_BTV

    return asked


SMALL = oracle.all_sequences(2, T)
X = torch.tensor(list(LETTERS))[SMALL]


def starts_of(x: Tensor) -> np.ndarray:
    return span_starts(WORDS.spans, x.numpy(), np.zeros(x.shape))


class Told:
    """The best that a network can make of what masks of spans show: the masked symbols, given which are hidden
    *because the spans end there*, are those of a text whose own words are masked just so."""

    def __init__(self) -> None:
        starts = torch.from_numpy(starts_of(X))
        self.index = starts.cumsum(1) - 1

    def __call__(self, view: View) -> Tensor:
        hidden = view.inputs == 256
        out = torch.zeros(*view.inputs.shape, 256, dtype=torch.float64)
        for row, (inputs, mask) in enumerate(zip(view.inputs, hidden, strict=True)):
            fits = ((inputs == X) | mask).all(1)
            for each in fits.nonzero().flatten():
                words = self.index[each]
                fits[each] = all(mask[words == w].all() or not mask[words == w].any() for w in words.unique())
            out[row] = torch.nn.functional.one_hot(X[fits], 256).double().mean(0)
        return out.log()


def test_t8_unpaid_words_exceed_kraft_and_paid_ones_do_not() -> None:
    """Expected failure: over all texts of six letters, a or space, an unpaid score sums to more than one."""
    log_probs = Told()
    unpaid = truth((WORDS, "span-unpaid"), log_probs, X, 256)
    assert float((-unpaid).exp().sum()) > 1.2
    coder = BoundaryCoder.fit(starts_of(X))
    paid = unpaid + torch.from_numpy(coder.nats(starts_of(X)))
    assert 0.05 < float((-paid).exp().sum()) <= 1


@torch.no_grad()
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_t8_paid_words_of_random_networks_keep_kraft(seed: int) -> None:
    log_probs = in_bytes(network_log_probs(random_net(2, seed)))
    coder = BoundaryCoder.fit(starts_of(X))
    paid = truth((WORDS, "span-unpaid"), log_probs, X, 256) + torch.from_numpy(coder.nats(starts_of(X)))
    assert 0.01 < float((-paid).exp().sum()) <= 1 + 1e-9


@torch.no_grad()
def test_t9_the_paid_estimate_is_the_boundaries_and_the_score() -> None:
    log_probs = in_bytes(network_log_probs(random_net(2, 3)))
    coder = BoundaryCoder.fit(starts_of(X))
    x, copies = X[37], 1500
    assert starts_of(x[None]).sum() > 1
    settings = Settings(4, 2, 256, boundaries=coder)
    rows = x.expand(copies, -1)
    paid = build_estimator(WORDS, settings).nats(log_probs, rows, 0)
    unpaid = build_estimator(WORDS, settings, "span-unpaid").nats(log_probs, rows, 0)
    torch.testing.assert_close(paid - unpaid, torch.full_like(paid, float(coder.nats(starts_of(x[None]))[0])))
    nats = unpaid.mean(1)
    expected = float(truth((WORDS, "span-unpaid"), log_probs, x[None], 256))
    assert abs(float(nats.mean()) - expected) < 4 * float(nats.std()) / math.sqrt(copies)


def test_kinds_say_what_is_paid() -> None:
    kinds = {name: build(Settings(2, 0, 256)).kind for name, build in estimators(WORDS).items()}
    assert next(iter(kinds)) == "span"
    assert kinds["span"] == "bound"
    assert kinds["span-unpaid"] == "score"
    assert kinds["count-stratified"] == "bound"
    assert "span-unpaid" not in estimators(SpanConfig())
    assert companions(SpanConfig()) == ["count-stratified"]


def test_words_without_a_code_for_their_boundaries_are_refused() -> None:
    with pytest.raises(UserError, match="boundaries"):
        build_estimator(WORDS, Settings(2, 0, 256)).nats(oracle.uniform(256), X[:1], 0)


@pytest.mark.parametrize("length", [1, 2, 8])
def test_boundary_code_is_causal_and_sums_to_one(length: int) -> None:
    draw = np.random.default_rng(0)
    coder = BoundaryCoder.fit(draw.random((50, 40)) < 0.3)
    free = oracle.all_sequences(2, length - 1).bool().numpy() if length > 1 else np.zeros((1, 0), bool)
    starts = np.concatenate([np.ones((len(free), 1), bool), free], axis=1)
    assert np.exp(-coder.nats(starts)).sum() == pytest.approx(1, abs=1e-12)
    if length > 1:
        seen = contexts(starts)
        for place in range(length - 1):
            keys = [tuple(row) for row in starts[:, : place + 1]]
            assert all(seen[i, place] == seen[keys.index(key), place] for i, key in enumerate(keys))


def test_boundary_code_learns_lengths_survives_a_file_and_refuses_a_bad_one(tmp_path: Path) -> None:
    starts = np.tile(np.arange(48) % 6 == 0, (200, 1))
    coder = BoundaryCoder.fit(starts)
    assert coder.nats(starts).max() < 0.1, "regular words are free"
    assert coder.nats(np.ones((1, 48), bool))[0] > 30
    assert coder.counts_C2.shape == (SINCE * CLASSES, 2)
    coder.save(tmp_path / "boundaries.safetensors")
    again = BoundaryCoder.load(tmp_path / "boundaries.safetensors")
    assert torch.equal(again.counts_C2, coder.counts_C2)
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    for name in ("bad.safetensors", "none.safetensors"):
        with pytest.raises(UserError, match="cannot be read"):
            BoundaryCoder.load(tmp_path / name)


def test_long_spans_share_a_context() -> None:
    starts = np.zeros((1, 200), bool)
    starts[0, [0, 50, 51]] = True
    found = contexts(starts)[0]
    assert found.max() < SINCE * CLASSES
    assert found[0] == 0
    assert found[60] == (10 - 1) * CLASSES + 1, "ten symbols since the last boundary, a span of one before it"
    assert found[-1] == (SINCE - 1) * CLASSES + 1
