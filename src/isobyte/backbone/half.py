"""Weights of 16 bits under arithmetic of 32, on CPUs: half of the reading, and no rounding where the numbers are fp16.

A product of few rows takes as long as its matrix takes to be read. Checkpoints are often stored in 16 bits; numbers
that came from there lie in memory as such without any loss, and become fp32 again in registers (FBGEMM's kernels).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from isobyte.errors import UserError

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


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether this machine's library has the kernels: it has them for x86."""
    try:
        return bool(HalfProduct(torch.ones(1, 1))(torch.ones(1, 1)).item() == 1)
    except (RuntimeError, AttributeError):
        return False


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
                f"{name} has numbers beyond {LARGEST:g}, the largest in fp16", where="weights", how="keep fp32"
            )
        weight.copy_(weight.half())


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
