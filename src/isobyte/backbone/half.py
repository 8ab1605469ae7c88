"""Weights of 16 bits under arithmetic of 32, on CPUs: half of the reading, and no rounding where the numbers are fp16.

A product of few rows takes as long as its matrix takes to be read. Checkpoints are often stored in 16 bits; numbers
that came from there lie in memory as such without any loss, and become fp32 again in registers (FBGEMM's kernels).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from isobyte.errors import UserError

Weights = Literal["fp32", "fp16"]

WIDTH = 2
"""Bytes of an fp16 number."""

LARGEST = torch.finfo(torch.float16).max


class HalfProduct:
    """x [N, in] -> (x gain) @ weight.T [N, out] in fp32, of a weight [out, in] whose numbers are all fp16."""

    def __init__(self, weight: Tensor, gain: Tensor | None = None) -> None:
        weight = weight.detach().float()
        if not _is_half(weight):
            raise ValueError("the weight has numbers that are not fp16")
        self.packed = torch.ops.quantized.linear_prepack_fp16(weight.contiguous(), None)
        self.kernel = _kernel()
        # in the matrix it would ask for more bits than there are
        self.gain = None if gain is None or bool((gain == 1).all()) else gain.detach()

    def __call__(self, x_NI: Tensor) -> Tensor:
        return self.kernel(x_NI if self.gain is None else x_NI * self.gain, self.packed)


def possible(model: nn.Module) -> bool:
    """Whether `HalfProduct` serves a model of fp16 numbers: in fp32, on a CPU for which the library has kernels (those
    of x86)."""
    weight = next(model.parameters())
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and _available()


def check_possible(model: nn.Module) -> None:
    """Raises UserError where `possible` says no."""
    if not possible(model):
        raise UserError("there are no kernels for fp16 weights here", where="--weights", how="take fp32, or an x86 CPU")


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


@lru_cache(maxsize=1)
def _available() -> bool:
    try:
        return bool(HalfProduct(torch.ones(1, 1))(torch.ones(1, 1)).item() == 1)
    except (RuntimeError, AttributeError):
        return False


def _is_half(weight: Tensor) -> bool:
    return bool((weight.half() == weight).all())


@lru_cache(maxsize=1)
def _kernel() -> Callable[[Tensor, Any], Tensor]:
    # called from Python, the operator takes 10 us to find out what it was given; called from here, 3
    unit = torch.jit.CompilationUnit(
        "def product(x: Tensor, packed: __torch__.torch.classes.quantized.LinearPackedParamsBase) -> Tensor:\n"
        "    return torch.ops.quantized.linear_dynamic_fp16(x, packed)\n"
    )
    return unit.product
