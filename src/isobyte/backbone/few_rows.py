"""Stacks of blocks for a few rows at a time, without gradients: every call reads all weights, and little else counts.

The mathematics is that of `layers`, to rounding. On a CPU few rows of fp32 go through `compiled` loops, a whole stack a
call. Whatever else there is goes block by block: many rows, GPUs, other precisions, attention of other kinds.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from isobyte.backbone.arrays import Array, BlockWeights, CrossWeights, Sight
from isobyte.backbone.fused import pair_order
from isobyte.backbone.layers import Block, rotation
from isobyte.backbone.products import Matrices, Product
from isobyte.config.backbone_flat import FlatConfig

if TYPE_CHECKING:
    from isobyte.backbone.blt.cross_layers import CrossLayers

Attend = Callable[[Tensor, Tensor], Tensor]
"""Rotated queries [N, H, d], and rotated keys followed by values [N, 2 H_kv, d], of new rows -> [N, H d]."""


class RowBlock:
    """One block."""

    def __init__(self, shape: FlatConfig, qkv: Product, out: Product, gate_up: Product, down: Product) -> None:
        self.qkv, self.out, self.gate_up, self.down = qkv, out, gate_up, down
        self.heads, self.head_dim = shape.heads, shape.head_dim
        self.turned = shape.heads + shape.n_kv_heads

    def __call__(self, x_ND: Tensor, turn_N: Tensor, attend: Attend) -> Tensor:
        """Rows [N, D] at places whose rotation is `turn_N` [N, 1, d / 2]."""
        qkv = self.qkv(x_ND).view(x_ND.shape[0], -1, self.head_dim)
        qk = qkv[:, : self.turned]
        pairs = qk.view(x_ND.shape[0], self.turned, -1, 2)
        if qk.dtype == torch.float32:
            torch.view_as_complex(pairs).mul_(turn_N)
        else:  # complex numbers come in single precision
            pairs.copy_(torch.view_as_real(torch.view_as_complex(pairs.float()) * turn_N))
        mixed = attend(qkv[:, : self.heads], qkv[:, self.heads :])
        x_ND = self.out(mixed).add_(x_ND)
        gate, up = self.gate_up(x_ND).chunk(2, -1)
        return self.down(F.silu(gate).mul_(up)).add_(x_ND)


class RowStack:
    """The weights of a stack of blocks, and of what its rows read before each of the first."""

    def __init__(
        self, blocks: Iterable[Block], shape: FlatConfig, *, halved: bool, readers: "CrossLayers | None" = None
    ) -> None:
        self.shape, self.readers, blocks = shape, readers, list(blocks)
        order = pair_order(shape.heads + shape.n_kv_heads, shape.n_kv_heads, shape.head_dim)[0]
        qkv = [block.attention.qkv.weight for block in blocks]
        self._parts = (
            Matrices(
                [weight.index_select(0, order.to(weight.device)) for weight in qkv],
                [block.attention_norm.weight for block in blocks],
                shape.norm_eps,
                halved=halved,
            ),
            Matrices([block.attention.out.weight for block in blocks], halved=halved),
            Matrices(
                [block.ffn.gate_up.weight for block in blocks],
                [block.ffn_norm.weight for block in blocks],
                shape.norm_eps,
                halved=halved,
            ),
            Matrices([block.ffn.down.weight for block in blocks], halved=halved),
        )
        each = zip(*(part.products for part in self._parts), strict=True)
        self.blocks = [RowBlock(shape, *products) for products in each]
        self._unread = np.empty((0, 0, 2, 0, 0), np.float32)

    def __call__(
        self, x_ND: Tensor, turn_N: Tensor, attends: Sequence[Attend], read: Tensor | None = None
    ) -> Sequence[Tensor]:
        """What comes out of each block, [N, D], of rows at places whose rotation is `turn_N` [N, 1, d / 2]. `read`
        [N, layers, 2, k, D] is what they read."""
        found = []
        for layer, (block, attend) in enumerate(zip(self.blocks, attends, strict=True)):
            if read is not None and self.readers is not None and layer < len(self.readers):
                x_ND = self.readers.read_by_bytes(layer, x_ND, read[:, layer])
            x_ND = block(x_ND, turn_N, attend)
            found.append(x_ND)
        return found

    def compiled(self, x_ND: Tensor, sight: Sight, read: Tensor | None = None) -> Tensor:
        """As `__call__`, in one call; the rows must be such as compiled loops serve. [L, N, D]."""
        from isobyte.backbone.compiled import through

        x_LND = np.empty((len(self.blocks) + 1, *x_ND.shape), np.float32)
        x_LND[0] = x_ND.numpy()
        turns_PD = _table(_length(int(sight.rows_6N[1].max())), self.shape.head_dim, self.shape.rope_base)
        read_NL2KD = self._unread if read is None else read.contiguous().numpy()
        through(x_LND, tuple(self._weights), tuple(sight), turns_PD, tuple(self._reader_weights), read_NL2KD)
        return torch.from_numpy(x_LND[1:])

    def warm(self) -> None:
        """Have loops compiled for this stack, or read from disk, before a text waits for it."""
        shape, layers = self.shape, 0 if self.readers is None else len(self.readers)
        x_1D = self._parts[0].gain_LI.new_zeros(1, shape.width)
        kv = np.zeros((len(self.blocks), 1, 2 * shape.n_kv_heads, 1, shape.head_dim), np.float32)
        none = np.zeros(1, np.int64)
        self.compiled(x_1D, Sight.back_to(kv, 0, none, none, none), x_1D.new_zeros(1, layers, 2, 1, shape.width))

    @cached_property
    def _weights(self) -> BlockWeights:
        (norm, qkv), (_, out), (ffn_norm, gate_up), (_, down) = (part.arrays() for part in self._parts)
        return BlockWeights(norm, qkv, out, ffn_norm, gate_up, down, self.shape.heads, self.shape.norm_eps)

    @cached_property
    def _reader_weights(self) -> CrossWeights:
        if self.readers is None:
            norm, out = self._parts[1].arrays()
            return CrossWeights(norm[:0], out[:0], norm[:0], out[:0], out[:0], 1, 0.0, 1.0)
        return self.readers.weights


def _length(last: int) -> int:
    """Of a table of places up to `last`: it doubles when it is short."""
    return max(1024, 1 << last.bit_length())


@lru_cache(maxsize=16)
def _turns(length: int, head_dim: int, base: float, device: str) -> Tensor:
    with torch.inference_mode(False):
        return rotation(torch.arange(length, device=device), head_dim, base).turn[:, None]


@lru_cache(maxsize=16)
def _table(length: int, head_dim: int, base: float) -> Array:
    return torch.view_as_real(_turns(length, head_dim, base, "cpu")).reshape(length, -1).numpy()


def turns(places: Tensor, last: int, shape: FlatConfig) -> Tensor:
    """Rotations [N, 1, d / 2] of places [N], none beyond `last`."""
    return _turns(_length(last), shape.head_dim, shape.rope_base, str(places.device)).index_select(0, places)
