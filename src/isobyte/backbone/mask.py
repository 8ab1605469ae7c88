"""Which cells see which: a small value that becomes a dense mask, an SDPA call or a FlexAttention mask.

A cell is one input of the network: what it holds, where, and whose turn it is. Most objectives show one cell per
position; those that show a position twice, hidden and in clear, say with ranks who sees whom.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Visibility = Literal["causal", "bidirectional"]


@dataclass(frozen=True)
class MaskSpec:
    """`causal`: a query sees itself and what came before. `bidirectional`: everything."""

    kind: Visibility

    def dense(self, length: int, device: torch.device | str = "cpu") -> Tensor:
        """[S, S] bool; True where query (row) sees key (column)."""
        full = torch.ones(length, length, dtype=torch.bool, device=device)
        return full.tril() if self.kind == "causal" else full


@dataclass(frozen=True, eq=False)
class Ranked:
    """A clean cell is seen by every cell of a higher rank and by the clean ones of its own rank; a noisy cell, which
    belongs to a copy in which something is hidden, is seen by the noisy ones of its own rank alone.

    The rank of a cell is the step at which its symbol is revealed. With the index of a block as rank this is the
    training mask of block diffusion (BD3-LM, arXiv 2503.09573); with a permutation, that of any order at all.
    """

    rank_BS: Tensor
    """[B, S] or [1, S] integers."""
    noisy_BS: Tensor
    """[B, S] or [1, S] bool."""
    kind: Literal["ranked"] = "ranked"

    def dense(self, length: int, device: torch.device | str = "cpu") -> Tensor:
        """[B, 1, S, S] bool; True where query (row) sees key (column)."""
        assert length == self.rank_BS.shape[1]
        rank, noisy = self.rank_BS.to(device), self.noisy_BS.to(device)
        query, key = rank[:, :, None], rank[:, None]
        revealed = ~noisy[:, None] & (key < query)
        return (revealed | ((key == query) & (noisy[:, None] == noisy[:, :, None])))[:, None]


@dataclass(frozen=True, eq=False)
class Dense:
    """A mask that is worked out already, once for all layers."""

    visible: Tensor
    """[B, 1, S, S] bool."""
    kind: Literal["dense"] = "dense"

    def dense(self, _length: int, _device: torch.device | str = "cpu") -> Tensor:
        return self.visible


Mask = MaskSpec | Ranked | Dense
CAUSAL = MaskSpec("causal")
BIDIRECTIONAL = MaskSpec("bidirectional")


def with_prefix(visible: Tensor, prefix: int) -> Tensor:
    """A dense mask [..., S, S] -> [..., S, prefix + S], for keys in a cache, which every query sees."""
    return torch.cat((visible.new_ones(*visible.shape[:-1], prefix), visible), -1)
