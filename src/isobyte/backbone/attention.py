"""Scaled dot-product attention: one meaning, three implementations that agree."""

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from isobyte.backbone.mask import Blocked, Mask, MaskSpec, Ranked

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
    if isinstance(mask, Blocked):
        return _blocked(q, k, v, mask)
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


def _blocked(q: Tensor, k: Tensor, v: Tensor, mask: Blocked) -> Tensor:
    """The text by itself; then every block over what it sees of the text and over itself, by one softmax.

    With a window that is much shorter than the text each block's keys are gathered, and the others never met.
    """
    T, size, begins_BJ = mask.length, mask.blocks.size, mask.blocks.begins_BJ
    text = sdpa(q[:, :, :T], k[:, :, :T], v[:, :, :T], MaskSpec("causal", mask.window))
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, 1) if groups > 1 else x for x in (k, v))
    asked, own_k, own_v = (x[:, :, T:].unflatten(2, (-1, size)) for x in (q, k, v))
    asked = asked * q.shape[-1] ** -0.5
    held_k, held_v = k[:, :, :T], v[:, :, :T]
    held_BJR = torch.arange(T, device=q.device).expand(*begins_BJ.shape, T)
    if mask.window is not None and 4 * mask.window < T:
        reach = torch.arange(1 - mask.window, 0, device=q.device)
        held_BJR = begins_BJ[:, :, None] + reach
        rows = torch.arange(len(q), device=q.device)[:, None, None]
        held_k, held_v = (x.transpose(1, 2)[rows, held_BJR.clamp(min=0)].movedim(3, 1) for x in (held_k, held_v))
    hidden = (held_BJR < 0) | (held_BJR >= begins_BJ[:, :, None])
    hidden_BJKR = hidden[:, :, None].expand(-1, -1, size, -1)
    if mask.window is not None:
        places_BJK = mask.blocks.places_BC.unflatten(1, (-1, size))
        hidden_BJKR = hidden_BJKR | (held_BJR[:, :, None] <= places_BJK[..., None] - mask.window)
    before = _by_block(asked, held_k.transpose(-1, -2)).masked_fill(hidden_BJKR[:, None], float("-inf"))
    weights = torch.cat((before, asked @ own_k.transpose(-1, -2)), -1).softmax(-1)
    before, own = weights.split((held_BJR.shape[-1], size), -1)
    return torch.cat((text, (_by_block(before, held_v) + own @ own_v).flatten(2, 3)), 2)


def _by_block(x_BHJKa: Tensor, y: Tensor) -> Tensor:
    """x @ y, where y [B, H, J, a, b] is each block's own or [B, H, a, b] is the same for all, and then not copied."""
    if y.ndim == x_BHJKa.ndim:
        return x_BHJKa @ y
    return (x_BHJKa.flatten(2, 3) @ y).unflatten(2, x_BHJKa.shape[2:4])


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


@lru_cache(maxsize=2)
def _blocked_blocks(mask: Blocked, device: str):
    """One per mask, which serves all layers of a step; `mask` compares by identity."""
    from torch.nn.attention.flex_attention import create_block_mask

    T, reach = mask.length, mask.window or mask.length + mask.blocks.size
    ends, places, block = mask.queries(device)

    def blocked(b: Tensor, _h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        of_text = (key < T) & (key < ends[b, query]) & (places[b, query] - key < reach)
        return of_text | ((key >= T) & (block[query] == block[key]))

    with torch.inference_mode(False):
        return create_block_mask(blocked, len(ends), None, len(block), len(block), device=device)


def flex(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """FlexAttention; on a CPU forward only. With a cache the queries are few, and SDPA serves them."""
    from torch.nn.attention.flex_attention import flex_attention

    if k.shape[2] != q.shape[2] or mask.kind == "dense":
        return sdpa(q, k, v, mask)
    blocks = None
    if isinstance(mask, Ranked):
        blocks = _ranked_blocks(mask, len(q), str(q.device))
    elif isinstance(mask, Blocked):
        blocks = _blocked_blocks(mask, str(q.device))
    elif mask.kind == "causal":
        blocks = _causal_blocks(q.shape[2], str(q.device), mask.window)
    out = flex_attention(q, k, v, block_mask=blocks, enable_gqa=q.shape[1] != k.shape[1])
    assert isinstance(out, Tensor)
    return out


ATTENTION: dict[str, Attention] = {"explicit": explicit, "sdpa": sdpa, "flex": flex}
