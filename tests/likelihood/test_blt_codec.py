"""Law 3 for networks of patches: what they think of a text is a code length, and it decodes."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from blt_models import blt, entropy_patching
from isobyte.backbone.blt.network import BltNetwork
from isobyte.backbone.blt.patches import Patches
from isobyte.config.objective import ArConfig
from isobyte.config.patching import SpacePatching
from isobyte.evaluate.kraft import kraft_sums
from isobyte.evaluate.leak import leak
from isobyte.likelihood.codec import Codec
from isobyte.likelihood.route import Route
from isobyte.objective.ar import ar_view
from isobyte.objective.base import network_log_probs
from isobyte.objective.order import Order

WINDOW = 12
MODELS = {"entropy": blt(entropy_patching(cap=4), sharp=2), "space": blt(SpacePatching(), sharp=2)}


def codec(model: BltNetwork) -> Codec:
    return Codec(ArConfig(), model, Route(Order("left_to_right"), WINDOW, 3))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(MODELS)), st.binary(max_size=60))
def test_any_bytes_come_back(name: str, data: bytes) -> None:
    symbols = np.frombuffer(data, np.uint8).astype(np.int64)
    payload, length = codec(MODELS[name]).encode(symbols)
    assert np.array_equal(codec(MODELS[name]).decode(payload, len(symbols)), symbols)
    assert 8 * len(payload) <= length.bits * 1.005 + 64 * 8


@torch.inference_mode()
def test_the_code_length_is_the_exact_likelihood() -> None:
    model = MODELS["entropy"]
    symbols = torch.randint(256, (5, WINDOW), generator=torch.Generator().manual_seed(0))
    log_BTV = network_log_probs(model)(ar_view(symbols, model.vocab))
    nats = -log_BTV.gather(-1, symbols[..., None]).sum().item()
    length = codec(model).code_length(symbols.flatten().numpy())
    assert abs(length.model_bits - nats / np.log(2)) < 1e-2


@torch.inference_mode()
def test_windows_of_two_bytes_have_probability_one_in_all() -> None:
    model = MODELS["entropy"]
    sums = kraft_sums(network_log_probs(model), ArConfig(), model.vocab)
    assert all(abs(value - 1) < 1e-5 for value in sums.values())
    assert sums


@torch.inference_mode()
def test_no_byte_moves_its_own_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same check finds the classic mistake: a byte that reads the latent of its own patch."""
    model = MODELS["space"]
    words = torch.tensor(list(b"the quick brown fox jumps over the lazy dog and "))
    x_BT = words.view(4, WINDOW)
    assert leak(network_log_probs(model), ArConfig(), model, x_BT) < 1e-4

    def too_early(starts: Tensor) -> Patches:
        right = Patches.of(starts)
        own = torch.where(right.of_byte_N < starts.shape[0] * right.per_row, right.of_byte_N, right.read_N)
        return dataclasses.replace(right, read_N=own)

    monkeypatch.setattr("isobyte.backbone.blt.model.Patches", SimpleNamespace(of=too_early))
    assert leak(network_log_probs(model), ArConfig(), model, x_BT) > 1e-2
