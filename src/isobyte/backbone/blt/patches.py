"""Which byte belongs to which patch, and which patch's latent it reads."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Patches:
    """Of windows [B, T] with M patches at most, laid out [B, M]; only complete patches have a place.

    Row t reads the latent of the last patch before the one that x_{t+1} belongs to, which is complete by then.
    """

    per_row: int
    """M."""
    count_B: Tensor
    """Complete patches."""
    of_byte_N: Tensor
    """[B T] the place of each byte's patch among the B M, or B M where the patch is not complete."""
    read_N: Tensor
    """[B T] the place of the patch whose latent each row reads."""

    @classmethod
    def of(cls, starts: Tensor) -> "Patches":
        """From bits [B, T + 1], the byte to come included; the first two must be set."""
        patch = starts.long().cumsum(1) - 1
        batch, count_B = len(starts), patch[:, -1]
        per_row = int(count_B.max())
        base = torch.arange(batch, device=starts.device)[:, None] * per_row
        mine = torch.where(patch[:, :-1] < count_B[:, None], patch[:, :-1] + base, batch * per_row)
        return cls(per_row, count_B, mine.flatten(), (patch[:, 1:] - 1 + base).flatten())
