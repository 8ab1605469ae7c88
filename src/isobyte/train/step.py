"""One optimiser step, and nothing that is not part of it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isobyte.backbone.mask import Patched
from isobyte.config.run import RunConfig
from isobyte.objective.base import Network, Question, cost_sum
from isobyte.objective.draw import Draw
from isobyte.objective.network import Model
from isobyte.objective.training import training_questions, window_length
from isobyte.train.optim import flat_parameters, lr_scale
from isobyte.train.parallel import Ranks


class NonFinite(RuntimeError):
    """The loss or a gradient is no longer a number; the weights are those of the step before."""


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Moments of symbols that never occur decay into denormals, on which a CPU is slow: take those for zero here."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@dataclass(frozen=True)
class StepResult:
    """Cost per symbol in nats (a training loss, not a likelihood), gradient norm, rate and symbols per window.

    Of a network of patches also how many latents the batch had, and how many pairs of them see each other.
    """

    loss: Tensor
    gradient_norm: Tensor
    lr: float
    length: int
    patches: int = 0
    patch_pairs: int = 0


@denormals_flushed()
def train_step(
    config: RunConfig,
    model: Model,
    network: Network,
    optimizer: torch.optim.Optimizer,
    batch: np.ndarray,
    step: int,
    ranks: Ranks,
    autocast: bool = False,
) -> StepResult:
    """Steps 1-5: cut, corrupt, accumulate gradients, guard, update.

    `batch` [rows, T] holds this rank's rows of step `step`'s global batch.
    """
    train, objective = config.train, config.objective
    rows = ranks.rows(train.batch)
    micro = min(train.micro_batch or len(rows), len(rows))
    length = window_length(objective, train.window, seed=train.seed, step=step)
    count = train.batch * length
    device = model.device
    total = torch.zeros((), device=device)
    grouped = torch.zeros(2, dtype=torch.long, device=device)
    for start in range(0, len(rows), micro):
        x_BT = torch.from_numpy(batch[start : start + micro, :length]).to(device, non_blocking=True)
        piece = slice(rows[0] + start, rows[0] + start + len(x_BT))
        for question in training_questions(objective, x_BT, model, Draw(train.seed, step, piece, train.batch)):
            with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                loss = cost_sum(network, question) / count
            loss.backward()
            total += loss.detach()
            grouped += _patches(question)
    flat = [parameter for _, parameter in flat_parameters(optimizer)]
    ranks.sum_gradients(flat)
    norm = torch.nn.utils.clip_grad_norm_(flat, train.clip or float("inf"), foreach=True)
    total, grouped = ranks.sum(total), ranks.sum(grouped)
    if not math.isfinite(total + norm):
        raise NonFinite(f"loss {total.item()}, gradient norm {norm.item()} at step {step}")
    lr = train.optimizer.lr * lr_scale(train.schedule, step, train.steps)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    return StepResult(total, norm, lr, length, *grouped.tolist())


def _patches(question: Question) -> Tensor:
    """Latents of a batch, and pairs of a latent and one that it sees, itself included: [2]."""
    mask = question.view.mask
    if not isinstance(mask, Patched):
        return torch.zeros((), dtype=torch.long)
    count_B = mask.starts[:, 1:].sum(1)
    return torch.stack((count_B.sum(), (count_B * (count_B + 1) // 2).sum()))
