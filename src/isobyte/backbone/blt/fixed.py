"""Keys and values in tensors that neither move nor change shape; what is seen of them is worked out on the device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isobyte.backbone.blt.rings import Ring, attended
from isobyte.backbone.few_rows import Attend
from isobyte.config.backbone_flat import FlatConfig


@dataclass(frozen=True)
class Seen:
    """Where the new byte of each row goes, and what it sees. One serves all caches of the same size and window."""

    slots_B: Tensor
    """Of the row's R."""
    mask: Tensor
    """[B, 1, 1, R]: 0 where seen, -inf where not."""
    window: int

    @classmethod
    def empty(cls, batch: int, size: int, window: int, like: Tensor) -> "Seen":
        return cls(like.new_zeros(batch, dtype=torch.long), like.new_zeros(batch, 1, 1, size), window)

    def update(self, place_B: Tensor, document_B: Tensor) -> None:
        """For bytes at `place_B` in documents that begin at `document_B`: place p lies in slot p modulo R."""
        size = self.mask.shape[-1]
        slot_R = torch.arange(size, device=place_B.device)
        torch.remainder(place_B, size, out=self.slots_B)
        age_BR = (place_B[:, None] - slot_R) % size
        oldest_B = (place_B - document_B).clamp(max=self.window - 1)
        torch.log((age_BR <= oldest_B[:, None]).to(self.mask.dtype)[:, None, None], out=self.mask)


@dataclass(frozen=True)
class Window:
    """A `Ring` of fixed tensors: the keys and values of all layers of a local network."""

    kv: Tensor
    """[layers, B, 2 H_kv, R, d]."""
    shape: FlatConfig
    window: int
    endless: bool

    @classmethod
    def like(cls, ring: Ring) -> "Window":
        """An empty one of the same shape."""
        return cls(torch.zeros_like(ring.kv), ring.shape, ring.window, ring.endless)

    @property
    def size(self) -> int:
        return self.kv.shape[3]

    def attention(self, seen: Seen) -> list[Attend]:
        """One per layer, which keeps the new keys and values."""
        return [attend_over(held, self.shape, seen.slots_B, seen.mask) for held in self.kv]


def attend_over(held: Tensor, shape: FlatConfig, slots_B: Tensor, mask: Tensor) -> Attend:
    """One new row for each of B texts: its key and value go to `slots_B` of `held` [B, 2 H_kv, R, d], and it sees of
    the first places what the mask [B, 1, 1, places] lets it."""
    k, v = held[:, :, : mask.shape[-1]].split(shape.n_kv_heads, 1)

    def attend(q: Tensor, kv: Tensor) -> Tensor:
        held.scatter_(2, slots_B[:, None, None, None].expand(-1, held.shape[1], 1, held.shape[3]), kv[:, :, None])
        return attended(q[:, :, None], k, v, mask).flatten(1)

    return attend
