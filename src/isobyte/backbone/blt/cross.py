"""Attention between bytes and patches, by gathering: a byte meets the few vectors of one patch, never all of them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from isobyte.backbone.layers import RMSNorm


class CrossAttention(nn.Module):
    """Queries of one kind read vectors of the other; no positions (arXiv 2412.09871, 3.2.2)."""

    def __init__(self, width: int, heads: int, eps: float, *, doubled: bool, counted: bool) -> None:
        super().__init__()
        self.heads, self.residual, self.counted = heads, 2.0 if doubled else 1.0, counted
        self.query_norm = RMSNorm(width, eps)
        self.held_norm = RMSNorm(width, eps)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def queries(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., H, d], scaled."""
        q = self.query(self.query_norm(x))
        return (q * (q.shape[-1] // self.heads) ** -0.5).unflatten(-1, (self.heads, -1))

    def held(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [..., H, d] of vectors [..., D]."""
        k, v = self.key_value(self.held_norm(x)).chunk(2, -1)
        return k.unflatten(-1, (self.heads, -1)), v.unflatten(-1, (self.heads, -1))

    def residue(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The block's output: what was read [..., H, d], added to its input [..., D]."""
        return self.residual * x + self.out(mixed.flatten(-2))

    def read_by_patches(self, q_PKD: Tensor, x_ND: Tensor, patch_N: Tensor) -> Tensor:
        """Queries of patches [P, k, D] read the bytes x [N, D] of their own patch, `patch_N`: [P, k, D].

        Bytes of a patch number P or above are read by none; a patch without bytes reads nothing.
        """
        patches = len(q_PKD)
        q_PKHd = self.queries(q_PKD)
        k_NHd, v_NHd = self.held(x_ND)
        index = patch_N.clamp(max=patches)
        asked = _with_row(q_PKHd).index_select(0, index)
        scores_NKH = _scores(asked, k_NHd[:, None], self.counted)
        with torch.no_grad():  # softmax does not change by what is taken off all scores of a patch
            top = scores_NKH.new_full((patches + 1, *scores_NKH.shape[1:]), float("-inf"))
            spread = index[:, None, None].expand_as(scores_NKH)
            top = top.scatter_reduce(0, spread, scores_NKH, "amax").index_select(0, index)
        weights = (scores_NKH - top).exp()
        total = weights.new_zeros((patches + 1, *weights.shape[1:])).index_add(0, index, weights)
        weights = weights / total.index_select(0, index)
        parts = _weighted(weights, v_NHd, self.counted)
        mixed = torch.zeros_like(_with_row(q_PKHd)).index_add(0, index, parts)[:patches]
        return self.residue(q_PKD, mixed)

    def read_by_bytes(self, x_ND: Tensor, k_NKHd: Tensor, v_NKHd: Tensor) -> Tensor:
        """Bytes [N, D] each read the k keys and values [N, k, H, d] of one patch: [N, D]."""
        q_NHd = self.queries(x_ND)
        weights_NKH = _scores(q_NHd[:, None], k_NKHd, self.counted).softmax(1)
        if self.counted:
            mixed = (weights_NKH.transpose(1, 2)[:, :, None] @ v_NKHd.transpose(1, 2))[:, :, 0]
        else:
            mixed = (weights_NKH[..., None] * v_NKHd).sum(1)
        return self.residue(x_ND, mixed)


class Crosses(nn.ModuleList):
    """Layers of cross-attention, typed as such."""

    if TYPE_CHECKING:

        def __getitem__(self, index: int) -> CrossAttention: ...  # pyright: ignore[reportIncompatibleMethodOverride]
        def __iter__(self) -> Iterator[CrossAttention]: ...


def pool_max(x_ND: Tensor, patch_N: Tensor, patches: int) -> Tensor:
    """Elementwise maximum over the bytes of each patch [P, D]; 0 of a patch without bytes."""
    index = patch_N.clamp(max=patches)[:, None].expand_as(x_ND)
    empty = x_ND.new_zeros(patches + 1, x_ND.shape[1])
    return empty.scatter_reduce(0, index, x_ND, "amax", include_self=False)[:patches]


def _with_row(x: Tensor) -> Tensor:
    """One more row, for bytes that belong to no patch."""
    return torch.cat((x, torch.zeros_like(x[:1])))


def _scores(q: Tensor, k: Tensor, counted: bool) -> Tensor:
    """Products over the last axis of what broadcasts; as matrix products where a FLOP counter is to see them."""
    if counted:
        return (q[..., None, :] @ k[..., :, None])[..., 0, 0]
    return (q * k).sum(-1)


def _weighted(weights_NKH: Tensor, v_NHd: Tensor, counted: bool) -> Tensor:
    if counted:
        return weights_NKH[..., None, None].matmul(v_NHd[:, None, :, None])[..., 0, :]
    return weights_NKH[..., None] * v_NHd[:, None]
