"""AdamW and its learning rate."""

import math
from collections.abc import Iterator

import torch
from torch import nn

from isobyte.config.train import AdamW, Cosine, LrSchedule


def build_optimizer(model: nn.Module, config: AdamW) -> torch.optim.AdamW:
    """Fused AdamW over two flat parameters: `matrices`, with weight decay, and `vectors` (norm gains), without.

    The model's parameters and gradients become views of them, so that clipping, the sum over ranks and the update
    are a call each, whatever the number of layers. Gradients are to be zeroed, not set to None.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices, vectors = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
    groups = [
        {"name": "matrices", "params": [flatten(matrices)], "weight_decay": config.weight_decay},
        {"name": "vectors", "params": [flatten(vectors)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def flatten(parameters: list[nn.Parameter]) -> nn.Parameter:
    """One parameter with a zero gradient, of which `parameters` and their gradients become views."""
    sizes = [p.numel() for p in parameters]
    flat = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    flat.grad = torch.zeros_like(flat)
    for p, value, gradient in zip(parameters, flat.detach().split(sizes), flat.grad.split(sizes), strict=True):
        p.data, p.grad = value.view_as(p), gradient.view_as(p)
    return flat


def flat_parameters(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, nn.Parameter]]:
    """The flat parameters by name."""
    return ((group["name"], group["params"][0]) for group in optimizer.param_groups)


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
