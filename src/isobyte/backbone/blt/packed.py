"""A model's weights, laid out for decoding byte by byte."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from isobyte.backbone import half
from isobyte.backbone.blt.cross import CrossAttention
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.few_rows import FewRows, LayOut, Product, Times, normed
from isobyte.backbone.flat import FlatModel


@dataclass(frozen=True)
class Reader:
    """The bytes' side of one layer of the decoder's cross-attention; its scale is in the query's gain."""

    query: Times
    out: Times
    heads: int
    residual: float
    eps: float

    @classmethod
    def of(cls, cross: CrossAttention, times: LayOut) -> "Reader":
        out = times(cross.out.weight, None)
        return cls(_query(cross, times), out, cross.heads, cross.residual, cross.query_norm.eps)

    def __call__(self, x_ND: Tensor, kv_N2KD: Tensor) -> Tensor:
        """Rows [N, D] read the k keys and values [N, 2, k, D] of one patch each."""
        rows, width = x_ND.shape
        q = self.query(normed(x_ND, self.eps)).view(rows, 1, self.heads, -1)
        k, v = kv_N2KD.view(rows, 2, -1, self.heads, width // self.heads).unbind(1)
        weights_NKH1 = (q * k).sum(-1, keepdim=True).softmax(1)
        return self.out((weights_NKH1 * v).sum(1).view(rows, width)).add_(x_ND, alpha=self.residual)


@dataclass(frozen=True)
class Pooler:
    """One layer of the encoder's cross-attention."""

    query: Times
    key_value: Times
    out: Times
    heads: int
    residual: float
    eps: float

    @classmethod
    def of(cls, cross: CrossAttention, times: LayOut) -> "Pooler":
        query, out = _query(cross, times), times(cross.out.weight, None)
        return cls(query, _held(cross, times), out, cross.heads, cross.residual, cross.held_norm.eps)

    def __call__(self, x_PKD: Tensor, h_PLE: Tensor, seen_PL: Tensor | None) -> Tensor:
        """The k vectors [P, k, D] of patches read the bytes [P, L, E] of their own."""
        x_ND, (patches, length) = x_PKD.flatten(0, 1), h_PLE.shape[:2]
        q_PKHd = self.query(normed(x_ND, self.eps)).view(*x_PKD.shape[:2], self.heads, -1)
        kv = self.key_value(normed(h_PLE.flatten(0, 1), self.eps)).view(patches, length, 2, self.heads, -1)
        k_PHLd, v_PHLd = kv.permute(2, 0, 3, 1, 4)
        mask = None if seen_PL is None else seen_PL[:, None, None]
        mixed = F.scaled_dot_product_attention(q_PKHd.transpose(1, 2), k_PHLd, v_PHLd, mask, scale=1.0)
        mixed_ND = mixed.transpose(1, 2).reshape(x_ND.shape)
        return self.out(mixed_ND).add_(x_ND, alpha=self.residual).view(x_PKD.shape)


class Packed:
    """What `State` needs of a model; made once, it serves any number of states while the weights stay as they are."""

    def __init__(self, model: BltModel, *, halves: bool = True) -> None:
        """Weights that are all fp16 numbers are kept so where that is possible, unless `halves` is False."""
        shape = model.shape
        self.model = model
        self.halved = halves and half.possible(model) and half.is_half(model)
        self.width = half.WIDTH if self.halved else model.head.weight.element_size()
        """Bytes of a number in the matrices."""
        times: LayOut = half.HalfProduct if self.halved else Product
        self.encoder = [FewRows(block, shape.encoder, times) for block in model.encoder.stack.blocks]
        self.latent = [FewRows(block, shape.latent, times) for block in model.latent.stack.blocks]
        self.decoder = [FewRows(block, shape.decoder, times) for block in model.decoder.stack.blocks]
        scorer = model.patcher.scorer
        self.scorer: list[FewRows] = []
        if isinstance(scorer, FlatModel):
            self.scorer = [FewRows(block, scorer.shape, times) for block in scorer.blocks]
            head = scorer.embedding.weight[: scorer.vocab] if scorer.head is None else scorer.head.weight
            self.scorer_head = times(head, scorer.norm.weight)
        self.pool = times(model.encoder.pool.weight, None)
        self.poolers = [Pooler.of(cross, times) for cross in model.encoder.cross]
        enter = model.latent.enter
        self.enter = times(enter.weight, None) if isinstance(enter, torch.nn.Linear) else None
        self.vectors = times(model.decoder.enter.weight, None)
        self.readers = [Reader.of(cross, times) for cross in model.decoder.cross]
        self.held = [_held(cross, times) for cross in model.decoder.cross]

    def pooled(self, layers: Tensor, seen_PL: Tensor | None) -> Tensor:
        """The k vectors [P, k, E] of patches by their bytes' states [layers, P, L, E] after each layer that pools;
        of the L those count that `seen_PL` names, or all."""
        first = layers[0] if seen_PL is None else layers[0].masked_fill(~seen_PL[..., None], float("-inf"))
        x_PKE = self.pool(first.amax(1)).view(len(first), self.model.encoder.latents, -1)
        for pooler, h_PLE in zip(self.poolers, layers, strict=True):
            x_PKE = pooler(x_PKE, h_PLE, seen_PL)
        return x_PKE

    def latent_kv(self, latents_PG: Tensor) -> Tensor:
        """Keys and values of every cross layer of the decoder: [P, layers, 2, k, D]."""
        decoder = self.model.decoder
        vectors = self.vectors(latents_PG).view(len(latents_PG) * decoder.latents, -1)
        vectors = normed(vectors, decoder.cross[0].held_norm.eps)
        found = torch.stack([held(vectors) for held in self.held])
        return found.view(len(self.held), len(latents_PG), decoder.latents, 2, -1).permute(1, 0, 3, 2, 4)


def _query(cross: CrossAttention, times: LayOut) -> Times:
    """With attention's scale."""
    scale = (cross.query.weight.shape[0] // cross.heads) ** -0.5
    return times(cross.query.weight, cross.query_norm.weight * scale)


def _held(cross: CrossAttention, times: LayOut) -> Times:
    """The matrix of keys and values."""
    return times(cross.key_value.weight, cross.held_norm.weight)
