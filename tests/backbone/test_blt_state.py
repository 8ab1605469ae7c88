"""Acceptance 3: what is decoded byte by byte through caches is what a full pass says, in every row and every batch."""

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from blt_models import WINDOW, blt, entropy_patching, local, texts
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.packed import Packed
from isobyte.backbone.blt.state import State
from isobyte.backbone.byte_ids import EOS
from isobyte.backbone.mask import CAUSAL
from isobyte.config.patching import EntropyPatching, NgramScorer, SpacePatching, StaticPatching
from isobyte.errors import UserError

EXACT = {"rtol": 0, "atol": 1e-5}
LENGTH = 40
assert LENGTH > 2 * WINDOW


def ngram_model() -> BltModel:
    model = blt(EntropyPatching(scorer=NgramScorer(context=2), threshold=2.0, rule="monotonic", rise=0.3))
    table = model.patcher.get_submodule("scorer").get_buffer("entropy")
    table.copy_(torch.rand(len(table), generator=torch.Generator().manual_seed(0)) * 5)
    return model


MODELS: dict[str, Callable[[], BltModel]] = {
    "k 1": lambda: blt(latents=1),
    "k 2, capped": lambda: blt(entropy_patching(cap=3)),
    "k 3, doubled residual": lambda: blt(latents=3, cross_residual="doubled"),
    "paper's hashes, bytes into the decoder": lambda: blt(hashing="paper", decoder_input="embedding"),
    "no hashes, one cross layer": lambda: blt(hash_sizes=(), decoder_cross_layers="first"),
    "three layers that pool": lambda: _pooling(),
    "both rises": lambda: _risen("both"),
    "monotonic": lambda: _risen("monotonic"),
    "n-grams": ngram_model,
    "spaces, capped": lambda: blt(SpacePatching(max_length=6)),
    "static": lambda: blt(StaticPatching(size=4)),
}


def _pooling() -> BltModel:
    model = blt()
    shape = model.shape.model_copy(update={"encoder": local(3), "encoder_cross_layers": "all"})
    torch.manual_seed(1)
    pooling = BltModel(shape).eval()
    pooling.patcher.load_state_dict(model.patcher.state_dict())
    return pooling


def _risen(rule: str) -> BltModel:
    patching = entropy_patching().model_copy(update={"rule": rule, "rise": 0.0})
    return blt(patching)


def one_by_one(model: BltModel, ids: Tensor) -> Tensor:
    state = State(model, len(ids), ids.shape[1])
    return torch.cat([state.feed(ids[:, place : place + 1]) for place in range(ids.shape[1])], 1)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_byte_by_byte_is_the_full_pass(name: str) -> None:
    model, ids = MODELS[name](), texts(3, LENGTH)
    full = model.hidden(ids)
    assert 3 < model.patcher.starts(ids).sum(1).min() < LENGTH - 3
    torch.testing.assert_close(one_by_one(model, ids), full, **EXACT)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_ragged_rows_in_pieces_of_which_some_are_taken_back(name: str) -> None:
    model, ids = MODELS[name](), texts(3, LENGTH)
    full, more = model.hidden(ids), 5
    state = State(model, 3, LENGTH, slack=more)
    counts = [17, 3, 11]
    first = state.feed(ids[:, :17], counts)
    for row, count in enumerate(counts):
        torch.testing.assert_close(first[row, :count], full[row, :count], **EXACT)
    for turn in range(30):
        at = [min(n, LENGTH - more) for n in state.length]
        if at != state.length:
            break
        done = state.advance(torch.stack([ids[row, n : n + more] for row, n in enumerate(at)]))
        for row, n in enumerate(at):
            torch.testing.assert_close(done.hidden[row], full[row, n : n + more], **EXACT)
        state.commit(done, [(turn + row) % (more + 1) for row in range(3)])
    assert max(state.length) > LENGTH - more


@torch.no_grad()
def test_what_is_taken_back_may_be_followed_by_something_else() -> None:
    """Caches hold what was fed and taken back until it is written over: it must not be seen."""
    model, ids, other = blt(), texts(2, LENGTH), texts(2, LENGTH, seed=5)
    full, state = model.hidden(ids), State(model, 2, LENGTH, slack=7)
    state.feed(ids[:, :1])
    for place in range(1, LENGTH):
        done = state.advance(other[:, place : place + 7])
        state.commit(done, [0, 0])
        torch.testing.assert_close(state.feed(ids[:, place : place + 1])[:, 0], full[:, place], **EXACT)


