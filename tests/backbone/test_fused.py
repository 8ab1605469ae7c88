"""The fused halves of a block are the plain block, value and gradient, and give way where they do not belong."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from isobyte.backbone import fused
from isobyte.backbone.attention import ATTENTION
from isobyte.backbone.flat import FlatModel, initialise
from isobyte.backbone.layers import Block, Rotations, rotate, rotation
from isobyte.backbone.mask import BIDIRECTIONAL, CAUSAL, Mask, MaskSpec, Ranked
from isobyte.config.backbone import FlatConfig
from isobyte.objective.ar import ar_question
from isobyte.objective.base import cost_sum

SHAPES = pytest.mark.parametrize(
    "shape",
    [
        FlatConfig(layers=1, width=24, heads=3),
        FlatConfig(layers=1, width=24, heads=2, ffn=10),
        FlatConfig(layers=1, width=32, heads=4, kv_heads=2, norm_eps=0.1),
        FlatConfig(layers=1, width=16, heads=4, kv_heads=1, rope_base=100.0),
    ],
    ids=lambda s: f"{s.width}/{s.heads}:{s.n_kv_heads}",
)


Draw = Callable[..., Tensor]


def turns(places: Tensor, head_dim: int, base: float) -> Rotations:
    """Queries and keys turn alike; or, with a second row of places per window, each on its own."""
    if places.ndim == 1:
        both = rotation(places, head_dim, base)
        return Rotations(both, both)
    return Rotations(rotation(places, head_dim, base), rotation(places.flip(1) - 3, head_dim, base))


def made(shape: FlatConfig, dtype: torch.dtype) -> tuple[Block, Draw]:
    """A block with gains that are not one, and a random tensor whenever asked."""
    draw = torch.Generator().manual_seed(0)
    block = Block(shape, time_conditioning=False).to(dtype)
    for parameter in block.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=draw, dtype=dtype), alpha=0.2)
    return block, lambda *size: torch.randn(*size, generator=draw, dtype=dtype)


def value_and_gradients(
    block: Block, x: Tensor, push: Tensor, mask: Mask, places: Tensor | None = None
) -> list[Tensor]:
    x = x.clone().requires_grad_()
    places = torch.arange(x.shape[1]) if places is None else places
    y = block(x, turns(places, block.attention.head_dim, 30.0), mask, ATTENTION["sdpa"], None)
    return [y, *torch.autograd.grad(y, [x, *block.parameters()], push)]


@SHAPES
@pytest.mark.parametrize("mask", [CAUSAL, BIDIRECTIONAL], ids=lambda m: m.kind)
@pytest.mark.parametrize(
    # the mathematics is proven in double; in single, sums in another order may differ by a few dozen roundings
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 5e-6)],
    ids=["double", "single"],
)
def test_a_fused_block_is_the_plain_block(
    monkeypatch: pytest.MonkeyPatch, shape: FlatConfig, mask: MaskSpec, dtype: torch.dtype, tolerance: float
) -> None:
    block, draw = made(shape, dtype)
    x, push = draw(3, 9, shape.width), draw(3, 9, shape.width)
    together = value_and_gradients(block, x, push, mask)
    monkeypatch.setattr(fused, "suits", lambda _x: False)
    for ours, plain in zip(together, value_and_gradients(block, x, push, mask), strict=True):
        assert (ours - plain).abs().max() <= tolerance * plain.abs().max()


def test_a_fused_block_serves_places_of_each_row_and_ranked_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    block, draw = made(FlatConfig(layers=1, width=32, heads=4, kv_heads=2), torch.float64)
    x, push = draw(3, 9, 32), draw(3, 9, 32)
    places = torch.rand(3, 9, generator=torch.Generator().manual_seed(1)).argsort(-1)
    mask = Ranked(places // 2, places % 2 == 0)
    together = value_and_gradients(block, x, push, mask, places)
    monkeypatch.setattr(fused, "suits", lambda _x: False)
    for ours, plain in zip(together, value_and_gradients(block, x, push, mask, places), strict=True):
        assert (ours - plain).abs().max() <= 1e-12 * plain.abs().max()


def check_gradients(function: Callable[..., tuple[Tensor, ...]], inputs: list[Tensor], draw: Draw) -> None:
    """Central differences along a random way of each input. (`gradcheck` uses a graph twice; these serve once.)"""
    pushes = [draw(*out.shape) for out in function(*inputs)]

    def pushed(*at: Tensor) -> Tensor:
        return torch.stack([(out * push).sum() for out, push in zip(function(*at), pushes, strict=True)]).sum()

    gradients = torch.autograd.grad(pushed(*(t.requires_grad_() for t in inputs)), inputs)
    for i, gradient in enumerate(gradients):
        way = draw(*inputs[i].shape)
        with torch.no_grad():
            ahead, behind = (pushed(*inputs[:i], inputs[i] + step * way, *inputs[i + 1 :]) for step in (1e-6, -1e-6))
        torch.testing.assert_close((gradient * way).sum(), (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-6)


@SHAPES
def test_gradients_are_those_of_the_function(shape: FlatConfig) -> None:
    block, draw = made(shape, torch.float64)
    gain, qkv, out, gate_up, down = (
        part.weight.detach()
        for part in (block.ffn_norm, block.attention.qkv, block.attention.out, block.ffn.gate_up, block.ffn.down)
    )
    x, mixed = draw(2, 3, shape.width), draw(2, shape.heads, 3, shape.head_dim)
    turn, key_turn = (
        torch.polar(torch.ones(3, shape.head_dim // 2).double(), draw(3, shape.head_dim // 2)) for _ in range(2)
    )

    def to_heads(x: Tensor, gain: Tensor, qkv: Tensor) -> tuple[Tensor, ...]:
        return fused.to_heads(x, gain, 1e-2, qkv, (turn, key_turn), shape.heads, shape.n_kv_heads)

    def from_heads(x: Tensor, mixed: Tensor, out: Tensor, gain: Tensor, gate_up: Tensor, down: Tensor) -> tuple[Tensor]:
        return (fused.from_heads(x, mixed, out, gain, 1e-2, gate_up, down),)

    check_gradients(to_heads, [x, gain, qkv], draw)
    check_gradients(from_heads, [x, mixed, out, gain, gate_up, down], draw)


@SHAPES
def test_scores_are_those_of_rotated_halves(shape: FlatConfig) -> None:
    block, draw = made(shape, torch.float64)
    x, norm, heads = draw(2, 7, shape.width), block.attention_norm, block.attention
    angles = rotation(torch.arange(7), shape.head_dim, shape.rope_base)
    q, k, v = fused.to_heads(
        x, norm.weight, norm.eps, heads.qkv.weight, (angles.turn, angles.turn), shape.heads, shape.n_kv_heads
    )
    plain = heads.qkv(norm(x)).view(2, 7, -1, shape.head_dim)
    turned, kept = plain.split((shape.heads + shape.n_kv_heads, shape.n_kv_heads), 2)
    q_plain, k_plain = rotate(turned, angles).transpose(1, 2).split((shape.heads, shape.n_kv_heads), 1)
    groups = shape.heads // shape.n_kv_heads
    scores = q @ k.repeat_interleave(groups, 1).mT
    torch.testing.assert_close(scores, q_plain @ k_plain.repeat_interleave(groups, 1).mT)
    torch.testing.assert_close(v, kept.transpose(1, 2))


def test_runs_repeat_bit_for_bit() -> None:
    shape = FlatConfig(layers=1, width=48, heads=3)
    block, draw = made(shape, torch.float32)
    x, push = draw(4, 64, 48), draw(4, 64, 48)
    first = value_and_gradients(block, x, push, CAUSAL)
    for again, once in zip(value_and_gradients(block, x, push, CAUSAL), first, strict=True):
        assert torch.equal(again, once)


def test_a_second_backward_pass_is_refused() -> None:
    """The first one spends the saved buffers; a silent second would be wrong."""
    block, draw = made(FlatConfig(layers=1, width=16, heads=2), torch.float32)
    y = block(draw(1, 4, 16).requires_grad_(), turns(torch.arange(4), 8, 30.0), CAUSAL, ATTENTION["sdpa"], None).sum()
    y.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_scoring_first_leaves_training_possible() -> None:
    model = FlatModel(FlatConfig(layers=2, width=40, heads=2), 8)
    initialise(model, 0)
    view = ar_question(torch.randint(8, (2, 5), generator=torch.Generator().manual_seed(0)), model)
    with torch.inference_mode():
        scored = cost_sum(model, view).item()
    trained = cost_sum(model, view)
    trained.backward()
    assert trained.item() == scored


def test_a_compiler_and_autocast_get_the_plain_block() -> None:
    block, draw = made(FlatConfig(layers=1, width=16, heads=2), torch.float32)
    x, angles = draw(2, 6, 16), turns(torch.arange(6), 8, 30.0)
    assert fused.suits(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not fused.suits(x)
    assert not fused.suits(x.to("meta"))
    whole = torch.compile(block, backend="eager", fullgraph=True)
    torch.testing.assert_close(
        whole(x, angles, CAUSAL, ATTENTION["sdpa"], None), block(x, angles, CAUSAL, ATTENTION["sdpa"], None)
    )
