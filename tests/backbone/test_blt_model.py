"""The model's full pass: what may influence what, and its parts against references that share no code with it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from blt_models import blt, entropy_patching, local, texts
from isobyte.backbone.blt.cross import CrossAttention, pool_max
from isobyte.backbone.blt.hashing import PRIMES, HashEmbedding, grams
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.residual import doubled
from isobyte.backbone.byte_ids import EOS, documents_of
from isobyte.config.backbone import FlatConfig
from isobyte.config.patching import BytePatching, Patching, SpacePatching, StaticPatching

PATCHINGS: dict[str, Callable[[], Patching]] = {
    "entropy": entropy_patching,
    "entropy, capped": lambda: entropy_patching(cap=3),
    "space": lambda: SpacePatching(max_length=6),
    "static": lambda: StaticPatching(size=3),
    "byte": BytePatching,
}


@pytest.mark.parametrize("patching", PATCHINGS)
def test_a_row_depends_on_nothing_that_comes_later(patching: str) -> None:
    """Acceptance 2: every row of a changed text stays as it is up to the change, and changes there."""
    model, ids = blt(PATCHINGS[patching](), seed=3), texts(2, 40)
    with torch.no_grad():
        rows = model.hidden(ids)
        for place in (1, 7, 8, 19, 38):
            changed = ids.clone()
            changed[:, place] = 4 + (changed[:, place] - 3) % 256
            assert not torch.equal(changed, ids)
            after = model.hidden(changed)
            torch.testing.assert_close(after[:, :place], rows[:, :place], rtol=0, atol=2e-6)
            assert (after[:, place] - rows[:, place]).abs().amax() > 1e-3


@pytest.mark.parametrize("patching", PATCHINGS)
@pytest.mark.parametrize("latents", [1, 3])
def test_the_last_row_of_a_prefix_is_that_row_of_the_whole(patching: str, latents: int) -> None:
    model, ids = blt(PATCHINGS[patching](), latents=latents), texts(3, 60)
    with torch.no_grad():
        rows = model.hidden(ids)
        for length in (1, 2, 3, 9, 31, 59):
            torch.testing.assert_close(model.hidden(ids[:, :length])[:, -1], rows[:, length - 1], rtol=0, atol=3e-6)


def test_rows_of_a_batch_do_not_influence_each_other() -> None:
    model, ids = blt(), texts(4, 50)
    with torch.no_grad():
        together = model.hidden(ids)
        assert len(set(model.patcher.starts(ids).sum(1).tolist())) > 1, "the rows should differ in patches"
        for row in range(4):
            torch.testing.assert_close(model.hidden(ids[row : row + 1])[0], together[row], rtol=0, atol=3e-6)


def test_nothing_is_seen_across_the_end_of_a_document() -> None:
    """Neither by attention, nor in a patch, nor in an n-gram, nor by the scorer."""
    model, ids = blt(), texts(2, 40)
    ids[:, 15] = EOS
    changed = ids.clone()
    changed[:, 2:15] = texts(2, 13, seed=9)
    with torch.no_grad():
        # boundaries as well: patches before the end may differ in number, and with them the places of latents
        starts = model.patcher.starts(ids)
        assert torch.equal(model.patcher.starts(changed)[:, 16:], starts[:, 16:])
        assert starts[:, 16].all()
        one = model.hidden(ids)
        two = model.hidden(changed)
        torch.testing.assert_close(one[:, 16:], two[:, 16:], rtol=0, atol=1e-5)
        assert (one[:, 14] - two[:, 14]).abs().amax() > 1e-3
        unmasked = BltModel(model.shape.model_copy(update={"document_mask": False})).eval()
        unmasked.load_state_dict(model.state_dict())
        assert (unmasked.hidden(ids)[:, 16:] - unmasked.hidden(changed)[:, 16:]).abs().amax() > 1e-3


@pytest.mark.parametrize(
    "options",
    [{}, {"cross_residual": "doubled"}, {"hashing": "paper"}, {"decoder_input": "embedding"}, {"latents": 3}],
    ids=str,
)
def test_matrix_products_and_gathers_agree(options: dict[str, object]) -> None:
    model, ids = blt(**options), texts(2, 40)
    plain = BltModel(model.shape, attention="explicit").eval()
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(plain.hidden(ids), model.hidden(ids), rtol=0, atol=5e-6)
    weights = torch.randn_like(model.hidden(ids))
    found = []
    for each in (plain, model):
        (each.hidden(ids) * weights).sum().backward()
        found.append([p.grad for p in each.parameters() if p.requires_grad and p.grad is not None])
    assert len(found[0]) == len(found[1]) > 20
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


def test_only_the_patcher_is_frozen() -> None:
    frozen = {name.split(".")[0] for name, each in blt().named_parameters() if not each.requires_grad}
    assert frozen == {"patcher"}


@pytest.mark.parametrize("hashing", ["released", "paper"])
def test_rows_of_n_grams_are_those_of_whole_numbers(hashing: str) -> None:
    """Against Python's own integers, wrapped to 64 bits by hand."""
    shape = blt().shape.model_copy(update={"hashing": hashing, "hash_functions": 2, "hash_sizes": (3, 8)})
    tables, ids = HashEmbedding(shape), texts(1, 20)
    rows = tables.table_rows(grams(ids, tables.reach))[0].tolist()
    plain = [0] * 7 + ids[0].tolist()
    for place in range(20):
        expected = []
        for function in range(2):
            for size in (3, 8):
                gram = plain[place + 8 - size : place + 8]
                ordered = gram if hashing == "released" else gram[::-1]
                total = sum(g * PRIMES[function] ** j for j, g in enumerate(ordered))
                wrapped = (total + 2**63) % 2**64 - 2**63
                expected.append(wrapped % shape.hash_vocab + len(expected) * shape.hash_vocab)
        assert rows[place] == expected


