"""Law 8: two ranks are one rank, and micro-batches change nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from isobyte.config.run import RunConfig
from isobyte.train.loop import build_model
from isobyte.train.optim import build_optimizer
from isobyte.train.parallel import Ranks, join
from isobyte.train.step import train_step
from tiny import run_config

# Adam divides by the size of a gradient: a small eps would blow up the rounding of gradients that are all rounding.
CALM = {"lr": 0.01, "eps": 1e-3}


def weights_after(config: RunConfig, ranks: Ranks, steps: int = 4) -> dict[str, torch.Tensor]:
    model = build_model(config, 256)
    optimizer = build_optimizer(model, config.train.optimizer)
    draw = np.random.default_rng(0)
    rows = ranks.rows(config.train.batch)
    for step in range(steps):
        batch = draw.integers(0, 256, (config.train.batch, config.train.window))
        train_step(config, model, model, optimizer, batch[rows.start : rows.stop], step, ranks)
    return model.state_dict()


def worker(rank: int, world: int, folder: str, config: RunConfig) -> None:
    import os

    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "localhost"}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=world)
    torch.save(weights_after(config, join()), f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


def run_distributed(config: RunConfig, world: int, folder: Path) -> list[dict[str, Any]]:
    mp.start_processes(worker, (world, str(folder), config), nprocs=world, start_method="spawn")
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(world)]


@pytest.mark.parametrize("objective", ["ar", "masked"])
def test_two_gloo_ranks_equal_one(tmp_path: Path, objective: str) -> None:
    config = run_config(objective, optimizer=CALM)
    alone = weights_after(config, Ranks())
    for state in run_distributed(config, 2, tmp_path):
        for name, value in alone.items():
            torch.testing.assert_close(state[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("objective", ["ar", "masked"])
def test_micro_batches_equal_one_batch(objective: str) -> None:
    whole = weights_after(run_config(objective, optimizer=CALM), Ranks())
    pieces = weights_after(run_config(objective, optimizer=CALM, micro_batch=2), Ranks())
    for name, value in whole.items():
        torch.testing.assert_close(pieces[name], value, rtol=0, atol=1e-6)