@settings(max_examples=25, deadline=None)
@given(
    ends=st.lists(st.integers(1, LENGTH - 2), max_size=4),
    pieces=st.lists(st.integers(1, 6), min_size=1, max_size=LENGTH),
    first=st.integers(1, LENGTH - 1),
)
@torch.no_grad()
def test_documents_end_anywhere(ends: list[int], pieces: list[int], first: int) -> None:
    model, ids = DOCUMENTS, texts(2, LENGTH)
    ids[0, ends] = EOS
    full, state = model.hidden(ids), State(model, 2, LENGTH, slack=6)
    found = [state.feed(ids[:, :first])]
    sizes = itertools.cycle(pieces)
    while state.length[0] < LENGTH:
        found.append(state.feed(ids[:, state.length[0] : state.length[0] + next(sizes)]))
    torch.testing.assert_close(torch.cat(found, 1), full, **EXACT)


DOCUMENTS = blt()


@torch.no_grad()
def test_a_row_of_a_batch_is_that_row_alone() -> None:
    model, ids = blt(), texts(4, LENGTH)
    together = one_by_one(model, ids)
    for row in range(4):
        torch.testing.assert_close(one_by_one(model, ids[row : row + 1])[0], together[row], **EXACT)


@torch.no_grad()
def test_a_patch_may_outgrow_what_was_set_aside_for_it() -> None:
    """Patches of any length: the buffer of an open patch grows, in rows whose patches began at different places."""
    model, ids = blt(StaticPatching(size=150)), texts(2, 330)
    ids[1, 40] = EOS
    torch.testing.assert_close(one_by_one(model, ids), model.hidden(ids), rtol=0, atol=2e-5)


@torch.no_grad()
def test_the_latent_transformer_runs_once_a_patch() -> None:
    """Acceptance 8's counters: one pass of each local network a byte, one latent pass for each patch."""
    model, ids = blt(), texts(1, LENGTH)
    state = State(model, 1, LENGTH)
    state.feed(ids[:, :10])
    before = state.passes.copy()
    for place in range(10, LENGTH):
        state.feed(ids[:, place : place + 1])
    closed = int(model.patcher.starts(ids)[0, 11:].sum())
    assert 3 < closed < LENGTH - 13
    spent = state.passes - before
    assert spent == {"encoder": 30, "entropy": 30, "decoder": 30, "latent": closed, "patches": closed}
    assert state.patches == [int(model.patcher.starts(ids)[0, 1:].sum())]


@torch.no_grad()
def test_drafts_before_the_next_boundary_are_exact() -> None:
    """A draft reads the newest latent, which is the right one until a patch closes."""
    model, ids = blt(StaticPatching(size=8)), texts(2, LENGTH)
    full, state = model.hidden(ids), State(model, 2, LENGTH, slack=6)
    state.feed(ids[:, :18])
    for ahead in range(1, 7):
        drafted = state.draft(ids[:, 18 : 18 + ahead])
        torch.testing.assert_close(drafted, full[:, 17 + ahead], **EXACT)
    passes = state.passes
    assert (passes["latent"], passes["decoder"]) == (1, 7)
    # place 24 closes the patch of 17..24, and row 24 is the first to read it
    stale = state.draft(ids[:, 18:25])
    assert (stale - full[:, 24]).abs().amax() > 1e-3
    done = state.advance(ids[:, 18:25])
    torch.testing.assert_close(done.hidden, full[:, 18:25], **EXACT)


@torch.no_grad()
def test_packed_weights_serve_many_states() -> None:
    model, ids = blt(), texts(1, 12)
    packed = Packed(model)
    first, second = State(model, 1, 12, packed=packed), State(model, 1, 12, packed=packed)
    assert torch.equal(first.feed(ids), second.feed(ids))


@torch.no_grad()
def test_as_a_cache_of_the_network_it_serves_symbols() -> None:
    """What codecs and samplers of any objective call."""
    model, symbols = blt(), texts(2, 20) - 4
    symbols[:, 0] = 256
    full = model(symbols, CAUSAL)
    cache = model.new_cache(2, 20)
    parts = [model(symbols[:, :5], CAUSAL, cache=cache, keep=5)]
    parts += [model(symbols[:, place : place + 1], CAUSAL, cache=cache, keep=1) for place in range(5, 20)]
    torch.testing.assert_close(torch.cat(parts, 1), full, **EXACT)
    torch.testing.assert_close(model(symbols, model.left_to_right(symbols)), full, rtol=0, atol=0)


@torch.no_grad()
def test_a_full_context_is_one_clear_error() -> None:
    model, ids = blt(StaticPatching(size=2)), texts(1, LENGTH)
    state = State(model, 1, LENGTH, patches=6)
    state.feed(ids[:, :11])
    with pytest.raises(UserError, match="room for 6 patches"):
        state.feed(ids[:, 11:13])
    unbounded = model.shape.model_copy(update={"decoder": local(2).model_copy(update={"attention_window": None})})
    short = State(BltModel(unbounded).eval(), 1, 10)
    short.feed(ids[:, :10])
    with pytest.raises(UserError, match="room for 10"):
        short.feed(ids[:, 10:11])
