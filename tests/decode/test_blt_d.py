"""BLT-D, held against Algorithm 1 of arXiv 2605.08044 written out with full passes; and what is refused."""

import copy
import math
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from blt_blocks import FILLS, PROMPTS, Told, cells_of, opened, speaking
from blt_models import blt
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.byte_ids import BOS, EOS, MASK
from isobyte.decode.blt import Generated, generate
from isobyte.decode.blt_settings import Align, Blocks, Fill, Settings
from isobyte.errors import UserError

LENGTH = 23
GREEDY = Settings(LENGTH, temperature=0, ids="all")
STEPWISE: tuple[Fill, ...] = ("confidence", "entropy", "entropy-max")
ALIGN: tuple[Align, ...] = ("none", "cut", "resume")


@cache
def model(given: str = "encoder_hidden") -> BltModel:
    """Told less by latents: so that what cells see of each other counts."""
    return speaking(ends=True, seed=2, told=8.0, decoder_input=given)


@cache
def precise(given: str = "encoder_hidden") -> BltModel:
    return copy.deepcopy(model(given)).double()


Steps = list[tuple[int, list[tuple[int, int, float]]]]


@torch.no_grad()
def written_out(prompt: list[int], blocks: Blocks, given: str) -> tuple[list[int], Steps]:
    """The likeliest ids after a prompt, and which cells were filled in each step, with what probability."""
    exact, steps = precise(given), []
    text = torch.tensor(prompt)
    text = torch.cat((text, model(given).id_logits(exact.hidden(text[None])[0, -1:].float()).argmax(-1)))
    while len(text) < len(prompt) + LENGTH and EOS not in text:
        n, open_ = len(text), opened(exact, text)
        begin = open_ if blocks.align == "resume" and n - open_ < blocks.size else n
        cells = torch.cat((text[begin:], torch.full((blocks.size - (n - begin),), MASK)))
        nth = 0
        while MASK in cells:
            hidden = cells_of(exact, text, begin, cells, cut=open_ < begin == n)
            p_KV = model(given).id_logits(hidden.float()).double().softmax(-1)
            chosen = _chosen(blocks, p_KV, cells == MASK)
            cells[chosen] = p_KV.argmax(-1)[chosen]
            steps.append((nth, [(begin + k, int(cells[k]), float(p_KV[k].max())) for k in chosen]))
            nth += 1
        new = cells[n - begin :]
        if blocks.align == "cut":
            starts = exact.patcher.starts(torch.cat((text, new))[None])[0, n + 1 :]
            new = new[: int(starts.nonzero()[-1]) + 1] if starts.any() else new
        text = torch.cat((text, new))
    ids = text[len(prompt) :].tolist()[:LENGTH]
    return ids[: ids.index(EOS) + 1] if EOS in ids else ids, steps


def _chosen(blocks: Blocks, p_KV: Tensor, hidden_K: Tensor) -> list[int]:
    """Cells to fill, by the words of the paper: one at least."""
    cells = hidden_K.nonzero()[:, 0].tolist()
    entropy = {k: -sum(p * math.log(p) for p in p_KV[k].tolist() if p > 0) for k in cells}
    if blocks.fill == "confidence":
        best = max(cells, key=lambda k: float(p_KV[k].max()))
        return [k for k in cells if p_KV[k].max() >= blocks.alpha or k == best]
    if blocks.fill == "one-step":
        return cells
    ordered = sorted(cells, key=lambda k: entropy[k])
    sums = [sum(entropy[k] for k in ordered[: n + 1]) for n in range(len(ordered))]
    if blocks.fill == "entropy-max":
        sums = [total - entropy[k] for total, k in zip(sums, ordered, strict=True)]
    return sorted(ordered[: max(1, sum(total <= blocks.gamma for total in sums))])


@pytest.mark.parametrize("fill", STEPWISE)
@pytest.mark.parametrize("align", ALIGN)
@pytest.mark.parametrize(("size", "given"), [(4, "encoder_hidden"), (7, "embedding")])
def test_texts_are_those_of_the_algorithm_written_out(size: int, given: str, align: Align, fill: Fill) -> None:
    """Byte by byte, step by step; the rows of a batch and each by itself."""
    blocks = Blocks(size, fill=fill, align=align, alpha=0.6, gamma=2.5)
    together = generate(model(given), PROMPTS, replace(GREEDY, blocks=blocks))
    add_up(together, blocks)
    met = set()
    for n, prompt in enumerate(PROMPTS):
        expected, steps = written_out(prompt, blocks, given)
        told = Told()
        alone = generate(model(given), [prompt], replace(GREEDY, blocks=blocks), watch=told)
        assert together.ids[n] == alone.ids[0] == expected
        assert (together.rounds[n], together.ended[n]) == (alone.rounds[0], alone.ended[0])
        assert alone.fills == len(steps) == alone.output.passes.get("decoder", 0)
        assert [(step, [cell[:2] for cell in cells]) for step, cells in told.steps] == [
            (step, [cell[:2] for cell in cells]) for step, cells in steps
        ]
        for (_, cells), (_, others) in zip(told.steps, steps, strict=True):
            assert [cell[2] for cell in cells] == pytest.approx([cell[2] for cell in others], abs=1e-4)
        assert not told.verdicts
        add_up(alone, blocks)
        rewritten = dict(told.cells)
        assert [rewritten[place] for place in range(len(prompt) + 1, len(prompt) + len(expected))] == expected[1:]
        met |= {len(cells) for _, cells in steps}
    assert len(met) > 1, "one at a time now, several then"
    assert {"end", "length"} == set(together.ended)


