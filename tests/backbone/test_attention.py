"""One attention, three implementations; and one block against plain arithmetic."""

import numpy as np
import pytest
import torch
from torch import Tensor

from isobyte.backbone.attention import ATTENTION, Attention, explicit, flex, sdpa
from isobyte.backbone.layers import Block, Rotations, rotate, rotation
from isobyte.backbone.mask import BIDIRECTIONAL, CAUSAL, Dense, Mask, MaskSpec, Ranked
from isobyte.config.backbone import FlatConfig

MASKS = pytest.mark.parametrize("mask", [CAUSAL, BIDIRECTIONAL], ids=lambda m: m.kind)
HEADS = pytest.mark.parametrize("kv_heads", [4, 2, 1])


def qkv(kv_heads: int, length: int = 37) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def heads(count: int) -> Tensor:
        return 3 * torch.randn(2, count, length, 8, generator=generator)

    return heads(4), heads(kv_heads), heads(kv_heads)


@MASKS
@HEADS
@pytest.mark.parametrize("length", [1, 37, 130])
def test_implementations_agree(mask: MaskSpec, kv_heads: int, length: int) -> None:
    inputs = qkv(kv_heads, length)
    reference = explicit(*inputs, mask)
    torch.testing.assert_close(sdpa(*inputs, mask), reference, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(flex(*inputs, mask), reference, rtol=1e-5, atol=1e-5)


@MASKS
@HEADS
def test_gradients_agree(mask: MaskSpec, kv_heads: int) -> None:
    def gradients(kernel: Attention) -> tuple[Tensor, ...]:
        q, k, v = (part.double().requires_grad_() for part in qkv(kv_heads))
        return torch.autograd.grad(kernel(q, k, v, mask).square().sum(), (q, k, v))

    torch.testing.assert_close(gradients(sdpa), gradients(explicit))


@MASKS
def test_explicit_attention_is_what_the_mask_says(mask: MaskSpec) -> None:
    """One query at a time, over exactly the keys it may see."""
    q, k, v = (part.double() for part in qkv(4, length=6))
    out = explicit(q, k, v, mask)
    for i in range(6):
        seen = i + 1 if mask == CAUSAL else 6
        weights = (torch.einsum("bhd,bhtd->bht", q[:, :, i], k[:, :, :seen]) / 8**0.5).softmax(-1)
        expected = torch.einsum("bht,bhtd->bhd", weights, v[:, :, :seen])
        torch.testing.assert_close(out[:, :, i], expected)


@HEADS
@pytest.mark.parametrize("kernel", ATTENTION)
def test_grouped_heads_are_repeated_heads(kernel: str, kv_heads: int) -> None:
    q, k, v = qkv(kv_heads)
    whole_k, whole_v = (part.repeat_interleave(4 // kv_heads, 1) for part in (k, v))
    torch.testing.assert_close(ATTENTION[kernel](q, k, v, CAUSAL), ATTENTION[kernel](q, whole_k, whole_v, CAUSAL))


def test_rotation_depends_on_distance_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 8, generator=generator, dtype=torch.float64)

    def score(i: int, j: int) -> float:
        turned = [rotate(x, rotation(torch.tensor([at]), 8, 100.0)) for x, at in ((q, i), (k, j))]
        return float((turned[0] * turned[1]).sum())

    assert score(5, 3) == pytest.approx(score(12, 10), abs=1e-5)
    assert score(0, 0) == pytest.approx(float((q * k).sum()), abs=1e-12)
    assert abs(score(5, 3) - score(3, 5)) > 1e-3


def numpy_block(x: np.ndarray, w: dict[str, np.ndarray], shape: FlatConfig, causal: bool) -> np.ndarray:
    """A block in float64, position by position and head by head. x [T, D]."""
    d, half, length = shape.head_dim, shape.head_dim // 2, len(x)

    def norm(h: np.ndarray, gain: np.ndarray) -> np.ndarray:
        return h / np.sqrt((h**2).mean(-1, keepdims=True) + shape.norm_eps) * gain

    def turn(h: np.ndarray, position: int) -> np.ndarray:
        angle = position * shape.rope_base ** (-2 * np.arange(half) / d)
        pairs = (h[:half] + 1j * h[half:]) * np.exp(1j * angle)
        return np.concatenate((pairs.real, pairs.imag))

    joined = norm(x, w["attention_norm.weight"]) @ w["attention.qkv.weight"].T
    groups = joined.reshape(length, -1, d)
    mixed = np.zeros((length, shape.heads, d))
    for head in range(shape.heads):
        key_head = shape.heads + head // (shape.heads // shape.n_kv_heads)
        for i in range(length):
            seen = range(i + 1 if causal else length)
            q = turn(groups[i, head], i)
            scores = np.array([q @ turn(groups[j, key_head], j) for j in seen]) / np.sqrt(d)
            weights = np.exp(scores - scores.max())
            values = groups[list(seen), key_head + shape.n_kv_heads]
            mixed[i, head] = weights / weights.sum() @ values
    x = x + mixed.reshape(length, -1) @ w["attention.out.weight"].T
    gate, up = np.split(norm(x, w["ffn_norm.weight"]) @ w["ffn.gate_up.weight"].T, 2, axis=1)
    return x + (gate / (1 + np.exp(-gate)) * up) @ w["ffn.down.weight"].T


@torch.no_grad()
@MASKS
@pytest.mark.parametrize("kernel", ATTENTION)
def test_block_equals_plain_arithmetic(mask: MaskSpec, kernel: str) -> None:
    shape = FlatConfig(layers=1, width=16, heads=4, kv_heads=2, ffn=24)
    block = Block(shape, time_conditioning=False).double()
    generator = torch.Generator().manual_seed(0)
    for weight in block.parameters():
        weight.copy_(torch.randn(weight.shape, generator=generator))
    x = torch.randn(1, 7, 16, generator=generator, dtype=torch.float64)
    turn = rotation(torch.arange(7), shape.head_dim, shape.rope_base)
    out = block(x, Rotations(turn, turn), mask, ATTENTION[kernel], None)
    weights = {name: value.numpy() for name, value in block.state_dict().items()}
    expected = numpy_block(x[0].numpy(), weights, shape, causal=mask == CAUSAL)
    np.testing.assert_allclose(out[0].numpy(), expected, rtol=1e-5, atol=1e-5)


RANKS = torch.tensor([[0, 0, 1, 1, 2, 0, 0, 1, 1, 2], [3, 1, 0, 2, 4, 3, 1, 0, 2, 4]])
NOISY = (torch.arange(10) < 5)[None]


@HEADS
@pytest.mark.parametrize("noisy", [NOISY, RANKS > 1], ids=["two copies", "by rank"])
def test_ranked_masks_agree_and_mean_what_they_say(kv_heads: int, noisy: Tensor) -> None:
    mask = Ranked(RANKS, noisy)
    inputs = qkv(kv_heads, 10)
    reference = explicit(*inputs, mask)
    torch.testing.assert_close(sdpa(*inputs, mask), reference, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sdpa(*inputs, Dense(mask.dense(10))), reference, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(flex(*inputs, mask), reference, rtol=1e-5, atol=1e-5)
    for row, (ranks, hides) in enumerate(zip(RANKS.tolist(), noisy.expand(2, 10).tolist(), strict=True)):
        for i in range(10):
            for j in range(10):
                seen = (not hides[j] and ranks[j] < ranks[i]) or (ranks[j] == ranks[i] and hides[j] == hides[i])
                assert bool(mask.dense(10)[row, 0, i, j]) == seen


@pytest.mark.parametrize("kernel", ATTENTION)
@pytest.mark.parametrize("mask", [CAUSAL, BIDIRECTIONAL, Ranked(RANKS[:, :4], NOISY[:, 3:7])], ids=lambda m: m.kind)
def test_every_query_sees_what_is_in_the_cache(kernel: str, mask: Mask) -> None:
    """Attention over a prefix and the cells after it is attention with a mask that shows the prefix to all."""
    q, k, v = qkv(2, 9)
    out = ATTENTION[kernel](q[:, :, 5:], k, v, mask)
    visible = torch.cat((torch.ones(2, 1, 4, 5, dtype=torch.bool), mask.dense(4).expand(2, 1, 4, 4)), -1)
    scores = (q[:, :, 5:] @ k.repeat_interleave(2, 1).mT / 8**0.5).masked_fill(~visible, float("-inf"))
    torch.testing.assert_close(out, scores.softmax(-1) @ v.repeat_interleave(2, 1), rtol=1e-5, atol=1e-5)
