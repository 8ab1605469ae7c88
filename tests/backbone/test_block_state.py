"""Blocks beside a text that is fed byte by byte: what a cell says is what a full pass over the layout of training says,
and the text never notices."""

import copy
import itertools
import random
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor

from blt_blocks import cells_of, opened
from blt_models import WINDOW, blt, entropy_patching, local, texts
from isobyte.backbone.blt.blocks import Block, BlockState
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.byte_ids import EOS, MASK
from isobyte.backbone.mask import PatchBlocks
from isobyte.config.patching import StaticPatching

EXACT = {"rtol": 0, "atol": 1e-5}
LENGTH, ROWS = 5 * WINDOW, 2


def _pooling() -> BltModel:
    model = blt(cells=True)
    shape = model.shape.model_copy(update={"encoder": local(3), "encoder_cross_layers": "all"})
    torch.manual_seed(1)
    pooling = BltModel(shape, cells=True).eval()
    torch.nn.init.normal_(pooling.decoder.mask)  # type: ignore[arg-type]
    pooling.patcher.load_state_dict(model.patcher.state_dict())
    return pooling


MODELS: dict[str, Callable[[], BltModel]] = {
    "k 1": lambda: blt(cells=True, latents=1),
    "k 2, capped": lambda: blt(entropy_patching(3), cells=True),
    "k 3, doubled": lambda: blt(cells=True, latents=3, cross_residual="doubled"),
    "bytes into the decoder": lambda: blt(entropy_patching(6), cells=True, decoder_input="embedding"),
    "bytes, k 3, one cross layer": lambda: blt(
        cells=True, decoder_input="embedding", latents=3, decoder_cross_layers="first", hash_sizes=()
    ),
    "three layers that pool": _pooling,
}


@cache
def model_of(name: str) -> BltModel:
    return MODELS[name]()


@cache
def precise(name: str) -> BltModel:
    """The same in float64: for references."""
    return copy.deepcopy(model_of(name)).double()


