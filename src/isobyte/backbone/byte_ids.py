"""The ids of the Byte Latent Transformer: a byte b is b + 4; four ids stand for something else (arXiv 2412.09871)."""

import torch
from torch import Tensor

BOE, BOS, EOS, DELIMITER = 0, 1, 2, 3
"""What stands before the beginning; beginning and end of a sequence; BPE's delimiter."""
OFFSET = 4
COUNT = OFFSET + 256
MASK = COUNT
"""What a hidden cell of a block holds (arXiv 2605.08044). It is only ever shown: no head has a row for it."""


def ids_of(symbols: Tensor) -> Tensor:
    """Symbols 0..255, and 256 for the beginning, to ids of the same shape."""
    return torch.where(symbols == 256, BOS, symbols + OFFSET)


def documents_of(ids_BT: Tensor) -> Tensor | None:
    """[B, T]: how many ends of a sequence came before; None where none did."""
    ended = ids_BT == EOS
    if not bool(ended.any()):
        return None
    return ended.cumsum(1) - ended.long()
