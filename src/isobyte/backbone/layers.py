"""The parts of a transformer block."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isobyte.backbone import fused
from isobyte.backbone.attention import Attention
from isobyte.backbone.mask import Mask
from isobyte.config.backbone import FlatConfig


class Rotation(NamedTuple):
    """Rotary positions: cosines and sines [S or B x S, 1, head_dim / 2], and both as one complex number, with the
    heads' axis before S: [S or B x 1 x S, head_dim / 2]."""

    cos: Tensor
    sin: Tensor
    turn: Tensor


class Rotations(NamedTuple):
    """A query turns by the position it asks about, a key by the position it holds; mostly they are the same."""

    query: Rotation
    key: Rotation


class Positions(NamedTuple):
    """Of each cell, [S] or [B, S]: the position it asks about and the position whose symbol it holds."""

    asked: Tensor
    held: Tensor


def rotation(positions_S: Tensor, head_dim: int, base: float) -> Rotation:
    """The rotation of each position, [S] or [B, S] (arXiv 2104.09864)."""
    frequency = base ** (-torch.arange(0, head_dim, 2, device=positions_S.device, dtype=torch.float32) / head_dim)
    angle = positions_S.float()[..., None] * frequency
    cos, sin = angle.cos(), angle.sin()
    turn = torch.complex(cos, sin)
    return Rotation(cos[..., None, :], sin[..., None, :], turn if positions_S.ndim == 1 else turn[:, None])


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate x [B, T, H, head_dim]; the two halves of a head are the two coordinates, as in LLaMA checkpoints."""
    cos, sin = rotation.cos.to(x.dtype), rotation.sin.to(x.dtype)
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class SelfAttention(nn.Module):
    """Multi-head attention with rotary positions; query, key and value come from one product."""

    def __init__(self, shape: FlatConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = shape.heads, shape.n_kv_heads, shape.head_dim
        self.qkv = nn.Linear(shape.width, (self.heads + 2 * self.kv_heads) * self.head_dim, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x_BTD: Tensor, rotations: Rotations, mask: Mask, attention: Attention) -> Tensor:
        batch, length, width = x_BTD.shape
        qkv = self.qkv(x_BTD).view(batch, length, -1, self.head_dim)
        q, k, v = qkv.split((self.heads, self.kv_heads, self.kv_heads), 2)
        q, k = rotate(q, rotations.query), rotate(k, rotations.key)
        mixed = attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), mask)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class SwiGLU(nn.Module):
    """down(silu(gate) * up), gate and up from one product (arXiv 2002.05202)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    """Pre-norm block. `film` holds a shift and a scale for each norm when the network is told the time."""

    def __init__(self, shape: FlatConfig, *, time_conditioning: bool) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(shape.width, shape.norm_eps)
        self.attention = SelfAttention(shape)
        self.ffn_norm = RMSNorm(shape.width, shape.norm_eps)
        self.ffn = SwiGLU(shape.width, shape.ffn_width)
        self.film = nn.Linear(shape.width, 4 * shape.width, bias=False) if time_conditioning else None

    def forward(
        self, x: Tensor, rotations: Rotations, mask: Mask, attention: Attention, time_BD: Tensor | None
    ) -> Tensor:
        if self.film is None and fused.suits(x):
            return self._fused(x, rotations, mask, attention)
        a, f = self.attention_norm(x), None
        if self.film is not None:
            assert time_BD is not None
            shift, scale, ffn_shift, ffn_scale = self.film(time_BD)[:, None].chunk(4, -1)
            a, f = a * (1 + scale) + shift, (ffn_shift, ffn_scale)
        x = x + self.attention(a, rotations, mask, attention)
        h = self.ffn_norm(x)
        if f is not None:
            h = h * (1 + f[1]) + f[0]
        return x + self.ffn(h)

    def _fused(self, x: Tensor, rotations: Rotations, mask: Mask, attention: Attention) -> Tensor:
        norm, ffn_norm, heads = self.attention_norm, self.ffn_norm, self.attention
        turns = (rotations.query.turn, rotations.key.turn)
        q, k, v = fused.to_heads(x, norm.weight, norm.eps, heads.qkv.weight, turns, heads.heads, heads.kv_heads)
        mixed = attention(q, k, v, mask)
        return fused.from_heads(
            x, mixed, heads.out.weight, ffn_norm.weight, ffn_norm.eps, self.ffn.gate_up.weight, self.ffn.down.weight
        )


class Blocks(nn.ModuleList):
    """Blocks, typed as such."""

    if TYPE_CHECKING:

        def __getitem__(self, index: int) -> Block: ...  # pyright: ignore[reportIncompatibleMethodOverride]
        def __iter__(self) -> Iterator[Block]: ...


class TimeEmbedding(nn.Module):
    """A mask rate in [0, 1] -> [B, D]: sinusoids and a two-layer network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.first = nn.Linear(width, width, bias=False)
        self.second = nn.Linear(width, width, bias=False)

    def forward(self, time_B: Tensor) -> Tensor:
        half = self.width // 2
        frequency = torch.exp(-torch.arange(half, device=time_B.device) * (9.21 / half)) * 1000
        angle = time_B.float()[:, None] * frequency
        wave = torch.cat((angle.cos(), angle.sin()), -1)
        wave = F.pad(wave, (0, self.width - 2 * half))
        return F.silu(self.second(F.silu(self.first(wave.to(self.first.weight.dtype)))))
