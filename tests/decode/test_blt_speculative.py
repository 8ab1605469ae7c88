"""Self-speculation says what plain decoding says, with fewer exact passes."""

from dataclasses import replace
from functools import cache
from typing import Literal

import pytest
import torch

from blt_models import blt, entropy_patching, texts
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.byte_ids import BOS, EOS
from isobyte.decode.blt import Generated, generate
from isobyte.decode.blt_settings import Refresh, Settings

LENGTH = 37
"""No multiple of a draft and the byte after it."""
PROMPTS = {
    "one": [texts(1, 9, seed=3)[0].tolist()],
    "ragged": [text[:length].tolist() for text, length in zip(texts(3, 21), (21, 1, 8), strict=True)],
}


@cache
def model(cap: int | None) -> BltModel:
    return blt(entropy_patching(cap))


@cache
def plain(cap: int | None, prompts: str) -> Generated:
    return generate(model(cap), PROMPTS[prompts], Settings(LENGTH, temperature=0))


@pytest.mark.parametrize("refresh", ["never", "at_boundary", "always"])
@pytest.mark.parametrize("prompts", ["one", "ragged"])
@pytest.mark.parametrize("cap", [None, 3])
@pytest.mark.parametrize("k", [1, 2, 4, 8, 16])
def test_greedy_bytes_are_those_of_plain_decoding(k: int, cap: int | None, prompts: str, refresh: Refresh) -> None:
    expected = plain(cap, prompts)
    for length in (LENGTH, k + 1) if k != 4 else (LENGTH, 1, 2, k + 1):
        settings = Settings(length, temperature=0, draft=k, refresh=refresh)
        done = generate(model(cap), PROMPTS[prompts], settings)
        assert done.ids == [ids[:length] for ids in expected.ids]
        add_up(done, k)


def add_up(done: Generated, k: int) -> None:
    """The first byte comes with the prompt; a round gives the accepted drafts and one more."""
    for ids, rounds, drafted, accepted in zip(done.ids, done.rounds, done.drafted, done.accepted, strict=True):
        assert len(ids) == 1 + accepted + rounds
        assert accepted <= drafted <= k * rounds


def test_without_refresh_a_round_is_one_exact_pass() -> None:
    """And as many cheap ones as it drafts."""
    done = generate(model(None), PROMPTS["one"], Settings(LENGTH, temperature=0, draft=4))
    (rounds,), (drafted,), passes = done.rounds, done.drafted, done.output.passes
    assert passes["entropy"] == rounds
    assert passes["latent"] <= rounds < LENGTH - 1
    assert passes["decoder"] == passes["encoder"] == drafted + rounds
    before = plain(None, "one").output
    assert (done.output.bytes, done.output.patches) == (before.bytes, before.patches)


def test_a_refresh_at_boundaries_asks_the_latent_transformer_where_a_patch_closes() -> None:
    settings = Settings(LENGTH, temperature=0, draft=4, refresh="at_boundary")
    done, before = (generate(model(None), PROMPTS["one"], replace(settings, draft=k)) for k in (4, None))
    (rounds,), passes = done.rounds, done.output.passes
    assert passes["decoder"] == sum(done.drafted) + rounds, "the first draft is exact"
    assert rounds < passes["latent"] < 2 * rounds
    assert (done.output.bytes, done.output.patches) == (before.output.bytes, before.output.patches)


def test_what_is_always_encoded_again_takes_two_passes_a_round() -> None:
    settings = Settings(LENGTH, temperature=0, draft=4, refresh="always")
    done, once = (generate(model(None), PROMPTS["one"], replace(settings, refresh=r)) for r in REFRESHED)
    assert (done.accepted, done.drafted) == (once.accepted, once.drafted), "drafts are the same"
    assert done.output.passes["entropy"] == once.output.passes["entropy"]
    assert done.output.passes["patches"] > once.output.passes["patches"]


REFRESHED: tuple[Refresh, Refresh] = ("always", "at_boundary")


def test_a_better_latent_makes_better_drafts() -> None:
    def accepted(refresh: Refresh) -> float:
        prompts = [text.tolist() for text in texts(8, 12)]
        found = generate(model(None), prompts, Settings(40, temperature=0, draft=4, refresh=refresh)).acceptance
        assert found is not None
        return found

    assert accepted("at_boundary") > accepted("never") > 0.2


@pytest.mark.parametrize("refresh", ["never", "at_boundary", "always"])
@pytest.mark.parametrize("place", [5, 6, 7, 8])
def test_an_end_inside_a_draft_ends_the_text(place: int, refresh: Refresh) -> None:
    """Whatever place of a draft it falls on; the other rows go on."""
    shape: dict[Literal["document_mask"], bool] = {"document_mask": False}
    ends = blt(**shape)
    settings = Settings(LENGTH, temperature=0, ids="all")
    ids = generate(ends, PROMPTS["ragged"], settings).ids[0]
    with torch.no_grad():
        ends.head.weight[[EOS, ids[place]]] = ends.head.weight[[ids[place], EOS]]
    expected = generate(ends, PROMPTS["ragged"], settings)
    assert expected.ended[0] == "end"
    assert EOS in expected.ids[0]
    assert len(expected.ids[0]) <= place + 1
    done = generate(ends, PROMPTS["ragged"], replace(settings, draft=4, refresh=refresh))
    assert (done.ids, done.ended, done.texts) == (expected.ids, expected.ended, expected.texts)


def test_drafts_with_the_law_of_what_judges_them_are_all_kept() -> None:
    """Where every byte is a patch of its own model's choosing no draft reads the right latent; where none ever closes
    all do, and the same noise gives plain decoding's bytes."""
    still = blt()
    still.patcher.threshold.fill_(1e9)
    for temperature in (0.0, 1.0):
        settings = Settings(30, seed=2, temperature=temperature)
        one = generate(still, [[BOS, 70, 71]], settings)
        done = generate(still, [[BOS, 70, 71]], replace(settings, draft=5))
        assert done.texts == one.texts
        assert done.accepted == done.drafted != [0]
