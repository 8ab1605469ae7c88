"""Bits per byte are bits over raw bytes, whatever the windows and whatever the symbols."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import measure as score
from small import random_net
from torch import Tensor

from isobyte.backbone.mask import CAUSAL
from isobyte.config.objective import (
    AnyOrderConfig,
    ArConfig,
    BlockConfig,
    EsoConfig,
    MaskedConfig,
    Objective,
    SpanConfig,
)
from isobyte.config.representation import BpeConfig, ByteDigitsConfig, BytesConfig
from isobyte.data.stream import Stream
from isobyte.data.window import EvalWindows
from isobyte.errors import UserError
from isobyte.likelihood import oracle
from isobyte.likelihood.value import Likelihood
from isobyte.objective.base import View, network_log_probs
from isobyte.representation import Representation, build

P = np.array([0.5, 0.25, 0.15, 0.1])
OBJECTIVES: list[Objective] = [
    ArConfig(), MaskedConfig(), SpanConfig(), BlockConfig(block=4), AnyOrderConfig(), EsoConfig(),
]  # fmt: skip
STREAM = np.random.default_rng(0).choice(4, size=203, p=P)


def measure(
    stream: np.ndarray,
    length: int,
    objective: Objective,
    p: np.ndarray = P,
    bytes_each: int = 1,
) -> Likelihood:
    """Whole windows, then the last partial one at its true length."""
    whole = len(stream) // length * length
    windows = [stream[:whole].reshape(-1, length)] if whole else []
    windows += [stream[None, whole:]] if whole < len(stream) else []
    sized = [(x, np.full(len(x), x.shape[1] * bytes_each)) for x in windows]
    return score(oracle.iid(torch.from_numpy(p)), objective, sized, len(p), passes=8, seed=0)


@settings(deadline=None)
@given(length=st.integers(1, 250))
def test_windows_and_the_last_partial_one_sum_to_the_stream(length: int) -> None:
    value = measure(STREAM, length, ArConfig())
    assert value.bytes == value.symbols == len(STREAM)
    assert value.windows == math.ceil(len(STREAM) / length)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.kind)
@pytest.mark.parametrize("length", [1, 7, 64, 203, 500])
def test_independent_data_cost_the_same_in_windows_of_any_length(objective: Objective, length: int) -> None:
    surprise = -np.log2(P)[STREAM].mean()
    value = measure(STREAM, length, objective)
    if value.kind == "exact":
        assert value.bpb == pytest.approx(surprise, rel=1e-12)
    # over one window the standard error has one degree of freedom
    assert abs(value.bpb - surprise) <= (4 if value.windows > 3 else 16) * value.stderr + 1e-12


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.kind)
def test_a_tokenizer_matters_through_its_bytes_alone(objective: Objective) -> None:
    """The same bytes as pairs: half the symbols, twice the cost of each, the same bits per byte."""
    stream = STREAM[:202]
    pairs = stream[0::2] * 4 + stream[1::2]
    single = measure(stream, 50, objective)
    paired = measure(pairs, 25, objective, p=np.outer(P, P).ravel(), bytes_each=2)
    assert paired.bytes == single.bytes == 202
    assert paired.symbols == 101
    assert paired.bpb == pytest.approx(single.bpb, abs=1e-12 + 4 * math.hypot(paired.stderr, single.stderr))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.kind)
@pytest.mark.parametrize("window", [7, 30])
def test_a_law_of_bytes_costs_the_same_through_every_representation(objective: Objective, window: int) -> None:
    """Each symbol at the cost of its bytes: windows, partial windows and symbols drop out of the result."""
    text = "ein Fuß, zwei Füße; le pied, les pieds. ".encode() * 5 + bytes(range(256))
    log_p = torch.log_softmax(torch.linspace(0, 5, 256, dtype=torch.float64), 0)
    for representation in (build(BytesConfig(), []), build(BpeConfig(vocab_size=270), [text])):
        vocab = representation.vocab_size
        cost = torch.stack([log_p[list(representation.decode(np.array([i])))].sum() for i in range(vocab)])

        def log_probs(view: View, cost: Tensor = cost) -> Tensor:
            asked = view.inputs.shape[1] if view.asked is None else view.asked
            return cost.expand(len(view.inputs), asked, len(cost))

        windows = EvalWindows(Stream.of([text[:200], text[200:]], representation), window)
        value = score(log_probs, objective, windows.batches(4), vocab, passes=64, seed=0)
        assert value.bytes == len(text)
        expected = float(-log_p[list(text)].sum()) / math.log(2) / len(text)
        assert value.bpb == pytest.approx(expected, abs=1e-12 + 4 * value.stderr)
        assert value.stderr < 0.01 * expected


DIGITS = [build(ByteDigitsConfig(base=base)) for base in (2, 4, 16)]
BASES = pytest.mark.parametrize("digits", DIGITS, ids=["bits", "bit pairs", "nibbles"])
TEXT = "ein Fuß, zwei Füße; le pied, les pieds. ".encode() + bytes(range(0, 256, 5))


@BASES
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.kind)
def test_who_knows_nothing_pays_eight_bits_a_byte(objective: Objective, digits: Representation) -> None:
    """Through windows of three bytes, and a partial one."""
    assert len(TEXT) % 3
    windows = EvalWindows(Stream.of([TEXT], digits), 3 * digits.digits_per_byte)
    value = score(
        oracle.uniform(digits.vocab_size), objective, windows.batches(4), digits.vocab_size, passes=32, seed=0
    )
    assert (value.bytes, value.symbols) == (len(TEXT), len(TEXT) * digits.digits_per_byte)
    assert value.bpb == pytest.approx(8, abs=1e-9 + 4 * value.stderr)
    assert value.stderr < 0.1


@BASES
@pytest.mark.parametrize(
    "objective", [ArConfig(), MaskedConfig(), BlockConfig(block=2), AnyOrderConfig(), EsoConfig()], ids=lambda o: o.kind
)
def test_who_knows_a_law_of_bytes_pays_the_same_for_their_digits(objective: Objective, digits: Representation) -> None:
    """One digit after another, in any order: by the chain rule each byte costs its own surprise."""
    log_p = torch.log_softmax(torch.linspace(0, 5, 256, dtype=torch.float64), 0)
    base, length = digits.vocab_size, digits.digits_per_byte
    log_probs = oracle.enumerated(log_p.exp().view([base] * length))
    value = score(
        log_probs, objective, EvalWindows(Stream.of([TEXT], digits), length).batches(64), base, passes=64, seed=0
    )
    expected = float(-log_p[list(TEXT)].sum()) / math.log(2) / len(TEXT)
    assert value.bytes == value.windows == len(TEXT)
    assert value.bpb == pytest.approx(expected, abs=1e-9 + 4 * value.stderr)
    assert value.stderr < 0.02 * expected


@torch.no_grad()
@BASES
def test_autoregression_over_digits_is_a_distribution_over_bytes(digits: Representation) -> None:
    """The product over a byte's digits, each asked for alone; over all 256 bytes these products sum to one."""
    base, length = digits.vocab_size, digits.digits_per_byte
    log_probs = network_log_probs(random_net(base))
    x_WT = torch.from_numpy(digits.encode(bytes(range(256))).reshape(256, length).astype(np.int64))
    nats = np.zeros(256)
    for place in range(length):
        known = torch.cat((torch.full((256, 1), base), x_WT[:, :place]), 1)
        nats -= log_probs(View(known, CAUSAL))[:, -1].gather(1, x_WT[:, place, None])[:, 0].numpy()
    assert np.exp(-nats).sum() == pytest.approx(1, abs=1e-12)
    assert nats.std() > 0.1
    windows = EvalWindows(Stream.of([TEXT], digits), length).batches(16)
    value = score(log_probs, ArConfig(), windows, base, passes=2, seed=0)
    assert value.bpb == pytest.approx(nats[list(TEXT)].mean() / math.log(2), abs=1e-12)


def test_no_text_is_the_users_to_mend() -> None:
    with pytest.raises(UserError, match="no text"):
        score(oracle.uniform(4), ArConfig(), [], 4, passes=2, seed=0)


def test_bits_per_byte_are_nats_over_ln_2_over_bytes() -> None:
    value = measure(STREAM[:64], 32, ArConfig(), bytes_each=3)
    assert value.bytes == 192
    assert value.bpb == value.nats / math.log(2) / 192
    assert value.to_json()["bpb"] == value.bpb
