"""Compiled loops are the mathematics of the modules that they stand for, for any shape and any number of threads."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numba import get_num_threads, set_num_threads
from torch import Tensor

from blt_models import blt, entropy_patching, texts
from isobyte.backbone import compiled, products
from isobyte.backbone.arrays import Sight
from isobyte.backbone.blt.packed import Packed
from isobyte.backbone.blt.state import State
from isobyte.backbone.few_rows import RowStack, turns
from isobyte.backbone.half import round_to_half
from isobyte.backbone.layers import Block, RMSNorm
from isobyte.backbone.products import FEW, Product, normed
from isobyte.config.backbone_flat import FlatConfig


@given(
    st.integers(1, FEW + 6),
    st.integers(1, 70),
    st.integers(1, 70),
    st.booleans(),
    st.sampled_from([None, 1e-5]),
    st.booleans(),
    st.integers(0, 1 << 16),
)
def test_products_are_those_of_fp64_to_rounding(
    rows: int, inner: int, outer: int, gain: bool, eps: float | None, halved: bool, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(outer, inner, generator=draw).half().float()
    x = torch.randn(rows, inner, generator=draw)
    scale = 1 + 0.3 * torch.randn(inner, generator=draw) if gain else None
    given = x.double() if eps is None else F.rms_norm(x.double(), (inner,), None, eps)
    scaled = given if scale is None else given * scale
    expected, size = scaled @ weight.double().t(), scaled.abs() @ weight.double().abs().t()
    found = Product.of(weight, scale, eps, halved=halved)(x)
    assert bool(((found - expected).abs() <= 1e-6 * (1 + size)).all())


@pytest.mark.parametrize("rows", [1, 5, FEW + 1])
def test_norms(rows: int) -> None:
    norm, x = RMSNorm(24, 1e-3), torch.randn(rows, 24)
    torch.nn.init.normal_(norm.weight)
    torch.testing.assert_close(normed(x, norm), norm(x), rtol=1e-5, atol=1e-6)


def test_exponentials_are_exact_to_rounding_wherever_fp32_has_them() -> None:
    x = np.linspace(-87, 88, 200_001).astype(np.float32)
    found = np.array([compiled._exp(each) for each in x])
    exact = np.exp(x.astype(np.float64))
    assert np.abs(found / exact - 1).max() < 2e-7
    assert compiled._exp(np.float32(-1e30)) < 1e-37
    assert np.isfinite(compiled._exp(np.float32(1e30)))


ROOM = 9
PLACES = [(0, 13, 5), (0, 14, 7), (1, 8, 0), (2, 30, 30), (2, 31, 25)]
"""Text, place, first place that is seen: some wrap around the cache, and see it whole, in part, or themselves."""
CELLS = [(1, 9 + nth, nth, max(0, 3 + nth), 9, 4) for nth in range(4)] + [(0, 2, 0, 5, 2, 4)]
"""As `Sight` has them: a block after what text 1 says, and a cell that sees nothing but its block."""


@dataclass(frozen=True)
class Case:
    """A stack, rows of several texts, and what a cache holds."""

    stack: RowStack
    x_ND: Tensor
    kv: Tensor
    sight: Sight


def case(kv_heads: int, block: int) -> Case:
    torch.manual_seed(kv_heads)
    shape = FlatConfig(layers=2, width=24, heads=6, kv_heads=kv_heads, ffn=40)
    blocks = [Block(shape, time_conditioning=False) for _ in range(2)]
    for each in blocks:
        for norm in (each.attention_norm, each.ffn_norm):
            torch.nn.init.normal_(norm.weight, 1, 0.3)
    kv = torch.randn(2, 3, 2 * shape.n_kv_heads, block + ROOM, shape.head_dim)
    sight = Sight.back_to(kv.numpy(), block, *np.array(PLACES).T)
    if block:
        sight = sight._replace(rows_6N=np.concatenate((sight.rows_6N, np.array(CELLS).T), 1))
    return Case(RowStack(blocks, shape, halved=False), torch.randn(sight.rows_6N.shape[1], 24), kv, sight)


def written_out(case: Case) -> list[Tensor]:
    """Block by block and row by row, with what is kept written first."""
    shape, block, rows = case.stack.shape, case.sight.block, case.sight.rows_6N.T.tolist()
    attends = []
    for held in case.kv.clone():

        def attend(q_NHd: Tensor, new_NHd: Tensor, held: Tensor = held) -> Tensor:
            for (text, _, slot, *_), new in zip(rows, new_NHd, strict=True):
                held[text, :, slot] = new
            found = []
            for (text, _, _, since, until, cells), q in zip(rows, q_NHd.double(), strict=True):
                seen = [*range(cells), *(block + place % ROOM for place in range(since, until))]
                k, v = held[text, :, seen].double().repeat_interleave(shape.heads // shape.n_kv_heads, 0).chunk(2)
                scores = (k @ q[:, :, None])[..., 0] / shape.head_dim**0.5
                found.append((scores.softmax(-1)[:, None] @ v).float().flatten())
            return torch.stack(found)

        attends.append(attend)
    places = torch.tensor([place for _, place, *_ in rows])
    return list(case.stack(case.x_ND, turns(places, int(places.max()), shape), attends))


@pytest.mark.parametrize("kv_heads", [6, 2, 1])
@pytest.mark.parametrize("block", [0, 4])
@torch.inference_mode()
def test_a_stack_is_its_blocks_written_out(kv_heads: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given = case(kv_heads, block)
    with monkeypatch.context() as patch:
        patch.setattr(products, "FEW", 0)
        expected = written_out(given)
    before = given.kv.clone()
    found = given.stack.compiled(given.x_ND, given.sight)
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-5)
    changed = (given.kv != before).any(-1).any(2).any(0).nonzero().tolist()
    assert sorted(map(tuple, changed)) == sorted({(text, slot) for text, _, slot, *_ in given.sight.rows_6N.T.tolist()})


@pytest.mark.parametrize("halved", [False, True])
@torch.inference_mode()
def test_any_number_of_threads_finds_the_same(halved: bool) -> None:
    """To the last bit: a number is worked out by one thread."""
    model, ids = blt(entropy_patching(cap=5), latents=2), texts(3, 24)
    round_to_half(model)
    packed, threads, found = Packed(model, halves=halved), get_num_threads(), []
    try:
        for count in (1, 2):
            set_num_threads(count)
            state = State(model, 3, 24, packed=packed)
            found.append(torch.cat([state.feed(piece) for piece in ids.split((9, 1, 1, 6, 7), 1)], 1))
    finally:
        set_num_threads(threads)
    assert torch.equal(*found)


ALONE = """
import sys
sys.modules["numba.np.ufunc.omppool"] = None
import torch
from isobyte.backbone import compiling
from isobyte.backbone.products import Product
weight, x = torch.randn(7, 5), torch.randn(3, 5)
torch.testing.assert_close(Product.of(weight, halved=False)(x), x @ weight.t())
assert not compiling.THREADED
"""


def test_without_openmp_one_thread_does_it() -> None:
    subprocess.run([sys.executable, "-c", ALONE], check=True, timeout=300)


NOWHERE = """
from numba.core.dispatcher import Dispatcher
def refuse(self):
    raise RuntimeError("cannot cache function: no locator available")
Dispatcher.enable_caching = refuse
import torch
from isobyte.backbone.products import Product
weight, x = torch.randn(7, 5), torch.randn(3, 5)
torch.testing.assert_close(Product.of(weight, halved=False)(x), x @ weight.t())
"""


def test_where_nothing_can_be_kept_it_is_compiled_each_time() -> None:
    subprocess.run([sys.executable, "-c", NOWHERE], check=True, timeout=300)


THREADS = """
import torch
torch.set_num_threads(1)
from numba import get_num_threads
from isobyte.backbone.products import Product
Product.of(torch.randn(8, 8), halved=False)(torch.randn(1, 8))
assert (torch.get_num_threads(), get_num_threads()) == (1, 1)
"""


def test_starting_threads_leaves_those_of_pytorch_as_they_were() -> None:
    subprocess.run([sys.executable, "-c", THREADS], check=True, timeout=300)
