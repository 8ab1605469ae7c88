"""One optimiser step, and nothing that is not part of it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isobyte.backbone.mask import Patched, PatchesHidden
from isobyte.config.backbone import BltConfig
from isobyte.config.objective import BltDiffusionConfig
from isobyte.config.run import RunConfig
from isobyte.data.patch_window import PatchRows
from isobyte.objective.ar import padded_question
from isobyte.objective.base import Network, Question, costs
from isobyte.objective.blt_diffusion import blt_diffusion_question
from isobyte.objective.draw import Draw
from isobyte.objective.network import Model
from isobyte.objective.permutation import TRAINING, carried, reading_of
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
    """Cost per symbol in nats (a training loss, not a likelihood), gradient norm, rate and symbols of this rank's
    longest window.

    `beside` is that of a loss which is trained beside the objective's own.

    Of a network of patches also how many latents the batch had, and how many pairs of them see each other.
    """

    loss: Tensor
    gradient_norm: Tensor
    lr: float
    length: int
    patches: int = 0
    patch_pairs: int = 0
    beside: Tensor | None = None


@denormals_flushed()
def train_step(
    config: RunConfig,
    model: Model,
    network: Network,
    optimizer: torch.optim.Optimizer,
    batch: np.ndarray | PatchRows,
    step: int,
    ranks: Ranks,
    autocast: bool = False,
) -> StepResult:
    """Steps 1-5: cut, corrupt, accumulate gradients, guard, update.

    `batch` [rows, T] holds this rank's rows of step `step`'s global batch.
    """
    train = config.train
    rows = ranks.rows(train.batch)
    micro = min(train.micro_batch or len(rows), len(rows))
    device = model.device
    length, count = _size(config, batch, step, ranks, device)
    asked = carried(network, reading_of(config), length)
    total = torch.zeros(2, device=device)
    grouped = torch.zeros(2, dtype=torch.long, device=device)
    for start in range(0, len(rows), micro):
        stop = min(start + micro, len(rows))
        draw = Draw(train.seed, step, slice(rows[0] + start, rows[0] + stop), train.batch)
        part = batch.part(start, stop) if isinstance(batch, PatchRows) else batch[start:stop, :length]
        for question in _questions(config, part, model, draw):
            with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                own, beside = costs(asked, question)
            loss = own if beside is None else own + beside
            (loss / count).backward()
            total += torch.stack((own, torch.zeros_like(own) if beside is None else beside)).detach() / count
            if isinstance(question.view.mask, Patched | PatchesHidden):
                grouped += _patches(question.view.mask)
    flat = [parameter for _, parameter in flat_parameters(optimizer)]
    ranks.sum_gradients(flat)
    norm = torch.nn.utils.clip_grad_norm_(flat, train.clip or float("inf"), foreach=True)
    total = ranks.sum(total)
    if isinstance(config.backbone, BltConfig):
        grouped = ranks.sum(grouped)
    if not math.isfinite(total.sum() + norm):
        raise NonFinite(f"loss {total.sum().item()}, gradient norm {norm.item()} at step {step}")
    lr = train.optimizer.lr * lr_scale(train.schedule, step, train.steps)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    beside = total[1] if isinstance(config.objective, BltDiffusionConfig) else None
    return StepResult(total[0], norm, lr, length, *grouped.tolist(), beside=beside)


def _size(
    config: RunConfig, batch: np.ndarray | PatchRows, step: int, ranks: Ranks, device: torch.device
) -> tuple[int, int | Tensor]:
    """Symbols of this rank's longest window, and all that the global batch is to predict."""
    train = config.train
    if isinstance(batch, PatchRows):
        return batch.x_NT.shape[1], ranks.sum(torch.tensor(batch.length_N.sum(), device=device))
    digits = config.representation.digits_per_byte  # a window that is cut ends between two bytes too
    length = window_length(config.objective, train.window // digits, seed=train.seed, step=step) * digits
    return length, train.batch * length


def _questions(config: RunConfig, batch: np.ndarray | PatchRows, model: Model, draw: Draw) -> list[Question]:
    device = model.device
    if isinstance(batch, PatchRows):
        rows = (torch.from_numpy(value) for value in (batch.x_NT, batch.length_N, batch.starts))
        x_BT, length_B, starts = (value.to(device, non_blocking=True) for value in rows)
        asked = padded_question(x_BT, length_B, starts, model.vocab)
        if isinstance(config.objective, BltDiffusionConfig):
            asked = blt_diffusion_question(config.objective, asked, draw)
        return [asked]
    x_BT, reading = torch.from_numpy(batch), reading_of(config)
    if reading is not None:
        x_BT = reading.read(x_BT, TRAINING, draw.step * draw.batch + draw.index())
    return training_questions(config.objective, x_BT.to(device, non_blocking=True), model, draw)


def _patches(mask: Patched | PatchesHidden) -> Tensor:
    """Latents of a batch, that of BOS included, and pairs of a latent and one up to it: [2]."""
    count_B = mask.starts[:, 1:].sum(1) if isinstance(mask, Patched) else mask.count_B + 1
    return torch.stack((count_B.sum(), (count_B * (count_B + 1) // 2).sum()))
