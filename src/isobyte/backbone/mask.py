"""Which positions see which: a small value that becomes a dense mask, an SDPA call or a FlexAttention mask."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isobyte.config.objective import Visibility


@dataclass(frozen=True)
class MaskSpec:
    """`causal`: a query sees itself and what came before. `bidirectional`: everything."""

    kind: Visibility

    def dense(self, length: int, device: torch.device | str = "cpu") -> Tensor:
        """[T, T] bool; True where query (row) sees key (column)."""
        full = torch.ones(length, length, dtype=torch.bool, device=device)
        return full.tril() if self.kind == "causal" else full


CAUSAL = MaskSpec("causal")
BIDIRECTIONAL = MaskSpec("bidirectional")
