"""Products of a few rows with matrices, without gradients: every call reads a whole matrix, and little else counts.

On a CPU few rows of fp32 are multiplied by `compiled` loops, with matrices of fp32 or of fp16 numbers. Whatever else
there is, more rows, GPUs, other precisions, is left to the library.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from isobyte.backbone.arrays import Array
from isobyte.backbone.layers import RMSNorm

FEW = 64
"""Rows that compiled loops take; of more the library's products are faster."""


def suits(like: Tensor, rows: int) -> bool:
    """Whether compiled loops serve so many rows such as `like`."""
    return rows <= FEW and like.dtype == torch.float32 and like.device.type == "cpu"


class Product:
    """x [N, in] -> (x gain) @ weight.T [N, out]; with `eps`, of x over its root mean square."""

    def __init__(self, weight_OI: Tensor, gain_I: Tensor, eps: float | None, *, plain: bool) -> None:
        """A gain of ones is `plain`."""
        self.weight, self.gain, self.eps, self.plain = weight_OI, gain_I, eps, plain

    @cached_property
    def array(self) -> Array:
        """The weight as compiled loops take it."""
        return array_of(self.weight)

    @classmethod
    def of(
        cls, weight_OI: Tensor, gain_I: Tensor | None = None, eps: float | None = None, *, halved: bool
    ) -> "Product":
        """As `Matrices`, of one."""
        return Matrices([weight_OI], None if gain_I is None else [gain_I], eps, halved=halved).products[0]

    def __call__(self, x_NI: Tensor) -> Tensor:
        if not suits(x_NI, len(x_NI)):
            x_NI = x_NI if self.eps is None else F.rms_norm(x_NI, x_NI.shape[-1:], None, self.eps)
            return F.linear(x_NI if self.plain else x_NI * self.gain, self.weight.to(x_NI.dtype))
        from isobyte.backbone import compiled

        x, y = x_NI.contiguous().numpy(), np.empty((len(x_NI), len(self.weight)), np.float32)
        if self.eps is None and self.plain:
            compiled.product(self.array, x, y)
        else:
            compiled.scaled_product(self.array, self.gain.numpy(), self.eps, x, y)
        return torch.from_numpy(y)


class Matrices:
    """Matrices of one shape, one for each of L layers, with gains on what they are multiplied with."""

    def __init__(
        self,
        weights: Sequence[Tensor],
        gains: Sequence[Tensor] | None = None,
        eps: float | None = None,
        *,
        halved: bool,
    ) -> None:
        """`weights` [out, in] are fp16 numbers where `halved`, and kept so; `gains` [in]; `eps` as in `Product`."""
        weight_LOI = torch.stack([weight.detach() for weight in weights])
        ones = weight_LOI.new_ones(len(weights), weight_LOI.shape[2])
        gain_LI = ones if gains is None else torch.stack([gain.detach() for gain in gains])
        if halved:  # times its gain, a weight would ask for more than 16 bits
            weight_LOI = weight_LOI.half()
        else:
            weight_LOI, gain_LI = weight_LOI * gain_LI[:, None], ones
        self.weight_LOI, self.gain_LI = weight_LOI, gain_LI
        plain = gains is None or not halved
        self.products = [Product(w, g, eps, plain=plain) for w, g in zip(weight_LOI, gain_LI, strict=True)]

    def arrays(self) -> tuple[Array, Array]:
        """Gains and weights as compiled loops take them."""
        return array_of(self.gain_LI), array_of(self.weight_LOI)


def normed(x_ND: Tensor, norm: RMSNorm) -> Tensor:
    """What `norm` makes of rows."""
    if not suits(x_ND, len(x_ND)):
        return norm(x_ND)
    from isobyte.backbone import compiled

    y = np.empty(x_ND.shape, np.float32)
    compiled.normed(x_ND.contiguous().numpy(), norm.weight.detach().numpy(), norm.eps, y)
    return torch.from_numpy(y)


def array_of(weight: Tensor) -> Array:
    """Its numbers where they lie, as compiled loops take them: of fp16 the bits."""
    weight = weight.contiguous()
    return (weight.view(torch.uint16) if weight.dtype == torch.float16 else weight).numpy()
