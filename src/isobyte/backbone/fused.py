"""A block's two halves for small networks on a CPU, forward and backward written out.

There a step is bound by memory traffic and by the number of calls as much as by its matrix products. Either side of
attention, a block here is one autograd function: no concatenation, rotation as one complex product, buffers used
again once their values are spent. The mathematics is that of `layers`, to rounding, and so are the matrix products.
"""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def suits(x: Tensor) -> bool:
    """Whether the fused halves serve `x`: a compiler fuses better, autocast chooses types call by call,
    and complex numbers come in single precision and more."""
    plain = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    return plain and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()


def to_heads(
    x_BTD: Tensor,
    gain_D: Tensor,
    eps: float,
    qkv_weight: Tensor,
    turns: tuple[Tensor, Tensor],
    heads: int,
    kv_heads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Norm, product and rotation: q [B, H, T, d], k and v [B, H_kv, T, d]. `turns` are those of q and of k.

    The two coordinates that turn together, i and i + d/2 in the weights, come out side by side in q and k alike,
    which leaves q k as it is.
    """
    return _ToHeads.apply(x_BTD, gain_D, eps, qkv_weight, *turns, heads, kv_heads)


def from_heads(
    x_BTD: Tensor,
    mixed_BHTd: Tensor,
    out_weight: Tensor,
    gain_D: Tensor,
    eps: float,
    gate_up_weight: Tensor,
    down_weight: Tensor,
) -> Tensor:
    """Attention's output product, then norm and SwiGLU, each added to its input: [B, T, D]."""
    return _FromHeads.apply(x_BTD, mixed_BHTd, out_weight, gain_D, eps, gate_up_weight, down_weight)


class _ToHeads(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gain: Tensor,
        eps: float,
        weight: Tensor,
        turn: Tensor,
        key_turn: Tensor,
        heads: int,
        kv_heads: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        rotated = heads + kv_heads
        normed, scale = _normalise(x.flatten(0, 1), eps)
        weight = weight.index_select(0, pair_order(rotated, kv_heads, 2 * turn.shape[-1])[0])
        qkv = torch.mm(normed * gain, weight.t()).view(*x.shape[:2], rotated + kv_heads, -1).transpose(1, 2)
        qk = qkv.new_empty(qkv[:, :rotated].shape)
        if turn is key_turn:
            torch.mul(_complex(qkv[:, :rotated]), turn, out=_complex(qk))
        else:
            torch.mul(_complex(qkv[:, :heads]), turn, out=_complex(qk[:, :heads]))
            torch.mul(_complex(qkv[:, heads:rotated]), key_turn, out=_complex(qk[:, heads:]))
        ctx.save_for_backward(normed, scale, gain, weight, turn, key_turn)
        return qk[:, :heads], qk[:, heads:], qkv[:, rotated:].contiguous()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it without its arguments
        ctx: Any, dq: Tensor, dk: Tensor, dv: Tensor
    ) -> tuple[Tensor | None, ...]:
        normed, scale, gain, weight, turn, key_turn = ctx.saved_tensors
        batch, heads, length, head_dim = dq.shape
        rotated = heads + dk.shape[1]
        dqkv = dq.new_empty(batch, length, rotated + dv.shape[1], head_dim)
        by_head = dqkv.transpose(1, 2)
        torch.mul(_complex(dq), turn.conj().resolve_conj(), out=_complex(by_head[:, :heads]))
        torch.mul(_complex(dk), key_turn.conj().resolve_conj(), out=_complex(by_head[:, heads:rotated]))
        by_head[:, rotated:] = dv
        dqkv = dqkv.view(len(normed), -1)
        dweight = torch.mm(dqkv.t(), normed).mul_(gain)
        dx, dgain = _normalise_backward(torch.mm(dqkv, weight), normed, scale, gain)
        inverse = pair_order(rotated, dv.shape[1], head_dim)[1]
        return dx.view(batch, length, -1), dgain, None, dweight.index_select(0, inverse), None, None, None, None


class _FromHeads(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, mixed: Tensor, out: Tensor, gain: Tensor, eps: float, gate_up: Tensor, down: Tensor
    ) -> Tensor:
        heads = mixed.transpose(1, 2).reshape(-1, x.shape[-1])
        ctx.heads = mixed.shape[1]
        attended = torch.addmm(x.flatten(0, 1), heads, out.t())
        normed, scale = _normalise(attended, eps)
        both = torch.mm(normed * gain, gate_up.t())
        gate, up = both.chunk(2, -1)
        active = F.silu(gate)
        hidden = active * up
        ctx.save_for_backward(heads, out, normed, scale, gain, gate_up, down, both, active)
        return torch.addmm(attended, hidden, down.t()).view_as(x)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it without its arguments
        ctx: Any, dy_BTD: Tensor
    ) -> tuple[Tensor | None, ...]:
        heads, out, normed, scale, gain, gate_up, down, both, active = ctx.saved_tensors
        batch, length, width = dy_BTD.shape
        dy = dy_BTD.reshape(-1, width)
        gate, up = both.chunk(2, -1)
        hidden = active * up
        ddown = torch.mm(dy.t(), hidden)
        dhidden = torch.mm(dy, down)
        # from here on `both` turn into its own gradient, in the order that allows it
        torch.mul(dhidden, up, out=hidden)
        torch.ops.aten.silu_backward.grad_input(hidden, gate, grad_input=gate)
        torch.mul(dhidden, active, out=up)
        dgate_up = torch.mm(both.t(), normed).mul_(gain)
        dx, dgain = _normalise_backward(torch.mm(both, gate_up), normed, scale, gain)
        dx += dy
        dmixed = torch.mm(dx, out).view(batch, length, ctx.heads, -1).transpose(1, 2)
        return dx.view_as(dy_BTD), dmixed, torch.mm(dx.t(), heads), dgain, None, dgate_up, ddown


def _normalise(x_ND: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x over its root mean square, and the factor [N, 1]."""
    norm = torch.linalg.vector_norm(x_ND, dim=-1, keepdim=True)
    scale = norm.square_().mul_(1 / x_ND.shape[-1]).add_(eps).rsqrt_()
    return x_ND * scale, scale


def _normalise_backward(dy_ND: Tensor, normed_ND: Tensor, scale: Tensor, gain_D: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x and of the gain of y = gain x / rms(x). Overwrites `dy_ND`."""
    product = dy_ND * normed_ND
    along = torch.mv(product, gain_D)[:, None]
    return dy_ND.mul_(gain_D).addcmul_(normed_ND, along, value=-1 / len(gain_D)).mul_(scale), product.sum(0)


@lru_cache(maxsize=32)
def pair_order(rotated: int, kept: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """Rows of the qkv product with i and i + d/2 side by side in each of the `rotated` heads, and the way back."""
    with torch.inference_mode(False):  # the cache outlives the call, and training may need it next
        rows = torch.arange((rotated + kept) * head_dim).view(rotated + kept, 2, -1)
        order = torch.cat((rows[:rotated].transpose(1, 2).flatten(), rows[rotated:].flatten()))
        return order, order.argsort()


def _complex(x: Tensor) -> Tensor:
    """Neighbours along the last axis as the parts of complex numbers, without a copy where memory allows."""
    x = x if x.stride(-1) == 1 else x.contiguous()
    return torch.view_as_complex(x.view(*x.shape[:-1], -1, 2))
