"""Masking schedules: t in [0, 1] -> mask probability p, and the weight of the loss at t.

The bound is the integral over p of (1/p) E[sum of masked -log p_theta]; a schedule is only a density over p.
"""

import math

import torch
from torch import Tensor

from isobyte.config.objective import CosineSchedule, LinearSchedule, Schedule


def mask_probability(schedule: Schedule, t: Tensor) -> Tensor:
    """p(t), increasing from 0 to 1."""
    if isinstance(schedule, LinearSchedule):
        return t
    if isinstance(schedule, CosineSchedule):
        return torch.cos(math.pi / 2 * (1 - t))
    return t**schedule.power


def weight(schedule: Schedule, t: Tensor) -> Tensor:
    """p'(t) / p(t), the weight -alpha' / (1 - alpha) of each masked symbol's cost."""
    if isinstance(schedule, LinearSchedule):
        return 1 / t
    if isinstance(schedule, CosineSchedule):
        return math.pi / 2 * torch.tan(math.pi / 2 * (1 - t))
    return schedule.power / t
