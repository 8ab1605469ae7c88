"""Scaled dot-product attention: one meaning, three implementations that agree."""

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from isobyte.backbone.mask import MaskSpec

Attention = Callable[[Tensor, Tensor, Tensor, MaskSpec], Tensor]
"""q [B, H, T, d], k and v [B, H_kv, T, d], mask -> [B, H, T, d]."""


def explicit(q: Tensor, k: Tensor, v: Tensor, mask: MaskSpec) -> Tensor:
    """The reference: two matrix products and a softmax. Every product is visible to a FLOP counter."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    scores = scores.masked_fill(~mask.dense(q.shape[2], q.device), float("-inf"))
    return scores.softmax(-1) @ v


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: MaskSpec) -> Tensor:
    """PyTorch's fused kernels."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=mask.kind == "causal", enable_gqa=q.shape[1] != k.shape[1])


@lru_cache(maxsize=32)
def _block_mask(mask: MaskSpec, length: int, device: str):
    from torch.nn.attention.flex_attention import create_block_mask

    def causal(_b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return query >= key

    if mask.kind == "bidirectional":
        return None
    with torch.inference_mode(False):  # the cache outlives the call, and training may need it next
        return create_block_mask(causal, None, None, length, length, device=device)


def flex(q: Tensor, k: Tensor, v: Tensor, mask: MaskSpec) -> Tensor:
    """FlexAttention; on a CPU forward only."""
    from torch.nn.attention.flex_attention import flex_attention

    out = flex_attention(
        q, k, v, block_mask=_block_mask(mask, q.shape[2], str(q.device)), enable_gqa=q.shape[1] != k.shape[1]
    )
    assert isinstance(out, Tensor)
    return out


ATTENTION: dict[str, Attention] = {"explicit": explicit, "sdpa": sdpa, "flex": flex}
