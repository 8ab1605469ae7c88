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
        return cls(_query(cross), Product(cross.out.weight), cross.heads, cross.residual, cross.query_norm.eps)

    def __call__(self, x_ND: Tensor, kv_N2KD: Tensor) -> Tensor:
        """Rows [N, D] read the k keys and values [N, 2, k, D] of one patch each."""
        rows, width = x_ND.shape
        q = self.query(normed(x_ND, self.eps)).view(rows, 1, self.heads, -1)
        k, v = kv_N2KD.view(rows, 2, -1, self.heads, width // self.heads).unbind(1)
        weights_NKH1 = (q * k).sum(-1, keepdim=True).softmax(1)
        return self.out((weights_NKH1 * v).sum(1).view(rows, width)).add_(x_ND, alpha=self.residual)


@dataclass(frozen=True)
class Pooler:
    """One layer of the encoder's cross-attention, for one patch."""

    query: Product
    key_value: Product
    out: Product
    heads: int
    residual: float
    eps: float

    @classmethod
    def of(cls, cross: CrossAttention) -> "Pooler":
        return cls(
            _query(cross),
            Product(_held(cross)),
            Product(cross.out.weight),
            cross.heads,
            cross.residual,
            cross.held_norm.eps,
        )

    def __call__(self, x_KD: Tensor, h_LE: Tensor) -> Tensor:
        """The k vectors [k, D] of a patch read its bytes [L, E]."""
        q = self.query(normed(x_KD, self.eps)).view(len(x_KD), self.heads, -1).transpose(0, 1)
        k, v = self.key_value(normed(h_LE, self.eps)).view(len(h_LE), 2, self.heads, -1).permute(1, 2, 0, 3)
        mixed = torch.bmm(torch.bmm(q, k.transpose(1, 2)).softmax(-1), v)
        return self.out(mixed.transpose(0, 1).reshape(x_KD.shape)).add_(x_KD, alpha=self.residual)


class Packed:
    """What `State` needs of a model; made once, it serves any number of states while the weights stay as they are."""

    def __init__(self, model: BltModel) -> None:
        shape = model.shape
        self.model = model
        self.encoder = [FewRows(block, shape.encoder) for block in model.encoder.stack.blocks]
        self.latent = [FewRows(block, shape.latent) for block in model.latent.stack.blocks]
        self.decoder = [FewRows(block, shape.decoder) for block in model.decoder.stack.blocks]
        scorer = model.patcher.scorer
        self.scorer: list[FewRows] = []
        if isinstance(scorer, FlatModel):
            self.scorer = [FewRows(block, scorer.shape) for block in scorer.blocks]
            head = scorer.embedding.weight[: scorer.vocab] if scorer.head is None else scorer.head.weight
            self.scorer_head = Product(head * scorer.norm.weight)
        self.pool = Product(model.encoder.pool.weight)
        self.poolers = [Pooler.of(cross) for cross in model.encoder.cross]
        enter = model.latent.enter
        self.enter = Product(enter.weight) if isinstance(enter, torch.nn.Linear) else None
        self.vectors = Product(model.decoder.enter.weight)
        self.readers = [Reader.of(cross) for cross in model.decoder.cross]
        self.held = Product(torch.cat([_held(cross) for cross in model.decoder.cross]))

    def pooled(self, layers: list[Tensor]) -> Tensor:
        """The k vectors [1, k, E] of one patch by its bytes' states [L, E] after each layer that pools."""
        x_KE = self.pool(layers[0].amax(0, keepdim=True)).view(self.model.encoder.latents, -1)
        for pooler, h_LE in zip(self.poolers, layers, strict=True):
            x_KE = pooler(x_KE, h_LE)
        return x_KE[None]

    def latent_kv(self, latents_PG: Tensor) -> Tensor:
        """Keys and values of every cross layer of the decoder: [P, layers, 2, k, D]."""
        decoder = self.model.decoder
        vectors = self.vectors(latents_PG).view(len(latents_PG) * decoder.latents, -1)
        found = self.held(normed(vectors, decoder.cross[0].held_norm.eps))
        return found.view(len(latents_PG), decoder.latents, len(self.readers), 2, -1).permute(0, 2, 3, 1, 4)


def _query(cross: CrossAttention) -> Product:
    """With the norm's gain and attention's scale in it."""
    scale = (cross.query.weight.shape[0] // cross.heads) ** -0.5
    return Product(cross.query.weight * cross.query_norm.weight * scale)


def _held(cross: CrossAttention) -> Tensor:
    """The matrix of keys and values, with the norm's gain in it."""
    return cross.key_value.weight * cross.held_norm.weight
