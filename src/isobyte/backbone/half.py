"""Weights of 16 bits under arithmetic of 32, on CPUs: half of the reading, and no rounding where the numbers are fp16.

A product of few rows takes as long as its matrix takes to be read. Checkpoints are often stored in 16 bits; numbers
that came from there lie in memory as such without any loss, and become fp32 again in registers (`compiled`).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from isobyte.errors import UserError

Weights = Literal["fp32", "fp16"]

WIDTH = 2
"""Bytes of an fp16 number."""

LARGEST = torch.finfo(torch.float16).max


def possible(model: nn.Module) -> bool:
    """Whether a model of fp16 numbers can be read as such: in fp32, on a CPU."""
    weight = next(model.parameters())
    return weight.device.type == "cpu" and weight.dtype == torch.float32


def check_possible(model: nn.Module) -> None:
    """Raises UserError where `possible` says no."""
    if not possible(model):
        raise UserError(
            "fp16 weights are read by CPUs only, under fp32", where="--weights", how="take fp32, or --device cpu"
        )


def is_half(model: nn.Module) -> bool:
    """Whether every weight is an fp16 number."""
    return all(_is_half(weight) for weight in model.parameters())


@torch.no_grad()
def round_to_half(model: nn.Module) -> None:
    """Round every weight to the nearest fp16 number, as if the model had been stored so. Raises UserError for weights
    beyond fp16's range."""
    for name, weight in model.named_parameters():
        if float(weight.abs().max()) > LARGEST:
            raise UserError(
                f"{name} has numbers beyond {LARGEST:g}, the largest in fp16", where="--weights", how="keep fp32"
            )
        weight.copy_(weight.half())


def _is_half(weight: Tensor) -> bool:
    return bool((weight.half() == weight).all())
