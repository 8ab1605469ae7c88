"""Blocks beside a text by FlexAttention's kernels, forward and backward, and a network that is trained with them."""

import pytest
import torch
from torch import Tensor

from isobyte.backbone.attention import Attention, explicit, flex, sdpa
from isobyte.backbone.blt.network import BltNetwork
from isobyte.backbone.mask import Blocked, PatchBlocks
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.objective import BltDiffusionConfig
from isobyte.config.patching import SpacePatching
from isobyte.objective.base import cost_sum
from isobyte.objective.draw import Draw
from isobyte.objective.network import build_network, initialise
from isobyte.objective.training import training_questions
from isobyte.train.loop import compile_blocks
from isobyte.train.runtime import Runtime

pytestmark = pytest.mark.gpu
COMPILED: dict[str, Attention] = {"flex": torch.compile(flex, dynamic=False), "sdpa": sdpa}


def assert_close(ours: list[Tensor], reference: list[Tensor], tolerance: float) -> None:
    for a, b in zip(ours, reference, strict=True):
        assert (a - b).abs().max() <= tolerance * b.abs().max()


@pytest.mark.parametrize("window", [None, 20, 90])
@pytest.mark.parametrize("kv_heads", [4, 1])
@pytest.mark.parametrize("kernel", COMPILED)
def test_kernels_agree_forward_and_backward(kernel: str, kv_heads: int, window: int | None) -> None:
    """A row with fewer blocks than the other, and several tiles of text and of cells."""
    starts = torch.rand(2, 201, generator=torch.Generator().manual_seed(0)) < torch.tensor([[0.4], [0.2]])
    starts[:, :2] = True
    blocks = PatchBlocks.of(starts.cuda(), 4)
    total = 200 + blocks.places_BC.shape[1]
    mask = Blocked(200, blocks, window)
    draw = torch.Generator("cuda").manual_seed(0)
    inputs = [
        torch.randn(2, heads, total, 32, generator=draw, device="cuda", requires_grad=True)
        for heads in (4, kv_heads, kv_heads)
    ]
    q, k, v = inputs
    push = torch.randn(2, 4, total, 32, generator=draw, device="cuda")

    def run(attention: Attention) -> list[Tensor]:
        out = attention(q, k, v, mask)
        return [out.detach(), *torch.autograd.grad(out, inputs, push)]

    assert_close(run(COMPILED[kernel]), run(explicit), 2e-3)


def losses_and_gradients(attention: str, *, compiled: bool, bf16: bool = False) -> list[Tensor]:
    """Of three batches, whose patches and so whose blocks differ in number: one compilation after another."""
    local = FlatConfig(layers=2, width=64, heads=2, attention_window=48)
    shape = BltConfig(
        encoder=local, latent=FlatConfig(layers=2, width=64, heads=2), decoder=local, patching=SpacePatching(),
        hash_vocab=97, decoder_input="embedding",
    )  # fmt: skip
    objective = BltDiffusionConfig()
    model = build_network(shape, objective, 256, attention).cuda()
    assert isinstance(model, BltNetwork)
    initialise(model, 0)
    torch.manual_seed(0)
    for parameter in model.parameters():  # the head starts at zero and would hide every gradient
        parameter.data.add_(torch.randn(parameter.shape).cuda(), alpha=0.02)
    compile_blocks(model, Runtime(compile=compiled))
    found = []
    for step, spaces in enumerate((0.1, 0.3, 0.2)):
        draw = torch.Generator().manual_seed(step)
        x_BT = torch.where(
            torch.rand(4, 256, generator=draw) < spaces, 32, torch.randint(97, 105, (4, 256), generator=draw)
        )
        (question,) = training_questions(objective, x_BT.cuda(), model, Draw(0, step, slice(0, 4), 4))
        with torch.autocast("cuda", torch.bfloat16, enabled=bf16):
            cost = cost_sum(model, question) / x_BT.numel()
        found += [cost.detach(), *torch.autograd.grad(cost, list(model.parameters()))]
    return found


@pytest.mark.parametrize("attention", ["flex", "sdpa"])
def test_a_network_learns_the_same_by_every_attention(attention: str) -> None:
    reference = losses_and_gradients("explicit", compiled=False)
    assert_close(losses_and_gradients(attention, compiled=attention == "flex"), reference, 1e-3)


def test_bf16_losses_follow_fp32_ones() -> None:
    ours = losses_and_gradients("flex", compiled=True, bf16=True)
    reference = losses_and_gradients("explicit", compiled=False)
    losses = [[float(value) for value in found if value.ndim == 0] for found in (ours, reference)]
    assert len(losses[0]) == 3
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
