"""Training with masked blocks: the same step in any number of pieces, both losses per byte, and the books."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_packing import RUNTIME, STATIC, packed, random_rows

from isobyte.backbone.blt.network import BltNetwork
from isobyte.config.objective import BltDiffusionConfig
from isobyte.config.run import RunConfig
from isobyte.cost.design import run_cost
from isobyte.data.patch_window import PatchRows
from isobyte.data.prepare import prepare
from isobyte.objective.ar import ar_question, padded_question
from isobyte.objective.base import costs
from isobyte.objective.blt_diffusion import blt_diffusion_question
from isobyte.objective.draw import Draw
from isobyte.train.loop import build_model, train
from isobyte.train.optim import build_optimizer
from isobyte.train.parallel import Ranks
from isobyte.train.step import StepResult, train_step

CALM = {"lr": 0.01, "eps": 1e-3}
BLOCKS = {"kind": "blt_diffusion", "block": 3, "t_min": 0.1}


def config_of(packing: str, **train_fields: Any) -> RunConfig:
    plan = {} if packing == "patches" else {"packing": "bytes", "patches": None, "window": 18}
    config = packed(STATIC, **plan, **{"optimizer": CALM, "batch": 4} | train_fields)
    return RunConfig.model_validate(config.model_dump(mode="json") | {"objective": BLOCKS})


def batch_of(config: RunConfig, step: int) -> np.ndarray | PatchRows:
    if config.train.packing == "patches":
        return random_rows(step, config.train.batch)
    return np.random.default_rng(step).integers(0, 256, (config.train.batch, config.train.window))


def woken(config: RunConfig) -> BltNetwork:
    """Initial weights, with a head that says something."""
    model = build_model(config, 256)
    assert isinstance(model, BltNetwork)
    with torch.no_grad():
        model.head.weight.copy_(torch.randn(model.head.weight.shape, generator=torch.Generator().manual_seed(0)))
    return model


def steps(config: RunConfig, count: int = 3) -> tuple[list[StepResult], dict[str, torch.Tensor]]:
    model = woken(config)
    optimizer = build_optimizer(model, config.train.optimizer)
    told = [train_step(config, model, model, optimizer, batch_of(config, n), n, Ranks()) for n in range(count)]
    return told, model.state_dict()


@pytest.mark.parametrize("packing", ["bytes", "patches"])
def test_a_step_is_the_same_in_any_number_of_pieces(packing: str) -> None:
    told, weights = steps(config_of(packing))
    for micro in (1, 2):
        other, others = steps(config_of(packing, micro_batch=micro))
        for one, two in zip(told, other, strict=True):
            assert one.beside is not None
            assert two.beside is not None
            assert float(two.loss) == pytest.approx(float(one.loss), rel=1e-5)
            assert float(two.beside) == pytest.approx(float(one.beside), rel=1e-5)
            assert float(two.gradient_norm) == pytest.approx(float(one.gradient_norm), rel=1e-5)
        for name, value in weights.items():
            torch.testing.assert_close(others[name], value, rtol=0, atol=2e-6)


def shares(config: RunConfig, model: BltNetwork, batch: np.ndarray | PatchRows, start: int, stop: int) -> torch.Tensor:
    """Both sums of rows start..stop-1 of a batch of four, in nats."""
    assert isinstance(config.objective, BltDiffusionConfig)
    draw = Draw(config.train.seed, 0, slice(start, stop), 4)
    if isinstance(batch, PatchRows):
        part = batch.part(start, stop)
        x, length, starts = (torch.from_numpy(each) for each in (part.x_NT, part.length_N, part.starts))
        plain = padded_question(x, length, starts, model.vocab)
    else:
        plain = ar_question(torch.from_numpy(batch[start:stop]), model)
    own, beside = costs(model, blt_diffusion_question(config.objective, plain, draw))
    assert beside is not None
    return torch.stack((own, beside))


@pytest.mark.parametrize("packing", ["bytes", "patches"])
def test_both_losses_are_per_byte_of_the_whole_batch_and_trained_as_one(packing: str) -> None:
    """Whoever has which rows: halves sum to the whole, though rows differ in length."""
    config = config_of(packing, clip=None)
    batch, model = batch_of(config, 9), woken(config)
    outcome = train_step(config, model, model, build_optimizer(model, config.train.optimizer), batch, 0, Ranks())
    count = 4 * 18
    if isinstance(batch, PatchRows):
        count = int(batch.length_N.sum())
        assert batch.part(0, 2).x_NT.shape[1] != batch.part(2, 4).x_NT.shape[1]
    model = woken(config)
    both = (shares(config, model, batch, 0, 2) + shares(config, model, batch, 2, 4)) / count
    both.sum().backward()
    norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    assert outcome.beside is not None
    assert [float(outcome.loss), float(outcome.beside)] == pytest.approx(both.tolist(), rel=1e-5)
    assert float(outcome.gradient_norm) == pytest.approx(float(norm), rel=1e-5)


def test_a_run_reports_the_masked_loss_beside_and_costs_what_the_plan_says(tmp_path: Path) -> None:
    config = config_of("bytes", batch=4)
    prepared = prepare(config.data, config.representation, tmp_path / "data")
    result = train(config, prepared, tmp_path / "run", runtime=RUNTIME)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(line["surrogate_masked_loss"] > 0 for line in lines if "loss" in line)
    assert sum("surrogate_masked_loss" in line for line in lines) == config.train.steps
    assert result["likelihood"]["kind"] == "exact"
    assert "surrogate" not in json.dumps(result["likelihood"])
    cost = run_cost(config)
    assert cost.flops.cells > 0
    assert result["flops"] == pytest.approx(config.train.steps * cost.per_step, rel=1e-6)
