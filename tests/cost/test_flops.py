"""Analytic FLOPs are those that run, parameters those that exist, memory about that which autograd keeps."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from isobyte.backbone import fused
from isobyte.backbone.flat import FlatModel, initialise
from isobyte.config.backbone import FlatConfig
from isobyte.config.objective import (
    AnyOrderConfig,
    ArConfig,
    BlockConfig,
    DigitsConfig,
    EsoConfig,
    MaskedConfig,
    Objective,
    SpanConfig,
)
from isobyte.cost.flops import cells, flat_flops
from isobyte.cost.memory import network_memory
from isobyte.cost.parameters import flat_parameters
from isobyte.errors import UserError
from isobyte.objective.base import cost_sum
from isobyte.objective.draw import Draw
from isobyte.objective.network import build_network
from isobyte.objective.training import training_questions

OBJECTIVES = pytest.mark.parametrize(
    "objective",
    [
        ArConfig(),
        MaskedConfig(),
        MaskedConfig(time_conditioning=True),
        SpanConfig(),
        BlockConfig(block=1),
        BlockConfig(block=4),
        AnyOrderConfig(),
        EsoConfig(alpha0=0.3),
        EsoConfig(alpha0=0.3, cached=False),
        EsoConfig(alpha0=1.0),
        DigitsConfig(),
        DigitsConfig(digits=2, loss="joint", merge="cat", consistent=False),
        DigitsConfig(digits=2, loss="symbol", merge="cat-share"),
    ],
    ids=str,
)
SHAPES = pytest.mark.parametrize(
    "shape",
    [
        FlatConfig(layers=1, width=8, heads=1),
        FlatConfig(layers=2, width=24, heads=3, ffn=40),
        FlatConfig(layers=3, width=32, heads=4, kv_heads=2),
        FlatConfig(layers=2, width=48, heads=6, kv_heads=1, ffn=64),
    ],
    ids=lambda s: f"{s.layers}x{s.width}/{s.heads}:{s.n_kv_heads}",
)
TIED = pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
BATCH, WINDOW, VOCAB = 4, 10, 17


def net(shape: FlatConfig, objective: Objective, attention: str = "explicit") -> FlatModel:
    model = build_network(shape, objective, VOCAB, attention)
    initialise(model, 0)
    return model


def loss(model: FlatModel, objective: Objective, window: int = WINDOW) -> torch.Tensor:
    x = torch.randint(VOCAB, (BATCH, window), generator=torch.Generator().manual_seed(0))
    questions = training_questions(objective, x, model, Draw(0, 0, slice(0, BATCH), BATCH))
    return torch.stack([cost_sum(model, question) for question in questions]).sum()


@OBJECTIVES
@SHAPES
@TIED
@pytest.mark.parametrize("window", [1, WINDOW])
def test_flops_are_those_executed(objective: Objective, shape: FlatConfig, tied: bool, window: int) -> None:
    shape = shape.model_copy(update={"tied": tied})
    if tied and objective.kind == "digits":
        with pytest.raises(UserError, match="a head cannot reuse a table of digits"):
            net(shape, objective)
        return
    model = net(shape, objective)
    flops = flat_flops(shape, objective, vocab=VOCAB, window=window)
    executed = flops.forward - flops.attention + flops.attention_executed
    with FlopCounterMode(display=False) as forward:
        cost = loss(model, objective, window)
    assert forward.get_total_flops() == BATCH * executed
    with FlopCounterMode(display=False) as backward:
        cost.backward()
    sinusoids_need_no_gradient = 2 * shape.width**2 if objective.time_conditioning else 0
    constant = 2 * flops.code_filter + flops.code_marginals
    assert backward.get_total_flops() == BATCH * (2 * executed - sinusoids_need_no_gradient - constant)
    assert flops.training == 3 * flops.forward - constant


@OBJECTIVES
@SHAPES
def test_breakdown_sums_to_the_total(objective: Objective, shape: FlatConfig) -> None:
    flops = flat_flops(shape, objective, vocab=VOCAB, window=WINDOW)
    named = flops.breakdown()
    assert sum(named.values()) - named["attention_executed"] == pytest.approx(flops.forward, rel=1e-12)
    assert (named["conditioning"] > 0) == objective.time_conditioning


@pytest.mark.parametrize("window", [1, 2, 10, 2048])
def test_useful_attention_is_the_mean_number_of_visible_keys(window: int) -> None:
    shape = FlatConfig(layers=2, width=24, heads=3)
    causal = flat_flops(shape, ArConfig(), vocab=VOCAB, window=window)
    full = flat_flops(shape, MaskedConfig(), vocab=VOCAB, window=window)
    assert causal.attention == causal.attention_executed * (window + 1) / (2 * window)
    assert full.attention == full.attention_executed == causal.attention_executed
    assert cells(ArConfig(), window).pairs == sum(range(1, window + 1))
    assert cells(MaskedConfig(), window).pairs == window**2


@OBJECTIVES
@pytest.mark.parametrize("window", [1, 6, 10])
def test_pairs_are_those_that_the_masks_let_through(objective: Objective, window: int) -> None:
    """Exactly, or on average where the mask is random."""
    model, x = net(FlatConfig(layers=1, width=24, heads=1), objective), torch.zeros(4, window, dtype=torch.long)
    seen, steps = [], 600 if objective.kind == "eso" else 1
    for step in range(steps):
        views = [q.view for q in training_questions(objective, x, model, Draw(0, step, slice(0, 4), 4))]
        pairs = [v.mask.dense(v.inputs.shape[1]).expand(len(v.inputs), 1, -1, -1).sum().item() for v in views]
        seen.append(sum(pairs) / 4)
    stderr = float(np.std(seen)) / len(seen) ** 0.5
    assert abs(np.mean(seen) - cells(objective, window).pairs) <= 4 * stderr + 1e-9


@OBJECTIVES
@SHAPES
@TIED
def test_parameters_are_those_of_the_model(objective: Objective, shape: FlatConfig, tied: bool) -> None:
    shape = shape.model_copy(update={"tied": tied})
    if tied and objective.kind == "digits":
        with pytest.raises(UserError, match="a head cannot reuse a table of digits"):
            net(shape, objective)
        return
    model = net(shape, objective)
    counted = flat_parameters(shape, objective, vocab=VOCAB)

    def real(*words: str) -> int:
        return sum(p.numel() for name, p in model.named_parameters() if any(word in name for word in words))

    assert counted.N_total == sum(p.numel() for p in model.parameters())
    assert counted.attention == real("attention.qkv", "attention.out")
    assert counted.ffn == real("gate_up", "down")
    assert counted.norms == real("norm")
    assert counted.conditioning == real("film", "time.")
    assert counted.embedding == real("embedding")
    assert counted.head == real("head.")
    assert counted.N_total - counted.embedding - counted.head == counted.N


def kept_bytes(model: FlatModel, cost, *arguments) -> int:
    """Bytes of the storages, parameters apart, that autograd keeps for the backward pass."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        graph = cost(model, *arguments)
    assert graph.requires_grad
    return sum(size for storage, size in kept.items() if storage not in parameters)


