"""Law 3 for networks that say whole patches: their likelihoods are code lengths, and they decode."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isobyte.config.objective import PatchArConfig, PatchMaskedConfig
from isobyte.errors import UserError
from isobyte.likelihood.codec import Codec, groups
from isobyte.likelihood.estimator import Settings, build_estimator
from isobyte.likelihood.patch_counts import PatchCounts
from isobyte.likelihood.route import Route, plan_route
from isobyte.objective.base import network_log_probs
from isobyte.objective.order import Order
from isobyte.objective.patchwise import grouping_of
from patch_models import RULES, patch_net, shape_of

WINDOW = 8
COUNTS = PatchCounts(torch.arange(WINDOW) ** 2)
CASES = [(rule, kind) for rule in RULES for kind in ("patch_ar", "patch_masked")]
TEXT = np.frombuffer(b"a bb ccc, dddd eeeee ffffff a b c d e  ggggggggggg hh.aaaa aa a", np.uint8)
"""63 bytes: seven windows and seven bytes."""


@cache
def codec(rule: str, kind: str) -> Codec:
    objective = PatchMaskedConfig() if kind == "patch_masked" else PatchArConfig()
    model = patch_net(RULES[rule], both_ways=kind == "patch_masked").float()
    return Codec(objective, model, Route(Order("left_to_right"), WINDOW, 3), counts=COUNTS)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from(CASES),
    st.one_of(st.binary(max_size=30), st.text("ab ", max_size=30).map(str.encode)),
)
def test_any_bytes_come_back(case: tuple[str, str], data: bytes) -> None:
    symbols = np.frombuffer(data, np.uint8)
    payload, length = codec(*case).encode(symbols)
    assert np.array_equal(codec(*case).decode(payload, len(symbols)), symbols)
    assert len(payload) <= length.bits / 8 + 9


@pytest.mark.parametrize(("rule", "kind"), CASES)
@pytest.mark.parametrize("count", [1, WINDOW, WINDOW + 1, len(TEXT)])
def test_whole_windows_and_what_is_left_come_back(rule: str, kind: str, count: int) -> None:
    payload, _ = codec(rule, kind).encode(TEXT[:count])
    assert np.array_equal(codec(rule, kind).decode(payload, count), TEXT[:count])


@torch.inference_mode()
@pytest.mark.parametrize(("rule", "kind"), CASES)
def test_the_code_length_is_the_exact_likelihood(rule: str, kind: str) -> None:
    coder = codec(rule, kind)
    told = Settings(2, 0, 256, counts=COUNTS, grouping=grouping_of(coder.network))
    way = build_estimator(coder.objective, told, "patch-order" if kind == "patch_masked" else "exact")
    assert way.kind == "exact"
    nats = 0.0
    for start, rows, length in groups(len(TEXT), coder.route):
        x_WT = torch.from_numpy(TEXT[start : start + rows * length].astype(np.int64)).view(rows, length)
        nats += float(way.nats(network_log_probs(coder.network), x_WT, start)[:, 0].sum())
    found = coder.code_length(TEXT)
    assert found.model_bits * np.log(2) == pytest.approx(nats, rel=1e-5)
    assert found.bits == pytest.approx(found.model_bits, rel=2e-3)


def test_the_number_of_patches_is_paid_for_once_a_window() -> None:
    """Of seven whole windows by the code, and of the last one uniformly."""
    coder = codec("space", "patch_masked")
    dear = Codec(coder.objective, coder.network, coder.route, counts=PatchCounts(torch.zeros(WINDOW).long()))
    grouping = grouping_of(coder.network)
    assert grouping is not None
    starts = grouping.starts(torch.from_numpy(TEXT[:56].astype(np.int64)).view(7, WINDOW))
    more = 7 * np.log2(WINDOW) - float(COUNTS.nats(starts).sum()) / np.log(2)
    assert dear.code_length(TEXT).model_bits - coder.code_length(TEXT).model_bits == pytest.approx(more, abs=1e-3)


@pytest.mark.parametrize(("rule", "kind"), CASES)
def test_a_payload_of_something_else_ends_well(rule: str, kind: str) -> None:
    """In as many bytes, or a ValueError: never another error, and never no end."""
    draw = np.random.default_rng(0)
    for _ in range(5):
        try:
            found = codec(rule, kind).decode(draw.bytes(64), WINDOW + 3)
        except ValueError:
            continue
        assert len(found) == WINDOW + 3


def test_there_is_no_file_without_a_code_for_the_number_of_patches() -> None:
    coder = codec("space", "patch_masked")
    with pytest.raises(UserError, match="their number"):
        Codec(coder.objective, coder.network, coder.route).encode(TEXT)


def test_progress_ends_at_one() -> None:
    told: list[float] = []
    codec("space", "patch_masked").encode(TEXT, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("objective", [PatchMaskedConfig(), PatchArConfig()])
def test_there_is_one_order(objective: PatchMaskedConfig | PatchArConfig) -> None:
    shape = shape_of(RULES["space"])
    assert plan_route(objective, shape, 256, WINDOW).order.rule == "left_to_right"
    with pytest.raises(UserError, match="no order but"):
        plan_route(objective, shape, 256, WINDOW, rule="confidence")
    with pytest.raises(UserError, match="one symbol a step"):
        plan_route(objective, shape, 256, WINDOW, per_step=2)
