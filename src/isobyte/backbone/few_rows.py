"""Blocks for a few rows at a time, without gradients: where every call reads all weights, and little else counts.

The mathematics is that of `layers`, to rounding. Rotation is one complex product in place, and each matrix lies in
memory as its product reads it fastest.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from isobyte.backbone.fused import pair_order
from isobyte.backbone.layers import Block, rotation
from isobyte.config.backbone_flat import FlatConfig

Attend = Callable[[Tensor, Tensor], Tensor]
"""Rotated queries [N, H, d], and rotated keys followed by values [N, 2 H_kv, d], of new rows -> [N, H d]."""

Times = Callable[[Tensor], Tensor]
"""Rows [N, in] -> [N, out], the product with a matrix."""

LayOut = Callable[[Tensor, Tensor | None], Times]
"""A matrix [out, in], and a gain [in] on what it is multiplied with -> their product."""


class Product:
    """x [N, in] -> (x gain) @ weight.T [N, out], for few rows.

    On a CPU the weight is the left factor: MKL divides weight @ x.T among threads and reads the weight in order, where
    it leaves x @ weight.T of these sizes to one thread. That takes two columns at least; a single one is multiplied
    with by parts of the weight, which are divided among threads as they are. From four rows on a matrix with more
    columns than rows is better off as a batch of eight narrow ones, which are kept beside it. (Measured on two cores,
    memory to memory, for matrices of 256 to 3072 rows and columns: 1.2 to 3 times as fast as `linear` for 1 to 8 rows;
    one row reads 0.8 to 1 times as fast as a sum over all weights does.)
    """

    def __init__(self, weight: Tensor, gain: Tensor | None = None) -> None:
        self.weight = (weight if gain is None else weight * gain).detach().contiguous()
        self.plain = weight.device.type != "cpu"
        out, width = weight.shape
        count = math.gcd(out, 8)
        self.parts = self.weight.view(count, -1, width)
        self.column = (count, width, 1)
        """One row, as each part is multiplied with it."""
        self.narrow: Tensor | None = None
        """[8, in, out / 8]."""
        if not self.plain and width > out and count == 8:
            self.narrow = self.parts.transpose(1, 2).contiguous()

    def __call__(self, x_NI: Tensor) -> Tensor:
        rows = x_NI.shape[0]
        if self.plain or rows > 16:
            return F.linear(x_NI, self.weight)
        if rows == 1:
            # as columns of a row: by other strides, though nothing follows from them, this is four times as slow
            return self.parts.bmm(x_NI.t().expand(self.column)).view(1, -1)
        if rows > 3 and self.narrow is not None:
            return x_NI.expand(8, -1, -1).bmm(self.narrow).transpose(0, 1).reshape(rows, -1)
        return self.weight.mm(x_NI.t()).t().contiguous()


def normed(x: Tensor, eps: float) -> Tensor:
    """x over its root mean square, without a gain."""
    if x.device.type == "cpu" and x.shape[0] == 1 and x.ndim == 2:
        # half the time of PyTorch's norm
        row = x.view(-1)
        return x * (row.dot(row).item() / x.shape[-1] + eps) ** -0.5
    return F.rms_norm(x, x.shape[-1:], None, eps)


class FewRows:
    """One block's weights, ready for `__call__`."""

    def __init__(self, block: Block, shape: FlatConfig, times: LayOut) -> None:
        attention, ffn = block.attention, block.ffn
        self.heads, self.kv_heads, self.head_dim = shape.heads, shape.n_kv_heads, shape.head_dim
        self.eps = shape.norm_eps
        self.turned = self.heads + self.kv_heads
        order = pair_order(self.turned, self.kv_heads, self.head_dim)[0]
        qkv = attention.qkv.weight
        self.qkv = times(qkv.index_select(0, order.to(qkv.device)), block.attention_norm.weight)
        self.out = times(attention.out.weight, None)
        self.gate_up = times(ffn.gate_up.weight, block.ffn_norm.weight)
        self.down = times(ffn.down.weight, None)

    def __call__(self, x_ND: Tensor, turn_N: Tensor, attend: Attend) -> Tensor:
        """Rows [N, D] at places whose rotation is `turn_N` [N, 1, d / 2]."""
        qkv = self.qkv(normed(x_ND, self.eps)).view(x_ND.shape[0], -1, self.head_dim)
        qk = qkv[:, : self.turned]
        pairs = qk.view(x_ND.shape[0], self.turned, -1, 2)
        if qk.dtype == torch.float32:
            torch.view_as_complex(pairs).mul_(turn_N)
        else:  # complex numbers come in single precision
            pairs.copy_(torch.view_as_real(torch.view_as_complex(pairs.float()) * turn_N))
        mixed = attend(qkv[:, : self.heads], qkv[:, self.heads :])
        x_ND = self.out(mixed).add_(x_ND)
        gate, up = self.gate_up(normed(x_ND, self.eps)).chunk(2, -1)
        return self.down(F.silu(gate).mul_(up)).add_(x_ND)


@lru_cache(maxsize=16)
def _turns(length: int, head_dim: int, base: float, device: str) -> Tensor:
    with torch.inference_mode(False):
        return rotation(torch.arange(length, device=device), head_dim, base).turn[:, None]


def turns(places: Tensor, last: int, shape: FlatConfig) -> Tensor:
    """Rotations [N, 1, d / 2] of places [N], none beyond `last`: looked up in a table that doubles when it is short."""
    length = max(1024, 1 << last.bit_length())
    return _turns(length, shape.head_dim, shape.rope_base, str(places.device)).index_select(0, places)