@pytest.mark.parametrize("objective", [ArConfig(), MaskedConfig()], ids=lambda o: o.kind)
@pytest.mark.parametrize(
    "shape",
    [
        FlatConfig(layers=2, width=64, heads=4),
        FlatConfig(layers=6, width=64, heads=4),
        FlatConfig(layers=3, width=128, heads=4, kv_heads=2, ffn=300),
    ],
    ids=["shallow", "deep", "grouped"],
)
def test_activations_are_what_autograd_keeps_within_15_percent(
    monkeypatch: pytest.MonkeyPatch, objective: Objective, shape: FlatConfig
) -> None:
    """Of plain blocks; fused ones, on a CPU, keep no more."""
    window = 64
    fused_keeps = kept_bytes(net(shape, objective, "sdpa"), loss, objective, window)
    monkeypatch.setattr(fused, "suits", lambda _x: False)
    kept = kept_bytes(net(shape, objective, "sdpa"), loss, objective, window)
    assert 0.5 * kept < fused_keeps < kept
    parameters = flat_parameters(shape, objective, vocab=VOCAB)
    estimate = network_memory(shape, parameters, vocab=VOCAB, window=window, micro_batch=BATCH)
    gradient_of_logits = 4 * VOCAB * BATCH * window
    assert estimate.activations - gradient_of_logits == pytest.approx(kept, rel=0.15)
    assert estimate.weights == sum(p.numel() * 4 for p in net(shape, objective).parameters())
    assert estimate.total == 4 * estimate.weights + estimate.activations
