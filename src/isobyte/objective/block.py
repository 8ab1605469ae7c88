"""Block diffusion (BD3-LM, arXiv 2503.09573): blocks from left to right, masked diffusion inside each."""

from functools import lru_cache

import torch
from torch import Tensor

from isobyte.backbone.layers import Positions
from isobyte.backbone.mask import Ranked
from isobyte.config.objective import BlockConfig
from isobyte.objective.base import Question, View
from isobyte.objective.draw import Draw


def block_view(x_BT: Tensor, masked_BT: Tensor, block: int, vocab: int) -> View:
    """Two copies in one pass, [hidden; clean]: a hidden block sees itself and the clean blocks before it."""
    inputs = torch.cat((torch.where(masked_BT, vocab, x_BT), x_BT), 1)
    mask, positions = two_copies(x_BT.shape[1], block, str(x_BT.device))
    return View(inputs, mask, positions, asked=x_BT.shape[1])


@lru_cache(maxsize=32)
def two_copies(length: int, block: int, device: str) -> tuple[Ranked, Positions]:
    """The mask and positions of `block_view`."""
    with torch.inference_mode(False):  # the cache outlives the call, and training may need it next
        places = torch.arange(length, device=device).repeat(2)
        noisy = torch.arange(2 * length, device=device) < length
        return Ranked((places // block)[None], noisy[None]), Positions(places, places)


def block_question(config: BlockConfig, x_BT: Tensor, vocab: int, draw: Draw) -> Question:
    """Each block masks its symbols with a p of its own and asks for them at weight 1 / p; of one symbol, always."""
    length, size = x_BT.shape[1], config.block
    low, high = (1.0, 1.0) if size == 1 else config.clip
    p_BK = low + (high - low) * torch.from_numpy(draw.times(-(-length // size))).float()
    p_BT = p_BK.repeat_interleave(size, 1)[:, :length]
    masked_BT = torch.from_numpy(draw.uniform("mask", length)) < p_BT
    device = x_BT.device
    return Question(block_view(x_BT, masked_BT.to(device), size, vocab), x_BT, (masked_BT / p_BT).to(device))