class Walk:
    """Two texts that are fed at their own paces, and what is asked of blocks beside them, held against full passes."""

    def __init__(self, name: str, size: int) -> None:
        model = model_of(name)
        self.precise, self.size, self.random = precise(name), size, random.Random(size)
        self.ids = texts(ROWS, LENGTH + 2 * size, seed=3)
        self.full = self.precise.hidden(self.ids).float()
        self.starts = model.patcher.starts(self.ids)
        self.state = BlockState(model, ROWS, self.ids.shape[1], size)
        self.kinds: set[str] = set()
        """What was met on the way."""
        counts = [1, 7]
        self.check_text(self.state.feed(self.ids[:, :7], counts), [0, 0], counts)

    def counts(self, least: int = 0) -> list[int]:
        return [
            min(self.random.randint(least, min(self.size, 3)), LENGTH - n) if n < LENGTH else 0
            for n in self.state.length
        ]

    def next(self, counts: list[int], seed: int | None = None) -> Tensor:
        """What comes next in each row, or other bytes."""
        most = max(1, *counts)
        if seed is not None:
            return texts(ROWS, most + 1, seed=seed)[:, 1:]
        return torch.stack([self.ids[row, n : n + most] for row, n in enumerate(self.state.length)])

    def check_text(self, hidden: Tensor, begins: list[int], counts: list[int]) -> None:
        for row, (n, count) in enumerate(zip(begins, counts, strict=True)):
            torch.testing.assert_close(hidden[row, :count], self.full[row, n : n + count], **EXACT)

    def check_block(self, block: Block, hidden: Tensor, begin: str, *, cut: bool, shown: int, rows: list[int]) -> None:
        """`shown` bytes after those that were fed belong to the block."""
        for row in rows:
            n = self.state.length[row] + shown
            start, open_ = int(block.begin_B[row]), opened(self.precise, self.ids[row, : self.state.length[row]])
            resumed = begin == "patch" and n - open_ < self.size
            assert start == (open_ if resumed else n - shown)
            assert block.known[row] == n - start < self.size + (self.size == 1)
            assert block.ids_BK[row, : block.known[row]].tolist() == self.ids[row, start:n].tolist()
            amid = not resumed and open_ < start
            expected = cells_of(self.precise, self.ids[row], start, block.ids_BK[row], cut=cut and amid)
            torch.testing.assert_close(hidden[row], expected.float(), **EXACT)
            kind = (
                "at a boundary" if open_ == start == n - shown else "resumed" if resumed else "cut" if cut else "amid"
            )
            self.kinds.add(kind)

    def feed_block(self, begin: str, *, cut: bool) -> None:
        before, counts = list(self.state.length), self.counts()
        ids = self.next(counts)
        text, block, hidden = self.state.feed_block(ids, counts, begin, cut=cut)  # type: ignore[arg-type]
        self.check_text(text, before, counts)
        # the latent of a patch that is cut is made of new bytes
        rows = [row for row in range(ROWS) if counts[row] or not cut]
        self.check_block(block, hidden, begin, cut=cut, shown=0, rows=rows)
        if not cut:
            self.look(block, begin, 0)

    def open_block(self, begin: str) -> None:
        newest = [int(self.ids[row, n]) for row, n in enumerate(self.state.length)]
        self.look(self.state.open_block(newest, begin), begin, 1)  # type: ignore[arg-type]

    def look(self, block: Block, begin: str, shown: int) -> None:
        """Whatever its cells hold."""
        self.check_block(block, self.state.look(block), begin, cut=False, shown=shown, rows=[0, 1])
        ids = block.ids_BK.clone()
        some = torch.tensor([[self.random.random() < 0.5 for _ in row] for row in ids]) & (ids == MASK)
        ids[some] = texts(ROWS, self.size, seed=self.random.randrange(99))[some]
        other = block.filled(ids)
        self.check_block(other, self.state.look(other), begin, cut=False, shown=shown, rows=[0, 1])

    def refuse(self) -> None:
        """Drafts, of which the first are right: what follows them was fed in vain."""
        before, kept = list(self.state.length), self.counts()
        ids = self.next([self.size] * ROWS, seed=self.random.randrange(99))
        for row, n in enumerate(before):
            ids[row, : kept[row]] = self.ids[row, n : n + kept[row]]
        done = self.state.advance(ids)
        self.check_text(done.hidden, before, kept)
        self.state.commit(done, kept)

    def ask_the_patcher(self) -> None:
        counts = self.counts(1)
        found = self.state.boundaries(self.next(counts), counts)
        for row, (n, count) in enumerate(zip(self.state.length, counts, strict=True)):
            assert found[row][:count] == self.starts[row, n + 1 : n + 1 + count].tolist()


SIZES = [(name, 4) for name in MODELS] + [("k 1", 1), ("k 2, capped", 16), ("bytes into the decoder", 16)]


@pytest.mark.parametrize(("name", "size"), SIZES)
@torch.no_grad()
def test_whatever_came_before_a_block_says_what_a_full_pass_says(name: str, size: int) -> None:
    """Ragged rows, drafts taken back, rings that wrap, blocks longer than the window."""
    walk = Walk(name, size)
    assert 10 < walk.starts[:, :LENGTH].sum(1).min() < LENGTH - 10
    for begin, cut in itertools.cycle([("here", True), ("patch", False), ("here", False), ("patch", True)]):
        walk.feed_block(begin, cut=cut)
        walk.ask_the_patcher()
        walk.open_block(begin)
        walk.refuse()
        if min(walk.state.length) == LENGTH:
            break
    kinds = {"at a boundary", "cut", "amid"} | ({"resumed"} if size > 1 else set())
    assert kinds == walk.kinds


@pytest.mark.parametrize("given", ["encoder_hidden", "embedding"])
@torch.no_grad()
def test_blocks_that_begin_with_patches_are_those_of_training(given: str) -> None:
    """One pass over whole texts with a block at every patch, as in training, and one block after the other."""
    model, size = blt(entropy_patching(6), cells=True, decoder_input=given), 4
    ids = texts(ROWS, LENGTH)
    blocks = PatchBlocks.of(model.patcher.starts(ids), size)
    cells = ids.gather(1, blocks.places_BC.clamp(0, LENGTH - 1))
    places = torch.arange(LENGTH)
    state, met = BlockState(model, ROWS, LENGTH, size), 0
    for place in places[:-size]:
        _, block, hidden = state.feed_block(ids[:, place : place + 1], [1, 1], "patch", cut=False)
        # the bytes so far are shown, as in training where they happen not to be hidden
        hide = (blocks.places_BC > place) | (blocks.begins_BJ < 0).repeat_interleave(size, 1)
        full = model.hidden(ids, None, blocks, torch.where(hide, MASK, cells))[:, LENGTH:].unflatten(1, (-1, size))
        for row in range(ROWS):
            if int(place) + 1 - state.begin[row] < size:
                at = blocks.begins_BJ[row] == block.begin_B[row]
                torch.testing.assert_close(hidden[row], full[row, at][0], **EXACT)
                met += 1
    assert met > LENGTH


