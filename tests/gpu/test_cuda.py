"""What only a GPU can show: bf16, compiled blocks, FlexAttention's kernels, and a run that changes machines."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from isobyte.backbone.attention import ATTENTION, Attention, explicit, flex, sdpa
from isobyte.backbone.flat import FlatModel
from isobyte.backbone.mask import BIDIRECTIONAL, CAUSAL, MaskSpec
from isobyte.config.run import RunConfig
from isobyte.likelihood.estimator import Settings, build_estimator
from isobyte.likelihood.evaluate import evaluate
from isobyte.objective.base import cost_sum
from isobyte.objective.digits import objective_log_probs
from isobyte.objective.draw import Draw
from isobyte.objective.training import training_questions
from isobyte.train.checkpoint import load_latest, save_checkpoint
from isobyte.train.loop import build_model, compile_blocks
from isobyte.train.optim import build_optimizer, flat_parameters
from isobyte.train.parallel import Ranks
from isobyte.train.runtime import Runtime
from isobyte.train.step import train_step
from tiny import run_data

pytestmark = pytest.mark.gpu
OBJECTIVES = pytest.mark.parametrize("objective", ["ar", "masked"])
COMPILED: dict[str, Attention] = {"flex": torch.compile(flex, dynamic=False), "sdpa": sdpa}


def config_of(objective: str, **train: Any) -> RunConfig:
    data = run_data(objective, steps=60, window=128, **train)
    return RunConfig.model_validate(data | {"backbone": {"kind": "flat", "layers": 2, "width": 64, "heads": 2}})


def batch_of(config: RunConfig, step: int) -> np.ndarray:
    """Windows over eight of the 256 symbols."""
    return np.random.default_rng(step).integers(65, 73, (config.train.batch, config.train.window))


def steps(
    config: RunConfig, model: FlatModel, optimizer: torch.optim.Optimizer, which: range, *, bf16: bool = False
) -> list[float]:
    """The losses of these steps."""
    return [
        float(train_step(config, model, model, optimizer, batch_of(config, step), step, Ranks(), bf16).loss)
        for step in which
    ]


@OBJECTIVES
def test_bf16_steps_follow_fp32_ones_and_learn(objective: str) -> None:
    config = config_of(objective)
    losses = {}
    for bf16 in (False, True):
        model = build_model(config, 256).cuda()
        losses[bf16] = steps(config, model, build_optimizer(model, config.train.optimizer), range(60), bf16=bf16)
        assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert losses[True][:10] == pytest.approx(losses[False][:10], abs=0.05)
    assert sum(losses[True][-10:]) / 10 == pytest.approx(math.log(8), abs=0.3)


def loss_and_gradients(config: RunConfig, attention: str, compiled: bool, bf16: bool) -> list[Tensor]:
    model = build_model(config, 256, attention).cuda()
    torch.manual_seed(0)
    for parameter in model.parameters():  # the head starts at zero and would hide every gradient
        parameter.data.add_(torch.randn_like(parameter), alpha=0.02)
    compile_blocks(model, Runtime(compile=compiled))
    x = torch.from_numpy(batch_of(config, 0)).cuda()
    (question,) = training_questions(config.objective, x, model, Draw(0, 0, slice(0, len(x)), len(x)))
    with torch.autocast("cuda", torch.bfloat16, enabled=bf16):
        cost = cost_sum(model, question) / x.numel()
    return [cost.detach(), *torch.autograd.grad(cost, list(model.parameters()))]


def assert_close(ours: list[Tensor], reference: list[Tensor], tolerance: float) -> None:
    for a, b in zip(ours, reference, strict=True):
        assert (a - b).abs().max() <= tolerance * b.abs().max()


@OBJECTIVES
@pytest.mark.parametrize(("bf16", "tolerance"), [(False, 1e-4), (True, 5e-2)])
def test_compiled_blocks_are_eager_ones(objective: str, bf16: bool, tolerance: float) -> None:
    config = config_of(objective)
    eager = loss_and_gradients(config, "sdpa", False, bf16)
    assert_close(loss_and_gradients(config, "sdpa", True, bf16), eager, tolerance)


@OBJECTIVES
def test_a_model_learns_the_same_by_every_attention(objective: str) -> None:
    config = config_of(objective)
    reference = loss_and_gradients(config, "explicit", False, False)
    for attention in ATTENTION:
        assert_close(loss_and_gradients(config, attention, attention == "flex", False), reference, 1e-4)


@pytest.mark.parametrize("mask", [CAUSAL, BIDIRECTIONAL], ids=lambda m: m.kind)
@pytest.mark.parametrize("kv_heads", [4, 1])
@pytest.mark.parametrize("length", [128, 200])
@pytest.mark.parametrize("kernel", COMPILED)
def test_attention_kernels_agree_forward_and_backward(kernel: str, length: int, kv_heads: int, mask: MaskSpec) -> None:
    draw = torch.Generator("cuda").manual_seed(0)

    def run(attention: Attention) -> list[Tensor]:
        out = attention(q, k, v, mask)
        return [out.detach(), *torch.autograd.grad(out, inputs, push)]

    heads = (4, kv_heads, kv_heads)
    inputs = [torch.randn(2, h, length, 32, generator=draw, device="cuda", requires_grad=True) for h in heads]
    q, k, v = inputs
    push = torch.randn(2, 4, length, 32, generator=draw, device="cuda")
    assert_close(run(COMPILED[kernel]), run(explicit), 2e-3)


@pytest.mark.parametrize(("start", "end"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_goes_on_where_another_machine_left_it(tmp_path: Path, start: str, end: str) -> None:
    config = config_of("ar")
    model = build_model(config, 256).to(start)
    optimizer = build_optimizer(model, config.train.optimizer)
    steps(config, model, optimizer, range(3))
    save_checkpoint(tmp_path, 3, model, optimizer, {"totals": {}})
    moved = build_model(config, 256).to(end)
    again = build_optimizer(moved, config.train.optimizer)
    state = load_latest(tmp_path, moved, again)
    assert state is not None
    assert state["step"] == 3
    for name, value in model.state_dict().items():
        assert torch.equal(value.cpu(), moved.state_dict()[name].cpu())
    for (_, ours), (_, theirs) in zip(flat_parameters(optimizer), flat_parameters(again), strict=True):
        for key, value in optimizer.state[ours].items():
            assert torch.equal(value.cpu(), again.state[theirs][key].cpu())
    here, there = steps(config, model, optimizer, range(3, 8)), steps(config, moved, again, range(3, 8))
    assert there == pytest.approx(here, abs=1e-3)


@OBJECTIVES
def test_a_likelihood_is_that_of_the_cpu(objective: str) -> None:
    config = config_of(objective)
    model = build_model(config, 256)
    steps(config, model, build_optimizer(model, config.train.optimizer), range(5))
    windows = [(batch_of(config, 99), np.full(config.train.batch, config.train.window))]
    estimator = build_estimator(config.objective, Settings(passes=4, seed=0, vocab=256))
    scored = [
        evaluate(objective_log_probs(config.objective, model.to(device)), estimator, windows, device=device)
        for device in ("cpu", "cuda")
    ]
    assert scored[1].bpb == pytest.approx(scored[0].bpb, rel=1e-4)
