"""Scaled dot-product attention: one meaning, three implementations that agree."""

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from isobyte.backbone.mask import Mask, MaskSpec, Ranked

Attention = Callable[[Tensor, Tensor, Tensor, Mask], Tensor]
"""q [B, H, S, d], k and v [B, H_kv, P + S, d], mask of the S cells -> [B, H, S, d].

The first P keys are those of a cache, and every query sees them.
"""


def explicit(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """The reference: two matrix products and a softmax. Every product is visible to a FLOP counter."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    scores = scores.masked_fill(~_dense(q, k, mask), float("-inf"))
    return scores.softmax(-1) @ v


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """PyTorch's fused kernels."""
    gqa = q.shape[1] != k.shape[1]
    whole = isinstance(mask, MaskSpec) and mask.sees_all(k.shape[2])
    if whole and (mask.kind == "bidirectional" or q.shape[2] == 1):
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=gqa)
    if whole and q.shape[2] == k.shape[2]:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=gqa)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=_dense(q, k, mask), enable_gqa=gqa)


def _dense(q: Tensor, k: Tensor, mask: Mask) -> Tensor:
    length = q.shape[2]
    return mask.dense(length, q.device, k.shape[2] - length)


@lru_cache(maxsize=32)
def _causal_blocks(length: int, device: str, window: int | None = None):
    from torch.nn.attention.flex_attention import create_block_mask

    reach = window or length

    def causal(_b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (query - key < reach)

    with torch.inference_mode(False):  # the cache outlives the call, and training may need it next
        return create_block_mask(causal, None, None, length, length, device=device)


@lru_cache(maxsize=2)
def _ranked_blocks(mask: Ranked, batch: int, device: str):
    """One per mask, which serves all layers of a step; `mask` compares by identity."""
    from torch.nn.attention.flex_attention import create_block_mask

    shape = (batch, mask.rank_BS.shape[1])
    rank, noisy = mask.rank_BS.expand(shape).to(device), mask.noisy_BS.expand(shape).to(device)

    def ranked(b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        revealed = ~noisy[b, key] & (rank[b, key] < rank[b, query])
        return revealed | ((rank[b, key] == rank[b, query]) & (noisy[b, key] == noisy[b, query]))

    with torch.inference_mode(False):
        return create_block_mask(ranked, batch, None, shape[1], shape[1], device=device)


def flex(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """FlexAttention; on a CPU forward only. With a cache the queries are few, and SDPA serves them."""
    from torch.nn.attention.flex_attention import flex_attention

    if k.shape[2] != q.shape[2] or mask.kind == "dense":
        return sdpa(q, k, v, mask)
    blocks = None
    if isinstance(mask, Ranked):
        blocks = _ranked_blocks(mask, len(q), str(q.device))
    elif mask.kind == "causal":
        blocks = _causal_blocks(q.shape[2], str(q.device), mask.window)
    out = flex_attention(q, k, v, block_mask=blocks, enable_gqa=q.shape[1] != k.shape[1])
    assert isinstance(out, Tensor)
    return out


ATTENTION: dict[str, Attention] = {"explicit": explicit, "sdpa": sdpa, "flex": flex}
