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
from isobyte.backbone.blt.patches import Patches
from isobyte.backbone.mask import Blocked, PatchBlocks
from isobyte.config.objective import ArConfig, BltDiffusionConfig
from isobyte.config.patching import Patching, SpacePatching
from isobyte.evaluate.kraft import kraft_sums
from isobyte.evaluate.leak import leak
from isobyte.likelihood.codec import Codec
from isobyte.likelihood.route import Route
from isobyte.objective.ar import ar_view
from isobyte.objective.base import network_log_probs
from isobyte.objective.order import Order

WINDOW = 12
MODELS = {
    "entropy": blt(entropy_patching(cap=4), sharp=2),
    "space": blt(SpacePatching(), sharp=2),
    "blocks": blt(entropy_patching(cap=4), sharp=2, cells=True, decoder_input="embedding"),
}
OBJECTIVES = {name: BltDiffusionConfig(block=3) if name == "blocks" else ArConfig() for name in MODELS}
EACH = pytest.mark.parametrize("name", ["entropy", "blocks"])


def codec(name: str) -> Codec:
    return Codec(OBJECTIVES[name], MODELS[name], Route(Order("left_to_right"), WINDOW, 3))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(MODELS)), st.binary(max_size=60))
def test_any_bytes_come_back(name: str, data: bytes) -> None:
    symbols = np.frombuffer(data, np.uint8).astype(np.int64)
    payload, length = codec(name).encode(symbols)
    assert np.array_equal(codec(name).decode(payload, len(symbols)), symbols)
    assert 8 * len(payload) <= length.bits * 1.005 + 64 * 8


@torch.inference_mode()
@EACH
def test_the_code_length_is_the_exact_likelihood(name: str) -> None:
    model = MODELS[name]
    symbols = torch.randint(256, (5, WINDOW), generator=torch.Generator().manual_seed(0))
    log_BTV = network_log_probs(model)(ar_view(symbols, model.vocab))
    nats = -log_BTV.gather(-1, symbols[..., None]).sum().item()
    length = codec(name).code_length(symbols.flatten().numpy())
    assert abs(length.model_bits - nats / np.log(2)) < 1e-2


@torch.inference_mode()
@EACH
def test_windows_of_two_bytes_have_probability_one_in_all(name: str) -> None:
    model = MODELS[name]
    sums = kraft_sums(network_log_probs(model), OBJECTIVES[name], model.vocab)
    assert all(abs(value - 1) < 1e-5 for value in sums.values())
    assert sums


X_BT = torch.tensor(list(b"the quick brown fox jumps over the lazy dog and ")).view(4, WINDOW)


@torch.inference_mode()
def test_no_byte_moves_its_own_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same check finds the classic mistake: a byte that reads the latent of its own patch."""
    model = MODELS["space"]
    assert leak(network_log_probs(model), ArConfig(), model, X_BT) < 1e-4

    def too_early(starts: Tensor) -> Patches:
        right = Patches.of(starts)
        own = torch.where(right.of_byte_N < starts.shape[0] * right.per_row, right.of_byte_N, right.read_N)
        return dataclasses.replace(right, read_N=own)

    monkeypatch.setattr("isobyte.backbone.blt.model.Patches", SimpleNamespace(of=too_early))
    assert leak(network_log_probs(model), ArConfig(), model, X_BT) > 1e-2


@torch.inference_mode()
@pytest.mark.parametrize("patching", [SpacePatching(), entropy_patching(cap=4)], ids=lambda rule: rule.kind)
def test_no_hidden_cell_is_told_by_its_byte(patching: Patching, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though patches after it move. And the mistake of blocks is found: cells that see the byte they begin with."""
    model, objective = blt(patching, cells=True), BltDiffusionConfig(block=3)
    assert leak(network_log_probs(model), objective, model, X_BT) < 1e-4

    def beyond(length: int, blocks: PatchBlocks, window: int | None) -> Blocked:
        begins_BJ = torch.where(blocks.begins_BJ < 0, -1, blocks.begins_BJ + 1)
        return Blocked(length, PatchBlocks(begins_BJ, blocks.size), window)

    monkeypatch.setattr("isobyte.backbone.blt.model.Blocked", beyond)
    assert leak(network_log_probs(model), objective, model, X_BT) > 1e-2
