"""The flat backbone: a LLaMA-style transformer over single symbols, with its embedding and its head."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isobyte.backbone.attention import ATTENTION
from isobyte.backbone.layers import Block, RMSNorm, Rotation, TimeEmbedding, rotation
from isobyte.backbone.mask import MaskSpec
from isobyte.config.backbone import FlatConfig


class FlatModel(nn.Module):
    """Symbols, positions and a mask spec -> hidden states -> logits over the `vocab` symbols.

    Input ids are the symbols 0..vocab-1 and one more, `vocab`: BOS or MASK, whichever the objective uses.
    It has no column in the head, so no probability is ever spent on it.
    """

    def __init__(
        self, shape: FlatConfig, vocab: int, *, time_conditioning: bool = False, attention: str = "sdpa"
    ) -> None:
        super().__init__()
        self.shape, self.vocab = shape, vocab
        self.kernel = ATTENTION[attention]
        self.embedding = nn.Embedding(vocab + 1, shape.width)
        self.blocks = nn.ModuleList(Block(shape, time_conditioning=time_conditioning) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.width, shape.norm_eps)
        self.head = None if shape.tied else nn.Linear(shape.width, vocab, bias=False)
        self.time = TimeEmbedding(shape.width) if time_conditioning else None
        self.film = nn.Linear(shape.width, 2 * shape.width, bias=False) if time_conditioning else None
        self._rotation: tuple[tuple[int, str], Rotation] | None = None

    def forward(
        self,
        inputs_BT: Tensor,
        mask: MaskSpec,
        *,
        positions_T: Tensor | None = None,
        time_B: Tensor | None = None,
    ) -> Tensor:
        """Hidden states [B, T, D]. Positions default to 0..T-1; only a time-conditioned network asks for `time_B`."""
        rotation = self._rotations(inputs_BT.shape[1], inputs_BT.device, positions_T)
        time_BD = self.time(time_B) if self.time is not None else None
        h_BTD = self.embedding(inputs_BT)
        for block in self.blocks:
            h_BTD = block(h_BTD, rotation, mask, self.kernel, time_BD)
        h_BTD = self.norm(h_BTD)
        if self.film is not None and time_BD is not None:
            shift, scale = self.film(time_BD)[:, None].chunk(2, -1)
            h_BTD = h_BTD * (1 + scale) + shift
        return h_BTD

    def logits(self, h_BTD: Tensor) -> Tensor:
        """[..., D] -> [..., vocab]."""
        if self.head is not None:
            return self.head(h_BTD)
        return F.linear(h_BTD, self.embedding.weight[: self.vocab])

    def _rotations(self, length: int, device: torch.device, positions_T: Tensor | None) -> Rotation:
        if positions_T is not None:
            return rotation(positions_T, self.shape.head_dim, self.shape.rope_base)
        key = (length, str(device))
        if self._rotation is None or self._rotation[0] != key:
            with torch.inference_mode(False):  # the cache outlives the call, and training may need it next
                positions_T = torch.arange(length, device=device)
                self._rotation = key, rotation(positions_T, self.shape.head_dim, self.shape.rope_base)
        return self._rotation[1]


@torch.no_grad()
def initialise(model: FlatModel, seed: int) -> None:
    """Normal weights with deviation 1/sqrt(fan-in), residual outputs shrunk by sqrt(2 L), modulations and head at zero.

    A zero head starts training at exactly the uniform distribution. All rows of the embedding share one random
    vector: without biases a key has no part that every symbol shares, and a query no way to ask for a position alone;
    masked models then sit on the unigram plateau (measured: LOG.md). Deterministic in `seed` on any device.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    width, residual = model.shape.width, 1 / math.sqrt(2 * model.shape.layers)
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            weight.fill_(1.0)
        elif name == "embedding.weight":
            rows = normal(*weight.shape) + normal(width)
            weight.copy_(rows if model.head is not None else rows * width**-0.5)
        elif name == "head.weight" or "film" in name:
            weight.zero_()
        else:
            scale = weight.shape[1] ** -0.5
            if name.endswith(("attention.out.weight", "ffn.down.weight")):
                scale *= residual
            weight.copy_(normal(*weight.shape) * scale)
