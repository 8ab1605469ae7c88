"""Symbols shown as digits: an embedding that merges them, and the code table that the head's symbols go by."""

import torch
from torch import Tensor, nn

from isobyte.config.objective import digit_shape
from isobyte.errors import UserError


class DigitEmbedding(nn.Module):
    """[B, S, digits] ids in 0..base, `base` where hidden -> [B, S, D] (MDM-Prime, arXiv 2505.18495).

    `sum` adds a vector per digit and place; `cat` puts narrow ones side by side; `cat-share` does so with one
    table for all places.
    """

    codes: Tensor

    def __init__(self, codes_VL: Tensor, width: int, merge: str) -> None:
        super().__init__()
        vocab, self.digits = codes_VL.shape
        self.base = digit_shape(vocab, self.digits)[1]
        self.merge = merge
        if merge != "sum" and width % self.digits:
            raise UserError(
                f"width {width} does not divide into {self.digits} digits",
                where="objective.merge",
                how="take merge = 'sum', another width or another number of digits",
            )
        places = 1 if merge == "cat-share" else self.digits
        own = width if merge == "sum" else width // self.digits
        self.weight = nn.Parameter(torch.empty(places, self.base + 1, own))
        self.register_buffer("codes", codes_VL)

    def forward(self, inputs_BSL: Tensor) -> Tensor:
        places = torch.arange(len(self.weight), device=inputs_BSL.device)
        vectors_BSLd = self.weight[places, inputs_BSL] if len(self.weight) > 1 else self.weight[0][inputs_BSL]
        if self.merge == "sum":
            return vectors_BSLd.sum(-2)
        return vectors_BSLd.flatten(-2)
