"""Blocks for a few rows at a time, without gradients: where every call reads all weights, and little else counts.

The mathematics is that of `layers`, to rounding. Norm gains are folded into the products that follow them, rotation is
one complex product in place, and each matrix lies in memory as its product reads it fastest.
"""

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


class Product:
    """x [N, in] -> x @ weight.T [N, out], with the weight where one row reads it fastest.

    On a CPU a row times a wide matrix adds up rows of its transpose, which MKL divides among threads. Times any other
    it takes inner products, which MKL leaves to one thread at these sizes, so that the outputs are divided here: a
    batch of one product per thread. (Measured on two cores, memory to memory: 1.5 to 2.6 times the other layouts.)
    """

    def __init__(self, weight: Tensor) -> None:
        weight = weight.detach()
        rows, width = weight.shape
        threads = torch.get_num_threads()
        self.parts: Tensor | None = None
        if weight.device.type == "cpu" and rows > width:
            self.matrix = weight.t().contiguous()
            return
        self.matrix = weight.contiguous().t()
        if weight.device.type == "cpu" and threads > 1 and rows % threads == 0:
            self.parts = self.matrix.t().view(threads, -1, width).transpose(1, 2)

    def __call__(self, x_NI: Tensor) -> Tensor:
        if self.parts is None or len(x_NI) > 1:
            return torch.mm(x_NI, self.matrix)
        return torch.bmm(x_NI.expand(len(self.parts), 1, -1), self.parts).view(1, -1)


def normed(x: Tensor, eps: float) -> Tensor:
    """x over its root mean square, without a gain."""
    if x.device.type != "cpu":
        return F.rms_norm(x, x.shape[-1:], None, eps)
    # a third of the calls that PyTorch makes of its norm on a CPU
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * norm.square_().mul_(1 / x.shape[-1]).add_(eps).rsqrt_()


class FewRows:
    """One block's weights, ready for `__call__`."""

    def __init__(self, block: Block, shape: FlatConfig) -> None:
        attention, ffn = block.attention, block.ffn
        self.heads, self.kv_heads, self.head_dim, self.eps = (
            shape.heads,
            shape.n_kv_heads,
            shape.head_dim,
            shape.norm_eps,
        )
        order = pair_order(self.heads + self.kv_heads, self.kv_heads, self.head_dim)[0]
        qkv = attention.qkv.weight * block.attention_norm.weight
        self.qkv = Product(qkv.index_select(0, order.to(qkv.device)))
        self.out = Product(attention.out.weight)
        self.gate_up = Product(ffn.gate_up.weight * block.ffn_norm.weight)
        self.down = Product(ffn.down.weight)

    def __call__(self, x_ND: Tensor, turn_N: Tensor, attend: Attend) -> Tensor:
        """Rows [N, D] at places whose rotation is `turn_N` [N, 1, d / 2]."""
        qkv = self.qkv(normed(x_ND, self.eps)).view(len(x_ND), -1, self.head_dim)
        turned = self.heads + self.kv_heads
        qk = qkv[:, :turned]
        if qk.dtype == torch.float32:
            torch.view_as_complex(qk.unflatten(-1, (-1, 2))).mul_(turn_N)
        else:  # complex numbers come in single precision
            exact = torch.view_as_complex(qk.float().unflatten(-1, (-1, 2))) * turn_N
            qk.copy_(torch.view_as_real(exact).flatten(-2))
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
