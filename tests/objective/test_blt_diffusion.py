"""The masked blocks that are trained beside a text: what they are asked, at what weight, and what that costs."""

import math
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.integrate import quad
from torch import Tensor

from isobyte.backbone.blt.network import BltNetwork
from isobyte.backbone.mask import PatchBlocks, Patched
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.objective import BltDiffusionConfig
from isobyte.config.patching import StaticPatching
from isobyte.objective.ar import ar_question, padded_question
from isobyte.objective.base import Question, answer, cost_sum, costs
from isobyte.objective.blt_diffusion import block_targets, blt_diffusion_question
from isobyte.objective.draw import Draw
from isobyte.objective.training import training_questions

HIDDEN = 256


@cache
def net(given: str = "embedding", patch: int = 2, window: int | None = None) -> BltNetwork:
    config = BltConfig(
        encoder=FlatConfig(layers=1, width=8, heads=2),
        latent=FlatConfig(layers=1, width=8, heads=2),
        decoder=FlatConfig(layers=1, width=8, heads=2, attention_window=window),
        patching=StaticPatching(size=patch),
        latents=1,
        hash_sizes=(),
        decoder_input=given,  # type: ignore[arg-type]
    )
    model = BltNetwork(config, cells=True).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(2 * noise / parameter.shape[1] ** 0.5)
    return model


def text(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(256, (rows, length), generator=torch.Generator().manual_seed(seed))


def draw_of(rows: int, step: int = 0) -> Draw:
    return Draw(3, step, slice(0, rows), rows)


def asked(config: BltDiffusionConfig, x_BT: Tensor, model: BltNetwork, step: int = 0) -> Question:
    (question,) = training_questions(config, x_BT, model, draw_of(len(x_BT), step))
    assert question.scored == x_BT.shape[1]
    return question


def cells_of(question: Question) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the cells hold, what they are asked, their weights and their places, [B, C] each."""
    assert isinstance(question.view.mask, Patched)
    blocks, weights = question.view.mask.blocks, question.weights_BT
    assert blocks is not None
    assert weights is not None
    at = question.scored
    return question.view.inputs[:, at:], question.targets_BT[:, at:], weights[:, at:], blocks.places_BC


@st.composite
def rows_of_patches(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Rows [B, T] of differing lengths and patches; zeros, and no patch, after a row's end."""
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    longest = max(lengths)
    x_BT = text(len(lengths), longest, draw(st.integers(0, 99))).clamp(min=1)
    starts = torch.tensor([[True, True, *draw(st.lists(st.booleans(), min_size=longest - 1, max_size=longest - 1))]
                           for _ in lengths])  # fmt: skip
    own = torch.arange(longest) < torch.tensor(lengths)[:, None]
    starts[:, 1:] &= own
    return torch.where(own, x_BT, 0), torch.tensor(lengths), starts


@settings(max_examples=80)
@given(rows_of_patches(), st.integers(1, 5))
def test_a_cell_is_asked_for_the_byte_at_its_own_place(rows: tuple[Tensor, Tensor, Tensor], size: int) -> None:
    """Hidden or shown; beyond the row always hidden, and asked at no weight."""
    x_BT, length_B, starts = rows
    config = BltDiffusionConfig(block=size, lambda_mask=0.5, t_min=0.3)
    question = blt_diffusion_question(config, padded_question(x_BT, length_B, starts, 256), draw_of(len(x_BT)))
    held, targets, weights, _ = cells_of(question)
    t_B = 0.3 + 0.7 * draw_of(len(x_BT)).times()
    for row, (length, bits) in enumerate(zip(length_B.tolist(), starts.tolist(), strict=True)):
        begins = [place for place, opens in enumerate(bits) if opens and place]
        for cell in range(held.shape[1]):
            block, k = divmod(cell, size)
            place = begins[block] + k if block < len(begins) else 10**9
            if place > length:
                assert held[row, cell] == HIDDEN
                assert weights[row, cell] == 0
                continue
            assert targets[row, cell] == x_BT[row, place - 1]
            if held[row, cell] == HIDDEN:
                assert weights[row, cell].item() == pytest.approx(0.5 / t_B[row], rel=1e-6)
            else:
                assert held[row, cell] == x_BT[row, place - 1]
                assert weights[row, cell] == 0


def test_what_cells_stand_for() -> None:
    """Place p holds symbol p - 1, the one to come too; there are none beyond, nor in a block that is none."""
    blocks = PatchBlocks(torch.tensor([[1, 4, 5], [3, -1, -1]]), 3)
    targets, real = block_targets(torch.tensor([[10, 11, 12, 13, 14], [20, 21, 22, 23, 24]]), blocks)
    assert targets[0, real[0]].tolist() == [10, 11, 12, 13, 14, 14]
    assert real[0].tolist() == [True] * 3 + [True, True, False] + [True, False, False]
    assert targets[1, real[1]].tolist() == [22, 23, 24]
    assert real[1].tolist() == [True] * 3 + [False] * 6


def logits_of(model: BltNetwork, question: Question) -> Tensor:
    with torch.no_grad():
        return answer(model, question.view)


@pytest.mark.parametrize("given", ["encoder_hidden", "embedding"])
@pytest.mark.parametrize(("patch", "size"), [(2, 4), (3, 3), (1, 5)])
def test_no_hidden_byte_moves_its_own_answer(given: str, patch: int, size: int) -> None:
    """Through everything: the blocks, what they hold, the masks and the latents. Cells that overlap see each other in
    no way, and the ones beyond the text say nothing of its end."""
    model, config, x_BT = net(given, patch), BltDiffusionConfig(block=size), text(4, 9)
    one = asked(config, x_BT, model)
    _, _, weights, places = cells_of(one)
    before = logits_of(model, one)[:, 9:]
    assert int((weights > 0).sum()) > 10
    for place in range(1, 10):
        other_x = x_BT.clone()
        other_x[:, place - 1] = (other_x[:, place - 1] + 5) % 256
        after = logits_of(model, asked(config, other_x, model))[:, 9:]
        about = (places == place) & (weights > 0)
        assert about.any()
        torch.testing.assert_close(after[about], before[about], rtol=0, atol=1e-12)


def test_the_text_is_asked_as_by_autoregression() -> None:
    model, x_BT = net(), text(3, 8)
    question, plain = asked(BltDiffusionConfig(), x_BT, model), ar_question(x_BT, model)
    assert torch.equal(question.view.inputs[:, :8], plain.view.inputs)
    assert torch.equal(question.targets_BT[:, :8], x_BT)
    assert question.weights_BT is not None
    assert (question.weights_BT[:, :8] == 1).all()
    with torch.no_grad():
        own, beside = costs(model, question)
        assert beside is not None
        assert float(own) == pytest.approx(float(cost_sum(model, plain)), rel=1e-6)  # the softmax is in fp32
        assert float(cost_sum(model, question)) == pytest.approx(float(own + beside), rel=1e-6)


def gradients(model: BltNetwork, question: Question) -> dict[str, Tensor]:
    model.zero_grad()
    cost_sum(model, question).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("given", ["encoder_hidden", "embedding"])
def test_at_lambda_zero_only_autoregression_is_trained(given: str) -> None:
    model, x_BT = net(given), text(3, 8)
    ours = gradients(model, asked(BltDiffusionConfig(lambda_mask=0), x_BT, model))
    plain = gradients(model, ar_question(x_BT, model))
    for name, gradient in ours.items():
        expected = plain.get(name, torch.zeros_like(gradient))
        torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-6)
    assert not ours["decoder.mask"].any()
    beside = gradients(model, asked(BltDiffusionConfig(), x_BT, model))
    assert beside["decoder.mask"].abs().max() > 1e-3