def test_the_papers_rule_leaves_out_short_n_grams_and_takes_a_mean() -> None:
    model = blt(hashing="paper", hash_sizes=(2, 4))
    hashes, ids = model.encoder.hashes, texts(1, 6)
    assert hashes is not None
    rows = hashes.table_rows(grams(ids, 4))
    found = model.encoder.embed(ids, grams(ids, 4), torch.arange(6)[None])[0]
    for place in range(6):
        total = model.encoder.embedding.weight[ids[0, place]].clone()
        for table, size in enumerate((2, 4)):
            if place >= size - 1:
                total += hashes.weight[rows[0, place, table]]
        torch.testing.assert_close(found[place], total / 3)


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=6), k=st.integers(1, 3), seed=st.integers(0, 99))
def test_patches_read_their_bytes_as_a_masked_attention_would(lengths: list[int], k: int, seed: int) -> None:
    torch.manual_seed(seed)
    count, total = len(lengths), sum(lengths)
    cross = CrossAttention(12, 3, 1e-5, doubled=bool(seed % 2), counted=False).double()
    q_PKD, x_ND = torch.randn(count, k, 12).double(), torch.randn(total + 2, 12).double()
    # the last two bytes belong to no complete patch
    patch_N = torch.repeat_interleave(torch.arange(count + 1), torch.tensor([*lengths, 2]))
    found = cross.read_by_patches(q_PKD, x_ND, patch_N)
    for patch in range(count):
        mine = x_ND[patch_N == patch]
        torch.testing.assert_close(found[patch], _dense(cross, q_PKD[patch], mine))


def _dense(cross: CrossAttention, x_QD: Tensor, held_ND: Tensor) -> Tensor:
    """Plain multi-head attention, head by head."""
    q = cross.query(cross.query_norm(x_QD)).chunk(cross.heads, -1)
    k, v = cross.key_value(cross.held_norm(held_ND)).chunk(2, -1)
    mixed = []
    for head, (one_k, one_v) in enumerate(zip(k.chunk(cross.heads, -1), v.chunk(cross.heads, -1), strict=True)):
        scores = q[head] @ one_k.T / one_k.shape[-1] ** 0.5
        mixed.append(scores.softmax(-1) @ one_v if len(held_ND) else torch.zeros_like(q[head]))
    return cross.residual * x_QD + cross.out(torch.cat(mixed, -1))


def test_bytes_read_k_vectors_as_attention_would() -> None:
    torch.manual_seed(0)
    cross = CrossAttention(12, 3, 1e-5, doubled=True, counted=False).double()
    x_ND, vectors_NKD = torch.randn(5, 12).double(), torch.randn(5, 4, 12).double()
    k, v = cross.held(vectors_NKD)
    found = cross.read_by_bytes(x_ND, k, v)
    for place in range(5):
        torch.testing.assert_close(found[place], _dense(cross, x_ND[place : place + 1], vectors_NKD[place])[0])


def test_pooling_takes_the_maximum_of_each_patch() -> None:
    x = torch.tensor([[1.0, -5.0], [3.0, -6.0], [-2.0, -1.0], [9.0, 9.0]])
    assert pool_max(x, torch.tensor([0, 0, 2, 3]), 3).tolist() == [[3.0, -5.0], [0.0, 0.0], [-2.0, -1.0]]


def test_documents_are_counted_by_their_ends() -> None:
    ids = torch.tensor([[1, 9, EOS, 9, EOS, 9]])
    documents = documents_of(ids)
    assert documents is not None
    assert documents.tolist() == [[0, 0, 0, 1, 1, 2]]
    assert documents_of(ids[:, :2]) is None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"latents": 3, "latent": FlatConfig(layers=2, width=96, heads=4, ffn=64)},
        {"encoder": local(3), "encoder_cross_layers": "all"},
        {"decoder_cross_layers": "first"},
    ],
    ids=["projected", "as wide as k vectors", "all layers pool", "first layer reads"],
)
@torch.no_grad()
def test_a_model_that_adds_once_is_one_that_adds_twice(options: dict[str, Any]) -> None:
    model, ids = blt(entropy_patching()), texts(2, 40)
    torch.manual_seed(4)
    single = BltModel(model.shape.model_copy(update=options)).eval()
    single.patcher.load_state_dict(model.patcher.state_dict())
    weights, shape = doubled(single.state_dict(), single.shape)
    twice = BltModel(shape).eval()
    twice.load_state_dict(weights)
    assert shape.cross_residual == "doubled"
    torch.testing.assert_close(twice.hidden(ids), single.hidden(ids), rtol=0, atol=1e-4)
    unscaled = BltModel(shape).eval()
    unscaled.load_state_dict(single.state_dict())
    assert (unscaled.hidden(ids) - single.hidden(ids)).abs().amax() > 1e-2
    assert doubled(weights, shape)[1] is shape
