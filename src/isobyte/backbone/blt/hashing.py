"""Hash n-gram embeddings: the bytes up to a position, looked up in tables by a rolling polynomial hash."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isobyte.backbone.byte_ids import EOS
from isobyte.config.backbone_blt import BltConfig

PRIMES = (
    1000000007, 5915587277, 1500450271, 3267000013, 5754853343, 4093082899, 9576890767, 3628273133, 2860486313,
    5463458053, 3367900313,
)  # fmt: skip
"""One per hash function, in the order of the released code."""


class HashEmbedding(nn.Module):
    """For each position the sum of one row per table; tables are stacked, functions first, then sizes.

    Row of the n-gram g_0 .. g_{n-1} (oldest first): sum_j g_j p^j in wrapping 64-bit integers, modulo the table's rows
    (arXiv 2412.09871, equation 23; which end has power 0 is where paper and released code part).
    """

    def __init__(self, shape: BltConfig) -> None:
        super().__init__()
        self.rows, self.paper = shape.hash_vocab, shape.hashing == "paper"
        self.sizes = shape.hash_sizes * shape.hash_functions
        self.reach = max(self.sizes)
        """Ids that a row depends on, its own the last."""
        self.weight = nn.Parameter(torch.empty(len(self.sizes) * self.rows, shape.encoder.width))
        nn.init.normal_(self.weight, std=shape.encoder.width**-0.5)
        functions = [prime for prime in PRIMES[: shape.hash_functions] for _ in shape.hash_sizes]
        powers = torch.tensor(
            [_powers(p, n, self.reach, self.paper) for p, n in zip(functions, self.sizes, strict=True)]
        )
        self.register_buffer("powers_GN", powers, persistent=False)
        self.register_buffer("offset_G", torch.arange(len(self.sizes)) * self.rows, persistent=False)
        self.register_buffer("sizes_G", torch.tensor(self.sizes), persistent=False)

    def table_rows(self, grams_BSN: Tensor) -> Tensor:
        """[B, S, tables] of the last `reach` ids [B, S, reach] up to each position, 0 before the start."""
        hashed = (grams_BSN[..., None, :] * self.get_buffer("powers_GN")).sum(-1)
        return hashed.remainder(self.rows) + self.get_buffer("offset_G")

    def forward(self, grams_BSN: Tensor, position_BS: Tensor) -> Tensor:
        """What is added to the embeddings of bytes [B, S, E]."""
        rows = self.table_rows(grams_BSN)
        within = None
        if self.paper:
            within = (position_BS[..., None] + 1 >= self.get_buffer("sizes_G")).to(self.weight.dtype).flatten(0, 1)
        found = F.embedding_bag(rows.flatten(0, 1), self.weight, mode="sum", per_sample_weights=within)
        return found.view(*rows.shape[:2], -1)

    @property
    def scale(self) -> float:
        """On the sum of a byte's embedding and what is added to it."""
        return 1 / (len(set(self.sizes)) + 1) if self.paper else 1.0


def grams(ids_BT: Tensor, reach: int) -> Tensor:
    """[B, T, reach]: the ids up to each position, oldest first, 0 before the start."""
    return F.pad(ids_BT, (reach - 1, 0)).unfold(1, reach, 1)


def within_document(grams_BSN: Tensor) -> Tensor:
    """With 0 for what lies before the end of an earlier document, that end included."""
    ended = grams_BSN == EOS
    ended[..., -1] = False
    return grams_BSN * (ended.flip(-1).cumsum(-1).flip(-1) == 0)


def _powers(prime: int, size: int, reach: int, newest_first: bool) -> list[int]:
    """Of each of the last `reach` ids, oldest first, as signed 64-bit integers; 0 for those outside the n-gram."""
    powers = [_signed(pow(prime, j, 1 << 64)) for j in range(size)]
    return [0] * (reach - size) + (powers[::-1] if newest_first else powers)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
