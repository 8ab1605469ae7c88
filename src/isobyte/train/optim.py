"""AdamW and its learning rate."""

import math

import torch
from torch import nn

from isobyte.config.train import AdamW, Cosine, LrSchedule


def build_optimizer(model: nn.Module, config: AdamW) -> torch.optim.AdamW:
    """Fused AdamW; weight decay on matrices, none on norm gains."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def lr_scale(schedule: LrSchedule, step: int, steps: int) -> float:
    """The factor on the peak rate at `step` of `steps` (0-based)."""
    warmup = max(1, round(schedule.warmup * steps))
    if step < warmup:
        return (step + 1) / warmup
    if isinstance(schedule, Cosine):
        progress = (step - warmup) / max(1, steps - warmup)
        return schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * progress))
    decay = max(1, round(schedule.decay * steps))
    remaining = min(1.0, (steps - step) / decay)
    return schedule.final + (1 - schedule.final) * remaining
