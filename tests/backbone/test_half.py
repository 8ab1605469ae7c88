"""Weights in 16 bits are the numbers they were: what is decoded with them is what a full pass in fp32 says."""

import pytest
import torch

from blt_models import blt, entropy_patching, texts
from isobyte.backbone import half
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.packed import Packed
from isobyte.backbone.blt.state import State
from isobyte.backbone.products import Product
from isobyte.decode.blt import generate
from isobyte.decode.blt_settings import Settings
from isobyte.errors import UserError
from isobyte.evaluate.generate import counters


def halved(**shape: int | str) -> BltModel:
    """With norms whose gains are not 1."""
    model = blt(entropy_patching(cap=5), **shape)
    half.round_to_half(model)
    return model


def test_every_fp16_number_is_kept() -> None:
    """Least ones and negative zero too."""
    numbers = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(torch.float16)
    weight = numbers[numbers.isfinite()].float()[: 62 * 1024].view(-1, 64)
    found = Product.of(weight, halved=True)(torch.eye(64)).t()
    assert torch.equal(found, weight)


@pytest.mark.parametrize("shape", [{}, {"latents": 3, "cross_residual": "doubled"}, {"decoder_input": "embedding"}])
@torch.inference_mode()
def test_steps_through_caches_are_full_passes(shape: dict[str, int | str]) -> None:
    model, ids = halved(**shape), texts(3, 40)
    packed = Packed(model)
    assert (packed.halved, packed.width) == (True, 2)
    state = State(model, 3, 40, packed=packed)
    found = [state.feed(ids[:, :7]), *(state.feed(ids[:, t : t + 1]) for t in range(7, 40))]
    torch.testing.assert_close(torch.cat(found, 1), model.hidden(ids), rtol=0, atol=2e-5)


@pytest.mark.parametrize("draft", [None, 3])
def test_texts_are_those_of_32_bits(draft: int | None) -> None:
    model, prompts = halved(), [row[:length].tolist() for row, length in zip(texts(3, 20), (1, 9, 20), strict=True)]
    settings = Settings(50, temperature=0, draft=draft)
    small, large = (generate(model, prompts, settings, packed=Packed(model, halves=halves)) for halves in (True, False))
    assert small.ids == large.ids
    assert (small.width, large.width) == (2, 4)
    read = [counters([done], model, None)["bytes_read"]["full"] for done in (small, large)]
    assert read[1]["decoder"] == 2 * read[0]["decoder"]
    assert read[1]["held"] == read[0]["held"]


@torch.no_grad()
def test_one_number_that_is_not_fp16_keeps_all_in_32_bits() -> None:
    model = halved()
    assert half.is_half(model)
    model.decoder.norm.weight[3] = 1 / 3
    assert not half.is_half(model)
    assert not Packed(model).halved
    half.round_to_half(model)
    assert Packed(model).halved
    assert not Packed(model.double()).halved


@torch.no_grad()
def test_numbers_beyond_the_range_are_refused_by_name() -> None:
    model = blt()
    model.head.weight[0, 0] = -1e5
    with pytest.raises(UserError, match=r"head\.weight has numbers beyond 65504"):
        half.round_to_half(model)


def test_other_precisions_are_refused() -> None:
    model = halved()
    half.check_possible(model)
    with pytest.raises(UserError, match="by CPUs only"):
        half.check_possible(model.double())
