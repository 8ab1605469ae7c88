"""Layers of attention between bytes and patches, laid out for a few rows at a time; as `cross`, to rounding."""

from collections.abc import Iterable
from functools import cached_property

import torch.nn.functional as F
from torch import Tensor

from isobyte.backbone.arrays import CrossWeights
from isobyte.backbone.blt.cross import CrossAttention
from isobyte.backbone.products import Matrices


class CrossLayers:
    """Layers of attention between bytes and patches."""

    def __init__(self, crosses: Iterable[CrossAttention], *, halved: bool) -> None:
        layers = list(crosses)
        self.heads, self.residual, self.eps = layers[0].heads, layers[0].residual, layers[0].query_norm.eps
        scale = (layers[0].query.weight.shape[0] // self.heads) ** -0.5
        gains = [each.query_norm.weight * scale for each in layers]
        held_gains = [each.held_norm.weight for each in layers]
        self.query = Matrices([each.query.weight for each in layers], gains, self.eps, halved=halved)
        self.key_value = Matrices([each.key_value.weight for each in layers], held_gains, self.eps, halved=halved)
        self.out = Matrices([each.out.weight for each in layers], halved=halved)

    def __len__(self) -> int:
        return len(self.query.products)

    @cached_property
    def weights(self) -> CrossWeights:
        """As compiled loops take them."""
        arrays = (*self.query.arrays(), *self.key_value.arrays(), self.out.arrays()[1])
        return CrossWeights(*arrays, self.heads, self.eps, self.residual)

    def read_by_bytes(self, layer: int, x_ND: Tensor, kv_N2KD: Tensor) -> Tensor:
        """Bytes [N, D] read the k keys and values [N, 2, k, D] of one patch each."""
        rows, width = x_ND.shape
        q = self.query.products[layer](x_ND).view(rows, 1, self.heads, -1)
        k, v = kv_N2KD.view(rows, 2, -1, self.heads, width // self.heads).unbind(1)
        weights_NKH1 = (q * k).sum(-1, keepdim=True).softmax(1)
        mixed_ND = (weights_NKH1 * v).sum(1).view(rows, width)
        return self.out.products[layer](mixed_ND).add_(x_ND, alpha=self.residual)

    def read_by_patches(self, layer: int, x_PKD: Tensor, h_PLD: Tensor, seen_PL: Tensor | None) -> Tensor:
        """The k vectors [P, k, D] of patches read the bytes [P, L, D] of their own."""
        x_ND, (patches, length) = x_PKD.flatten(0, 1), h_PLD.shape[:2]
        q_PKHd = self.query.products[layer](x_ND).view(*x_PKD.shape[:2], self.heads, -1)
        kv = self.key_value.products[layer](h_PLD.flatten(0, 1)).view(patches, length, 2, self.heads, -1)
        k_PHLd, v_PHLd = kv.permute(2, 0, 3, 1, 4)
        mask = None if seen_PL is None else seen_PL[:, None, None]
        mixed = F.scaled_dot_product_attention(q_PKHd.transpose(1, 2), k_PHLd, v_PHLd, mask, scale=1.0)
        mixed_ND = mixed.transpose(1, 2).reshape(x_ND.shape)
        return self.out.products[layer](mixed_ND).add_(x_ND, alpha=self.residual).view(x_PKD.shape)
