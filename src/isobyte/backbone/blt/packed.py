"""A model's weights, laid out for decoding byte by byte."""

from dataclasses import dataclass

import torch
from torch import Tensor

from isobyte.backbone.blt.cross import CrossAttention
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.few_rows import FewRows, Product, normed
from isobyte.backbone.flat import FlatModel


@dataclass(frozen=True)
class Reader:
    """The bytes' side of one layer of the decoder's cross-attention; its scale and gain are in the query's matrix."""

    query: Product
    out: Product
    heads: int
    residual: float
    eps: float

    @classmethod
    def of(cls, cross: CrossAttention) -> "Reader":
        scale = (cross.query.weight.shape[0] // cross.heads) ** -0.5
        query = Product(cross.query.weight * cross.query_norm.weight * scale)
        return cls(query, Product(cross.out.weight), cross.heads, cross.residual, cross.query_norm.eps)

    def __call__(self, x_ND: Tensor, kv_N2KD: Tensor) -> Tensor:
        """Rows [N, D] read the k keys and values [N, 2, k, D] of one patch each."""
        q = self.query(normed(x_ND, self.eps)).unflatten(-1, (self.heads, -1))
        k, v = kv_N2KD.unflatten(-1, (self.heads, -1)).unbind(1)
        weights_NKH = (q[:, None] * k).sum(-1).softmax(1)
        return self.out((weights_NKH[..., None] * v).sum(1).flatten(1)).add_(x_ND, alpha=self.residual)


class Packed:
    """What `State` needs of a model; made once, it serves any number of states while the weights stay as they are."""

    def __init__(self, model: BltModel) -> None:
        shape = model.shape
        self.model = model
        self.encoder = [FewRows(block, shape.encoder) for block in model.encoder.stack.blocks]
        self.latent = [FewRows(block, shape.latent) for block in model.latent.stack.blocks]
        self.decoder = [FewRows(block, shape.decoder) for block in model.decoder.stack.blocks]
        scorer = model.patcher.scorer
        self.scorer = [FewRows(b, scorer.shape) for b in scorer.blocks] if isinstance(scorer, FlatModel) else []
        self.readers = [Reader.of(cross) for cross in model.decoder.cross]
        gained = [cross.key_value.weight * cross.held_norm.weight for cross in model.decoder.cross]
        self.held = Product(torch.cat(gained))

    def latent_kv(self, latents_PG: Tensor) -> Tensor:
        """Keys and values of every cross layer of the decoder: [P, layers, 2, k, D]."""
        decoder = self.model.decoder
        vectors = decoder.latent_vectors(latents_PG)
        found = self.held(normed(vectors.flatten(0, 1), decoder.cross[0].held_norm.eps))
        return found.view(len(latents_PG), decoder.latents, len(self.readers), 2, -1).permute(0, 2, 3, 1, 4)
