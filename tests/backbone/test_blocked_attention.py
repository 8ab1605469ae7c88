"""Blocks beside a text: where they are, and the attention over both by gathering and by FlexAttention."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from isobyte.backbone.attention import Attention, explicit, flex, sdpa
from isobyte.backbone.blt.patches import Patches
from isobyte.backbone.mask import Blocked, MaskSpec, PatchBlocks, Patched


@st.composite
def starts_of(draw: st.DrawFn, longest: int = 24) -> Tensor:
    """[B, T + 1] bits of which the first two are set."""
    length, rows = draw(st.integers(1, longest)), draw(st.integers(1, 3))
    rest = [draw(st.lists(st.booleans(), min_size=length - 1, max_size=length - 1)) for _ in range(rows)]
    return torch.tensor([[True, True, *row] for row in rest])


@given(starts_of(), st.integers(1, 5))
def test_blocks_begin_where_patches_open(starts: Tensor, size: int) -> None:
    """All but the first, the one that opens with the byte to come among them."""
    blocks = PatchBlocks.of(starts, size)
    opened = [[place for place, opens in enumerate(row) if opens and place] for row in starts.tolist()]
    most = max(map(len, opened))
    assert blocks.begins_BJ.tolist() == [row + [-1] * (most - len(row)) for row in opened]
    assert blocks.places_BC.shape == (len(starts), most * size)
    for row, begins in enumerate(opened):
        places = [begin + k for begin in begins for k in range(size)]
        assert blocks.places_BC[row, : len(places)].tolist() == places
    patches = Patches.of(starts)
    assert patches.per_row == most
    assert patches.count_B.tolist() == [len(row) for row in opened], "a block for every latent, and the one it reads"


def seen(starts: Tensor, size: int, window: int | None) -> list[list[list[bool]]]:
    """The mask, row by row and pair by pair, from the definition."""
    text = starts.shape[1] - 1
    most = int(starts[:, 1:].sum(1).max())
    rows = []
    for row in starts.tolist():
        opened = [place for place, opens in enumerate(row) if opens and place]
        opened += [-1] * (most - len(opened))
        cells = [(block, begin, begin + k) for block, begin in enumerate(opened) for k in range(size)]

        def near(query: int, key: int) -> bool:
            return window is None or query - key < window

        no_cells = [False] * len(cells)
        mask = [[key <= query and near(query, key) for key in range(text)] + no_cells for query in range(text)]
        for block, begin, place in cells:
            before = [key < begin and near(place, key) for key in range(text)]
            mask.append(before + [other == block for other, _, _ in cells])
        rows.append(mask)
    return rows


WINDOWS = st.sampled_from([None, 1, 2, 3, 4, 9])


@settings(max_examples=60)
@given(starts_of(12), st.integers(1, 4), WINDOWS)
def test_the_mask_is_what_it_says(starts: Tensor, size: int, window: int | None) -> None:
    blocks = PatchBlocks.of(starts, size)
    length = starts.shape[1] - 1
    total = length + blocks.places_BC.shape[1]
    visible = Blocked(length, blocks, window).dense(total)
    assert visible[:, 0].tolist() == seen(starts, size, window)
    prefixed = Blocked(length, blocks, window).dense(total, prefix=2)
    assert torch.equal(prefixed[..., 2:], visible)
    assert prefixed[..., :2].all()
    if window is None:
        assert torch.equal(Patched(starts, blocks).dense(total), visible)


def qkv(rows: int, length: int, kv_heads: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def heads(count: int) -> Tensor:
        return 2 * torch.randn(rows, count, length, 4, generator=generator, dtype=torch.float64)

    return heads(4), heads(kv_heads), heads(kv_heads)


def masked(starts: Tensor, size: int, window: int | None) -> tuple[Blocked, int]:
    blocks = PatchBlocks.of(starts, size)
    length = starts.shape[1] - 1
    return Blocked(length, blocks, window), length + blocks.places_BC.shape[1]


@settings(max_examples=80)
@given(starts_of(), st.integers(1, 5), WINDOWS, st.sampled_from([4, 2, 1]))
def test_gathered_attention_is_dense_attention(starts: Tensor, size: int, window: int | None, kv_heads: int) -> None:
    """Values and gradients, with keys gathered (windows of less than a quarter of the text) and without."""
    mask, total = masked(starts, size, window)
    push = torch.randn(len(starts), 4, total, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def run(kernel: Attention) -> tuple[Tensor, ...]:
        inputs = [part.requires_grad_() for part in qkv(len(starts), total, kv_heads)]
        out = kernel(*inputs, mask)
        return (out.detach(), *torch.autograd.grad(out, inputs, push))

    for ours, reference in zip(run(sdpa), run(explicit), strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("window", "met"), [(None, 40), (10, 40), (9, 8), (5, 4)])
def test_only_windows_of_less_than_a_quarter_of_the_text_are_gathered(window: int | None, met: int) -> None:
    """And then a cell meets no key of the text but those before its block: scores and values, counted."""
    mask, total = masked(torch.ones(1, 41, dtype=torch.bool), 3, window)
    q, k, v = qkv(1, total, 2)
    with FlopCounterMode(display=False) as whole:
        sdpa(q, k, v, mask)
    with FlopCounterMode(display=False) as text:
        sdpa(q[:, :, :40], k[:, :, :40], v[:, :, :40], MaskSpec("causal", window))
    assert whole.get_total_flops() - text.get_total_flops() == 120 * 4 * 4 * 4 * (met + 3)


@pytest.mark.parametrize("window", [None, 3, 30])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("size", [1, 4])
def test_flex_attention_sees_what_the_mask_shows(size: int, kv_heads: int, window: int | None) -> None:
    """More than one of its tiles, which are 128 wide, and a row with fewer blocks."""
    generator = torch.Generator().manual_seed(0)
    starts = torch.rand(2, 71, generator=generator) < torch.tensor([[0.6], [0.2]])
    starts[:, :2] = True
    mask, total = masked(starts, size, window)
    assert (mask.blocks.begins_BJ < 0).any()
    assert size == 1 or total > 128
    inputs = qkv(2, total, kv_heads)
    torch.testing.assert_close(flex(*inputs, mask), explicit(*inputs, mask), rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_flex_attention_compiles_with_blocks() -> None:
    """The forward pass, which a CPU has."""
    starts = torch.rand(2, 65, generator=torch.Generator().manual_seed(0)) < 0.25
    starts[:, :2] = True
    mask, total = masked(starts, 4, 16)
    inputs = [part.float() for part in qkv(2, total, 2)]
    torch.testing.assert_close(torch.compile(flex)(*inputs, mask), explicit(*inputs, mask), rtol=1e-4, atol=1e-5)