def test_lambda_scales_the_masked_loss_alone() -> None:
    model, x_BT = net(), text(3, 8)
    with torch.no_grad():
        one, three = (costs(model, asked(BltDiffusionConfig(lambda_mask=w), x_BT, model)) for w in (1, 3))
    assert one[0] == three[0]
    assert one[1] is not None
    assert three[1] is not None
    assert float(three[1]) == pytest.approx(3 * float(one[1]), rel=1e-5)


def expected_masked_loss(model: BltNetwork, x_T: Tensor, size: int, t_min: float) -> float:
    """Nats of a window: every way to hide cells of a block, at the probability and the weight that t gives it.

    Blocks do not see each other, so all are asked at once the same way. Of n cells that stand for bytes, s given ones
    are hidden with probability t^s (1 - t)^(n - s), and weigh 1 / t.
    """
    plain = ar_question(x_T[None], model)
    assert isinstance(plain.view.mask, Patched)
    blocks = PatchBlocks.of(plain.view.mask.starts, size)
    targets, real = (each[0].unflatten(0, (-1, size)) for each in block_targets(x_T[None], blocks))
    total = 0.0
    for hides in product([False, True], repeat=size):
        hidden = torch.tensor(hides) | ~real
        inputs = torch.cat((plain.view.inputs[0], torch.where(hidden, HIDDEN, targets).flatten()))
        view = replace(plain.view, inputs=inputs[None], mask=Patched(plain.view.mask.starts, blocks))
        with torch.no_grad():
            log = answer(model, view)[0, len(x_T) :].log_softmax(-1)
        nats = -log.gather(-1, targets.flatten()[:, None]).view(-1, size)
        for block, exists in enumerate(real.tolist()):
            n, s = sum(exists), sum(h for h, there in zip(hides, exists, strict=True) if there)
            if s == 0 or any(h for h, there in zip(hides, exists, strict=True) if not there):
                continue
            weight = quad(lambda t, s=s, n=n: t ** (s - 1) * (1 - t) ** (n - s), t_min, 1)[0] / (1 - t_min)
            total += weight * float(nats[block][torch.tensor(hides)].sum())
    return total


