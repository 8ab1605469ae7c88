"""BLT-DV: whatever is drafted, and however, the bytes are those of plain decoding."""

import itertools
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from blt_blocks import FILLS, LETTERS, PROMPTS, Told, speaking
from blt_models import blt
from isobyte.backbone.blt.blocks import Block
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.byte_ids import BOS, EOS, MASK
from isobyte.config.patching import StaticPatching
from isobyte.decode.blt import Generated, generate
from isobyte.decode.blt_block import BlockRounds
from isobyte.decode.blt_settings import Align, Blocks, Fill, Refresh, Settings

LENGTH = 27
"""No multiple of a block, nor of a block and the byte after it."""
GREEDY = Settings(LENGTH, temperature=0, ids="all", stop=(b"never said", b"abe"))
REFRESH: tuple[Refresh, ...] = ("never", "at_boundary", "always")
ALIGN: tuple[Align, ...] = ("none", "resume")


@cache
def model(**shape: Any) -> BltModel:
    return speaking(ends=True, **shape)


@cache
def plain(length: int = LENGTH, **shape: Any) -> Generated:
    return generate(model(**shape), PROMPTS, replace(GREEDY, length=length))


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("align", ALIGN)
@pytest.mark.parametrize("refresh", REFRESH)
@pytest.mark.parametrize("size", [1, 4, 8, 16])
def test_greedy_bytes_are_those_of_plain_decoding(size: int, refresh: Refresh, align: Align, fill: Fill) -> None:
    """In rows that end for every reason, some of them amid a draft."""
    expected, blocks = plain(), Blocks(size, True, fill, alpha=0.5, gamma=2.0, align=align)
    assert set(expected.ended) == {"length", "end", "stop"}
    done = generate(model(), PROMPTS, replace(GREEDY, refresh=refresh, blocks=blocks))
    assert (done.ids, done.ended, done.texts) == (expected.ids, expected.ended, expected.texts)
    add_up(done, blocks, refresh)
    if size > 1:
        assert done.acceptance is not None
        assert 0.05 < done.acceptance < 0.9, "or nothing is tested"


def add_up(done: Generated, blocks: Blocks, refresh: Refresh) -> None:
    """Passes of the batch by its rounds, and bytes of each row by its own."""
    rounds, passes, fills = max(done.rounds), done.output.passes, done.fills
    if refresh == "never":
        assert passes["encoder"] == passes["entropy"] == rounds
        assert passes["latent"] <= rounds
        assert passes["decoder"] == fills + rounds
        judged = rounds
    else:
        # the last round may end with the byte that an exact pass settles before anything is drafted
        judged = passes["encoder"] - rounds
        assert rounds - 1 <= judged <= rounds
        assert passes["entropy"] == rounds + judged
        # what was fed told of the block as well: the first step of filling it is no pass of its own
        assert passes["decoder"] - rounds - judged == max(0, fills - judged)
        assert passes["latent"] <= rounds + judged
    if blocks.fill == "one-step":
        assert fills == (judged if blocks.size > 1 else 0)
    assert fills <= judged * (blocks.size - 1) + (refresh != "never") * judged
    for ids, n, drafted, accepted, ended in zip(
        done.ids, done.rounds, done.drafted, done.accepted, done.ended, strict=True
    ):
        assert accepted <= drafted <= n * blocks.size
        # what ends a text may be an accepted byte, and then none comes after it
        assert 1 + accepted + n - (ended != "length") <= len(ids) <= 1 + accepted + n


@pytest.mark.parametrize("shape", [{"decoder_input": "embedding"}, {"latents": 3, "document_mask": True}], ids=str)
@pytest.mark.parametrize("refresh", REFRESH)
def test_models_of_other_shapes(shape: dict[str, Any], refresh: Refresh) -> None:
    expected = plain(**shape)
    for align, fill in (("none", "confidence"), ("resume", "one-step")):
        blocks = Blocks(8, True, fill, alpha=0.5, align=align)  # type: ignore[arg-type]
        done = generate(model(**shape), PROMPTS, replace(GREEDY, refresh=refresh, blocks=blocks))
        assert (done.ids, done.ended) == (expected.ids, expected.ended)
        assert sum(done.accepted) > 5