@torch.no_grad()
def test_a_block_after_prompts_of_any_lengths_sees_its_own() -> None:
    """A prompt that is much longer passes through the ring more often than the other row's, which is as it was."""
    model, size, ids = blt(cells=True), 4, texts(ROWS, LENGTH)
    together, alone = BlockState(model, ROWS, LENGTH, size), BlockState(model, 1, LENGTH, size)
    together.feed(ids, [5, LENGTH])
    alone.feed(ids[:1, :5])
    found, expected = (each.look(each.open_block([9] * each.batch, "here")) for each in (together, alone))
    torch.testing.assert_close(found[0], expected[0], **EXACT)


@torch.no_grad()
def test_a_row_that_has_ended_is_no_trouble_to_another() -> None:
    """It has no new byte of which a cut latent could be made, and many patches that were closed before."""
    model = blt(entropy_patching(), cells=True)
    ids = texts(ROWS, LENGTH, seed=4)
    ends = [n for n in range(20, LENGTH) if n - opened(model, ids[0, :n]) >= 2]
    assert ends
    for end in ends:
        state = BlockState(model, ROWS, LENGTH, 2)
        state.feed(ids[:, :end], [end, 1])
        _, block, hidden = state.feed_block(ids[:, 1:2], [0, 1], "patch", cut=True)
        expected = cells_of(model, ids[1], int(block.begin_B[1]), block.ids_BK[1], cut=block.known[1] == 0)
        torch.testing.assert_close(hidden[1], expected, **EXACT)


@torch.no_grad()
def test_ends_of_documents_among_blocks() -> None:
    """What a text says of itself is not moved by blocks, where it has several documents either."""
    model, size, ids = blt(cells=True), 4, texts(1, LENGTH)
    ids[0, [6, 15, 16, 30]] = EOS
    full, state = model.hidden(ids), BlockState(model, 1, LENGTH, size)
    for place in range(0, LENGTH, 2):
        hidden, block, _ = state.feed_block(ids[:, place : place + 2], [2], "here", cut=place % 4 == 0)
        torch.testing.assert_close(hidden[0], full[0, place : place + 2], **EXACT)
        state.look(block)
        state.advance(torch.full((1, size), EOS))


@torch.no_grad()
def test_nothing_of_a_block_is_kept() -> None:
    """The last bit of what comes after is the same, whatever was looked at in between."""
    model, size, ids = blt(cells=True), 16, texts(1, LENGTH)
    one, other = (BlockState(model, 1, LENGTH, size) for _ in range(2))
    for place in range(LENGTH):
        for begin in ("here", "patch"):
            block = one.open_block([int(ids[0, place])], begin)
            one.look(block.filled(torch.full_like(block.ids_BK, 7 + place)))
        assert torch.equal(one.feed(ids[:, place : place + 1]), other.feed(ids[:, place : place + 1]))
        assert (one.length, one.begin, one.patches) == (other.length, other.begin, other.patches)


@torch.no_grad()
def test_a_latent_that_is_cut_off_counts_as_a_pass_and_as_no_patch() -> None:
    model, ids = blt(StaticPatching(size=8), cells=True), texts(1, LENGTH)
    state = BlockState(model, 1, LENGTH, 4)
    state.feed(ids[:, :9])
    assert (state.passes["latent"], state.passes["patches"]) == (1, 2)
    for count, cut, passes in ((3, True, 2), (1, True, 3), (3, False, 3), (1, True, 4)):
        n = state.length[0]
        state.feed_block(ids[:, n : n + count], [count], "here", cut=cut)
        assert state.passes["latent"] == passes
        assert state.passes["patches"] == state.patches[0]
    assert state.patches == [3]
    assert state.passes["encoder"] == state.passes["decoder"] == 5