@pytest.mark.parametrize(("size", "t_min"), [(2, 0.03), (2, 0.4), (3, 0.1)])
def test_the_masked_loss_is_its_enumeration_on_average(size: int, t_min: float) -> None:
    """Seven bytes in patches of three: blocks inside the text, across patches and beyond its end."""
    rows, steps, model = 64, 60, net(patch=3)
    config, x_T = BltDiffusionConfig(block=size, t_min=t_min), text(1, 7)[0]
    expected = expected_masked_loss(model, x_T, size, t_min)
    with torch.no_grad():
        drawn = [costs(model, asked(config, x_T.expand(rows, -1), model, step))[1] for step in range(steps)]
    means = torch.stack([each for each in drawn if each is not None]).numpy() / rows
    assert len(means) == steps
    error = means.std(ddof=1) / math.sqrt(steps)
    assert error < 0.02 * expected
    assert abs(means.mean() - expected) < 3.5 * error


def test_every_cell_counts_once_on_average() -> None:
    """And each row has one t, one for each part of (t_min, 1]."""
    rows, config = 64, BltDiffusionConfig(block=4, t_min=0.2)
    x_BT, model = text(rows, 24), net(patch=1)
    weights = np.stack([cells_of(asked(config, x_BT, model, step))[2].numpy() for step in range(40)])
    real = cells_of(asked(config, x_BT, model))[3][0].numpy() <= 24
    assert real.sum() == 24 * 4 - 6
    assert weights[..., real].mean() == pytest.approx(1, abs=0.01)
    assert not weights[..., ~real].any()
    for step in weights:
        rates = 1 / step.max(1)
        assert (np.where(step > 0, step, step.max(1, keepdims=True)) == step.max(1, keepdims=True)).all()
        places = np.sort((rates - 0.2) / 0.8 * rows)
        assert np.allclose(np.diff(places), 1, atol=1e-3), "one t in each of as many parts as there are rows"


@pytest.mark.parametrize("micro", [1, 2])
def test_pieces_of_a_batch_ask_what_the_batch_asks(micro: int) -> None:
    model, config, x_BT = net(), BltDiffusionConfig(block=3), text(8, 10)
    whole = asked(config, x_BT, model, 5)
    for start in range(0, 8, micro):
        rows = slice(start, start + micro)
        (part,) = training_questions(config, x_BT[rows], model, Draw(3, 5, rows, 8))
        assert torch.equal(part.view.inputs, whole.view.inputs[rows])
        assert part.weights_BT is not None
        assert whole.weights_BT is not None
        assert torch.equal(part.weights_BT, whole.weights_BT[rows])


@settings(max_examples=30)
@given(rows_of_patches(), st.integers(1, 4))
def test_rows_are_asked_the_same_whatever_is_beside_them(rows: tuple[Tensor, Tensor, Tensor], size: int) -> None:
    """Longer rows, rows of more patches, and what stands in the padding."""
    x_BT, length_B, starts = rows
    config, batch = BltDiffusionConfig(block=size), len(x_BT)
    beyond = torch.arange(x_BT.shape[1]) >= length_B[:, None]

    def question(x: Tensor, which: slice) -> Question:
        longest = int(length_B[which].max())
        plain = padded_question(x[which, :longest], length_B[which], starts[which, : longest + 1], 256)
        return blt_diffusion_question(config, plain, Draw(3, 0, which, batch))

    held, _, weights, _ = cells_of(question(x_BT, slice(0, batch)))
    other = cells_of(question(torch.where(beyond, 99, x_BT), slice(0, batch)))
    assert torch.equal(other[0], held)
    assert torch.equal(other[2], weights)
    for row in range(batch):
        alone = cells_of(question(x_BT, slice(row, row + 1)))
        cells = alone[0].shape[1]
        assert torch.equal(alone[0][0], held[row, :cells])
        assert torch.equal(alone[2][0], weights[row, :cells])
        assert (held[row, cells:] == HIDDEN).all()
        assert not weights[row, cells:].any()


def test_a_longer_draw_goes_on_where_a_shorter_one_ends() -> None:
    draw = Draw(1, 2, slice(1, 4), 5)
    short, long = draw.uniform_along("mask", 3, 2), draw.uniform_along("mask", 11, 2)
    assert short.shape == (3, 3, 2)
    assert np.array_equal(long[:, :3], short)
    whole = Draw(1, 2, slice(0, 5), 5).uniform_along("mask", 3, 2)
    assert np.array_equal(whole[1:4], short)
    assert len(np.unique(whole)) == whole.size


@pytest.mark.parametrize(
    "fields", [{"block": 0}, {"lambda_mask": -1}, {"lambda_mask": math.inf}, {"t_min": 0}, {"t_min": 1}], ids=str
)
def test_refusals(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        BltDiffusionConfig.model_validate(fields)
