"""Keys and values of cells that every later cell sees."""

import torch
from torch import Tensor

from isobyte.config.backbone import FlatConfig
from isobyte.errors import UserError


class Cache:
    """Static buffers [layers, B, H_kv, capacity, d]; the first `length` cells of each are kept.

    A call of the network shows it S new cells after those, and the first `keep` of the S stay: cells that only
    ask (hidden ones) come last and are overwritten by the next call.
    """

    def __init__(
        self,
        shape: FlatConfig,
        batch: int,
        capacity: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        size = (shape.layers, batch, shape.n_kv_heads, capacity, shape.head_dim)
        self.keys = torch.zeros(size, dtype=dtype, device=device)
        self.values = torch.zeros(size, dtype=dtype, device=device)
        self.length = 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the kept cells and the S new ones, [B, H_kv, length + S, d]."""
        end = self.length + k.shape[2]
        if end > self.keys.shape[3]:
            raise UserError(
                f"{end} cells, room for {self.keys.shape[3]}", where="cache", how="make it for a longer window"
            )
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]