@settings(max_examples=20, deadline=None)
@given(
    size=st.integers(1, 20),
    length=st.integers(1, 30),
    fill=st.sampled_from(FILLS),
    align=st.sampled_from(ALIGN),
    refresh=st.sampled_from(REFRESH),
    alpha=st.floats(0, 1),
    gamma=st.floats(0, 6),
    rows=st.lists(st.integers(0, len(PROMPTS) - 1), min_size=1, max_size=3),
)
def test_any_policy_any_budget(
    size: int, length: int, fill: Fill, align: Align, refresh: Refresh, alpha: float, gamma: float, rows: list[int]
) -> None:
    blocks = Blocks(size, True, fill, alpha, gamma, align)
    settings = replace(GREEDY, length=length, refresh=refresh, blocks=blocks)
    done, expected = generate(model(), [PROMPTS[row] for row in rows], settings), plain(length)
    assert done.ids == [expected.ids[row] for row in rows]
    assert done.ended == [expected.ended[row] for row in rows]


@pytest.mark.parametrize("wrong", [0.0, 0.2])
@pytest.mark.parametrize("align", ALIGN)
@pytest.mark.parametrize("refresh", REFRESH)
def test_drafts_of_an_oracle(refresh: Refresh, align: Align, wrong: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends and stop strings at every place of drafts that are kept."""
    places, prompts = set(), PROMPTS[2:] + PROMPTS[:2]
    expected = generate(model(), prompts, GREEDY)
    assert expected.ended[0] == "end"
    whole = [[*prompt, *ids, *LETTERS] for prompt, ids in zip(prompts, expected.ids, strict=True)]
    for size in (4, 5, 6, 7):
        generator = torch.Generator().manual_seed(size)

        def fill(
            _: BlockRounds, block: Block, _hidden: object, by: torch.Generator = generator
        ) -> tuple[Tensor, Tensor]:
            ids = block.ids_BK.clone()
            for row, k in (ids == MASK).nonzero().tolist():
                place = int(block.begin_B[row]) + k
                ids[row, k] = whole[row][place] if place < len(whole[row]) else LETTERS[0]
                if torch.rand((), generator=by) < wrong:
                    ids[row, k] = int(torch.randint(260, (), generator=by))
            return ids, torch.zeros(*ids.shape, 1, dtype=torch.float64)

        monkeypatch.setattr(BlockRounds, "fill", fill)
        told, blocks = Told(), Blocks(size, True, align=align)
        settings = replace(GREEDY, refresh=refresh, blocks=blocks)
        done = generate(model(), prompts, settings, watch=told)
        assert (done.ids, done.ended, done.texts) == (expected.ids, expected.ended, expected.texts)
        _, drafts, kept, _ = told.verdicts[-1]
        if EOS in drafts[:kept]:
            places.add(drafts.index(EOS))
        if not wrong and align == "none" and refresh == "never":
            assert done.rounds == [-(-(len(ids) - 1) // size) for ids in done.ids]
            assert done.accepted[2] == done.drafted[2] > 15
    assert len(places) > 1 or wrong


@pytest.mark.parametrize(("align", "refresh", "fill"), itertools.product(ALIGN, REFRESH, ("confidence", "one-step")))
@pytest.mark.parametrize(
    "way", [{}, {"temperature": 1.0, "ids": "bytes", "stop": (b"ab", b"ca")}], ids=["best", "drawn"]
)
def test_a_row_is_what_it_is_alone(align: Align, refresh: Refresh, fill: Fill, way: dict[str, Any]) -> None:
    """Its drafts too, whenever others end."""
    blocks = Blocks(5, True, fill, alpha=0.5, align=align)
    settings = replace(GREEDY, length=17, refresh=refresh, blocks=blocks, **way)
    together = generate(model(), PROMPTS, settings)
    assert len(set(map(len, together.ids))) > 2, "some end before others"
    for n, prompt in enumerate(PROMPTS):
        alone = generate(model(), [prompt], replace(settings, first=n))
        for each, of_row in zip(facts(together), facts(alone), strict=True):
            assert each[n] == of_row[0]


def facts(done: Generated) -> tuple[list[Any], ...]:
    return done.ids, done.ended, done.rounds, done.drafted, done.accepted


def test_latents_are_made_where_patches_close_and_where_one_is_cut_off() -> None:
    """A patch ends with every eighth byte. A judgement shows the newest byte and the drafts; before it the byte that
    came before the newest is fed, and under `always` the latent of the patch that it is in is made, whole or not."""
    static = blt(StaticPatching(size=8), cells=True)
    for refresh in REFRESH:
        told = Told()
        settings = Settings(30, temperature=0, refresh=refresh, blocks=Blocks(4, True, align="none"))
        done = generate(static, [[BOS, 70, 71]], settings, watch=told)
        expected = 0
        for place, drafts, _, _ in told.verdicts:
            expected += any(shown % 8 == 0 for shown in range(place - 1, place + len(drafts)))
            expected += {"never": False, "at_boundary": (place - 2) % 8 == 0, "always": True}[refresh]
        assert len(told.verdicts) == done.rounds[0] - (refresh != "never")
        # the last round ends with the byte that an exact pass settles
        last = len(done.ids[0]) + 3 - 2
        expected += {"never": False, "at_boundary": last % 8 == 0, "always": True}[refresh]
        assert done.output.passes["latent"] == expected


@pytest.mark.parametrize("align", ALIGN)
def test_a_better_latent_and_the_newest_byte_make_better_drafts(align: Align) -> None:
    """What a round costs more under `always` and `at_boundary`, it has for something."""
    settings = replace(GREEDY, blocks=Blocks(4, True, align=align))
    never, at_boundary = (generate(model(), PROMPTS, replace(settings, refresh=r)) for r in REFRESH[:2])
    assert sum(at_boundary.rounds) < sum(never.rounds)


@pytest.mark.parametrize("align", ALIGN)
@pytest.mark.parametrize("refresh", REFRESH)
def test_a_watch_is_told_of_every_byte_that_was_drafted(refresh: Refresh, align: Align) -> None:
    """Bytes that are in no verdict were settled by an exact pass before anything was drafted: the very first, and where
    drafts are refreshed one a round."""
    settings = replace(GREEDY, ids="bytes", refresh=refresh, blocks=Blocks(4, True, align=align))
    for n, prompt in enumerate(PROMPTS):
        told, text = Told(), dict[int, int]()
        done = generate(model(), PROMPTS[n:] + PROMPTS[:n], settings, watch=told)
        whole, begin = [*prompt, *done.ids[0]], len(prompt)
        for place, drafts, kept, after in told.verdicts:
            assert set(enumerate(drafts, place)) <= set(told.cells), "all was filled in before it was judged"
            assert place not in text
            text |= dict(enumerate([*drafts[:kept], after], place))
        # what ends a text may be amid what was kept
        told_of = {place: each for place, each in text.items() if place < len(whole)}
        assert told_of.items() <= dict(enumerate(whole)).items()
        exact, judged = len(whole) - begin - len(told_of), len(told.verdicts)
        rounds, accepted = done.rounds[0], done.accepted[0]
        if refresh == "never":
            assert (judged, exact) == (rounds, 1)
            assert sum(min(kept, len(whole) - place) for place, _, kept, _ in told.verdicts) == accepted
        else:
            assert rounds - 1 <= judged <= rounds
            assert exact == 1 + rounds