def add_up(done: Generated, blocks: Blocks) -> None:
    """Encoder and entropy model run once a block, the latent transformer once at most, the decoder once a step."""
    passes, rounds = done.output.passes, max(done.rounds)
    assert passes.get("encoder", 0) == rounds
    assert passes.get("entropy", 0) == (2 * rounds if blocks.align == "cut" else rounds)
    assert passes.get("latent", 0) <= rounds
    assert passes.get("decoder", 0) == done.fills <= blocks.size * rounds
    assert not any(done.drafted)
    assert done.acceptance is None
    if blocks.align == "none":
        assert done.rounds == [-(-(len(ids) - 1) // blocks.size) for ids in done.ids]


@pytest.mark.parametrize("given", ["encoder_hidden", "embedding"])
def test_blocks_of_one_cell_know_no_policy_and_are_not_plain_decoding(given: str) -> None:
    """One cell is all that is hidden, so any rule takes it; and it is asked by a hidden cell of its own, which reads a
    latent that plain decoding does not have."""
    settings, prompts = replace(GREEDY, length=12), PROMPTS[2:4]
    every = [Blocks(1, fill=fill, alpha=1.0, gamma=0.0) for fill in FILLS]
    every += [Blocks(1, align=align, alpha=0.0) for align in ALIGN]
    found = [generate(model(given), prompts, replace(settings, blocks=blocks)) for blocks in every]
    assert all(done.ids == found[0].ids for done in found)
    expected = [written_out(prompt, every[0], given)[0][:12] for prompt in prompts]
    assert found[0].ids == expected
    assert found[0].fills == max(found[0].rounds) == max(map(len, expected)) - 1
    plain = generate(model(given), prompts, settings).ids
    assert plain != expected
    judged = replace(settings, blocks=Blocks(1, verify=True))
    assert generate(model(given), prompts, judged).ids == plain


@pytest.mark.parametrize("align", ALIGN)
@pytest.mark.parametrize("fill", ["confidence", "entropy"])
def test_a_row_that_is_drawn_is_what_it_is_alone(fill: Fill, align: Align) -> None:
    """Whenever others end, by a stop string too; and another seed draws another text."""
    settings = Settings(
        LENGTH, seed=4, temperature=0.9, top_p=0.9, stop=(b"ba",), blocks=Blocks(4, fill=fill, align=align, alpha=0.45)
    )
    together = generate(model(), PROMPTS, settings)
    assert len(set(map(len, together.ids))) > 2
    for n, prompt in enumerate(PROMPTS):
        alone = generate(model(), [prompt], replace(settings, first=n))
        assert (alone.ids[0], alone.ended[0], alone.rounds[0]) == (
            together.ids[n],
            together.ended[n],
            together.rounds[n],
        )
    assert generate(model(), PROMPTS, replace(settings, seed=5)).ids != together.ids


def test_cells_are_drawn_from_what_the_decoder_says_of_them() -> None:
    """At a temperature at which all letters are equally likely they come equally often, whatever the network says."""
    settings = Settings(9, seed=1, temperature=1e6, blocks=Blocks(4, alpha=0.0))
    done = generate(model(), [[BOS]] * 400, settings)
    counts = torch.bincount(torch.tensor([list(text[1:]) for text in done.texts]).flatten(), minlength=256)
    letters = counts[counts > 0].double()
    assert letters.sum() == 3200
    assert len(letters) == 4, "the fifth letter is the end, which is no byte"
    assert float(((letters - 800) ** 2 / 800).sum()) < 16.3, "chi-square of 3 degrees at 0.999"


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("align", ["none", "resume"])
def test_bytes_are_shown_once_they_are_settled(align: Align, verify: bool) -> None:
    seen: list[bytes] = []
    settings = replace(GREEDY, ids="bytes", blocks=Blocks(4, verify, align=align))
    done = generate(model(), PROMPTS[:1], settings, on_bytes=lambda _row, text: seen.append(text))
    assert b"".join(seen) == done.texts[0]
    assert len(seen) == 1 + done.rounds[0]


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "no cells": ("block: 0 bytes is out of range", {"size": 0}),
    "fewer": ("block: -3 bytes", {"size": -3}),
    "alpha": ("alpha: 1.5 is out of range", {"alpha": 1.5}),
    "no alpha": ("alpha: nan", {"alpha": math.nan}),
    "gamma": ("gamma: -1.0 is out of range", {"gamma": -1.0}),
    "endless gamma": ("gamma: inf", {"gamma": math.inf}),
    "fill": ("fill: 'sometimes' is out of range", {"fill": "sometimes"}),
    "align": ("align: 'left' is out of range", {"align": "left"}),
    "a draft is cut": ("align: a draft is judged", {"verify": True, "align": "cut"}),
    "unjudged": ("fill: bytes that were all chosen at once", {"fill": "one-step"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused(name: str) -> None:
    said, wrong = WRONG[name]
    blocks = Blocks(**({"size": 4} | wrong))
    for settings in (GREEDY, replace(GREEDY, temperature=1.0)):
        with pytest.raises(UserError) as caught:
            generate(model(), PROMPTS, replace(settings, blocks=blocks))
        assert said in str(caught.value)


def test_blocks_come_without_drafts_byte_by_byte_and_with_models_that_have_them() -> None:
    with pytest.raises(UserError, match=r"draft: drafts come as blocks or byte by byte"):
        generate(model(), PROMPTS, replace(GREEDY, draft=3, blocks=Blocks(4)))
    for blocks in (Blocks(4), Blocks(4, True)):
        with pytest.raises(UserError, match=r"blocks: the model was trained without blocks.*blt_diffusion"):
            generate(blt(), PROMPTS, replace(GREEDY, blocks=blocks))
