"""The Byte Latent Transformer is transformers' `BltForCausalLM` on copied weights, row by row."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BltForCausalLM

from blt_theirs import SHAPES, WINDOW, texts, their_entropies, their_logits, theirs
from isobyte.backbone.blt.interchange import read_weights, thresholds, weights_of
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.transformers_config import read_config
from isobyte.backbone.flat import FlatModel
from isobyte.config.patching import EntropyPatching

NEAR = {"rtol": 0, "atol": 1e-4}


def ours(model: BltForCausalLM, **kernel: Any) -> BltModel:
    shape, _ = read_config(model.config.to_dict(), "there")
    made = BltModel(shape, **kernel)
    tensors = read_weights(model.state_dict(), weights_of(shape), "there")
    if isinstance(shape.patching, EntropyPatching):
        tensors |= thresholds(shape.patching)
    made.load_state_dict(tensors)
    return made.eval()


@torch.no_grad()
def our_logits(model: BltModel, ids: Tensor, starts: Tensor | None = None) -> Tensor:
    return model.id_logits(model.hidden(ids, starts))


@pytest.fixture(scope="module", params=SHAPES, ids=lambda name: name.replace(" ", "-"))
def pair(request: pytest.FixtureRequest) -> tuple[BltForCausalLM, BltModel]:
    model = theirs(request.param)
    return model, ours(model)


def test_every_row_is_theirs(pair: tuple[BltForCausalLM, BltModel]) -> None:
    them, us = pair
    ids = texts()
    patches = us.patcher.starts(ids).sum(1)
    assert len(set(patches.tolist())) == len(ids), "rows of different numbers of patches"
    assert 0.2 < patches.float().mean() / ids.shape[1] < 0.5
    expected = their_logits(them, ids)
    assert expected.std() > 0.3
    torch.testing.assert_close(our_logits(us, ids), expected, **NEAR)


@pytest.mark.parametrize("kernel", ["explicit", "flex"])
def test_so_it_is_with_other_kernels(kernel: str) -> None:
    them = theirs("projected, grouped")
    torch.testing.assert_close(our_logits(ours(them, attention=kernel), texts()), their_logits(them, texts()), **NEAR)


def test_entropies_are_theirs_within_the_scorers_window(pair: tuple[BltForCausalLM, BltModel]) -> None:
    them, us = pair
    ids = texts()
    expected = their_entropies(them, ids)
    entropies, scorer = us.patcher.entropies(ids), us.patcher.scorer
    torch.testing.assert_close(entropies, expected, **NEAR)
    assert isinstance(scorer, FlatModel)
    assert entropies is not None
    assert ids.shape[1] > 2 * WINDOW
    changed = ids.clone()
    changed[:, 1] = 4 + (changed[:, 1] - 3) % 256
    again = us.patcher.entropies(changed)
    assert again is not None
    reach, told = scorer.shape.layers * (WINDOW - 1), (again - entropies).abs().amax(0)
    assert told[1 : 2 + reach].max() > 1e-4
    assert told[2 + reach :].max() < 1e-6


def test_the_last_row_of_a_prefix_is_that_row_of_the_whole(pair: tuple[BltForCausalLM, BltModel]) -> None:
    them, us = pair
    ids = texts()
    whole = our_logits(us, ids)
    for length in (1, 2, 3, 5, WINDOW, WINDOW + 1, 40, 63, 64, 89):
        torch.testing.assert_close(our_logits(us, ids[:, :length])[:, -1], whole[:, length - 1], rtol=0, atol=1e-5)
    for length in (2, 40, 63):
        torch.testing.assert_close(our_logits(us, ids[:, :length]), their_logits(them, ids[:, :length]), **NEAR)


def test_without_a_patcher_every_byte_is_a_patch() -> None:
    them = theirs("projected, grouped", patch_in_forward=False)
    us = ours(them)
    assert us.shape.patching.kind == "byte"
    torch.testing.assert_close(our_logits(us, texts()), their_logits(them, texts()), **NEAR)


def test_patches_may_be_told(pair: tuple[BltForCausalLM, BltModel]) -> None:
    them, us = pair
    ids = texts()
    generator = torch.Generator().manual_seed(2)
    starts = torch.rand(len(ids), ids.shape[1] + 1, generator=generator) < 0.4
    starts[:, :2] = True
    lengths = torch.zeros(len(ids), int(starts.sum(1).max()), dtype=torch.long)
    for row, bits in enumerate(starts):
        edges = torch.cat((bits.nonzero()[:, 0], torch.tensor([len(bits)])))
        lengths[row, : len(edges) - 1] = edges.diff()
    assert (lengths.sum(1) == ids.shape[1] + 1).all()
    told = their_logits(them, ids, patch_lengths=lengths)
    torch.testing.assert_close(our_logits(us, ids, starts), told, **NEAR)
    assert (told - their_logits(them, ids)).abs().max() > 1e-2, "and it matters how"


@pytest.mark.parametrize("change", ["cross_residual", "hashing"], ids=["a single residual", "hashes of the paper"])
def test_what_the_paper_says_differs_from_what_was_released(change: str) -> None:
    them = theirs("as released")
    us = ours(them)
    paper = {"cross_residual": "single", "hashing": "paper"}[change]
    other = BltModel(us.shape.model_copy(update={change: paper}))
    other.load_state_dict(us.state_dict())
    assert (our_logits(other, texts()) - their_logits(them, texts())).abs().max() > 0.1


def test_the_released_patch_cap_is_ours_but_for_their_last_row() -> None:
    them = theirs("as released", max_patch_length=3)
    us = ours(them)
    assert us.shape.patching.max_length == 3
    torch.testing.assert_close(our_logits(us, texts())[:, :-1], their_logits(them, texts())[:, :-1], **NEAR)
