"""Nothing that is asked can be seen, in any objective: hidden symbols are changed and no answer moves (T10)."""

from dataclasses import replace

import pytest
import torch
from small import codes_of, random_net
from torch import Tensor

from isobyte.backbone.attention import ATTENTION
from isobyte.config.objective import (
    AnyOrderConfig,
    BlockConfig,
    DigitsConfig,
    EsoConfig,
    MaskedConfig,
    Objective,
    SpanConfig,
)
from isobyte.config.spans import FixedSpans, GeometricSpans
from isobyte.objective.any_order import order_question, order_view
from isobyte.objective.base import View, answer
from isobyte.objective.block import block_view
from isobyte.objective.digits import digit_marginals, digit_view, objective_log_probs
from isobyte.objective.draw import Draw
from isobyte.objective.eso import diffusion_view, sequential_view
from isobyte.objective.training import training_questions

V, B, T = 7, 3, 12
KERNELS = list(ATTENTION) if torch.cuda.is_available() else [k for k in ATTENTION if k != "flex"]


def window(seed: int) -> Tensor:
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


def coins(seed: int, *shape: int, p: float = 0.5) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < p


def changed(x: Tensor, where: Tensor) -> Tensor:
    """Every symbol at `where` is another one."""
    return torch.where(where, (x + 3) % V, x)


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [1, 3, 5])
def test_block_sees_its_own_noisy_block_and_the_clean_ones_before(size: int, kernel: str) -> None:
    model = random_net(V)
    model.kernel = ATTENTION[kernel]
    x, masked, block = window(0), coins(1, B, T), torch.arange(T) // size
    view = block_view(x, masked, size, V)
    before = answer(model, view)
    for b in range(int(block[-1]) + 1):
        own, unseen = block == b, torch.cat((block != b, block >= b))
        other = replace(view, inputs=torch.where(unseen, (view.inputs + 3) % (V + 1), view.inputs))
        torch.testing.assert_close(answer(model, other)[:, own], before[:, own], rtol=0, atol=1e-9)
        if b:
            after = answer(model, block_view(changed(x, block == b - 1), masked, size, V))
            assert not torch.allclose(after[:, own], before[:, own], atol=1e-3), "what came before counts"


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
def test_any_order_sees_only_what_came_before_in_the_order(kernel: str) -> None:
    model = random_net(V, objective=AnyOrderConfig())
    model.kernel = ATTENTION[kernel]
    x, order = window(0), torch.stack([torch.randperm(T, generator=torch.Generator().manual_seed(s)) for s in range(B)])
    before = answer(model, order_view(x, order, V))
    for step in range(T):
        later = torch.zeros(B, T, dtype=torch.bool).scatter_(1, order[:, step:], torch.tensor(True).expand(B, T - step))
        after = answer(model, order_view(changed(x, later), order, V))
        torch.testing.assert_close(after[:, : step + 1], before[:, : step + 1], rtol=0, atol=1e-9)
        if step + 1 < T:
            assert not torch.allclose(after[:, step + 1 :], before[:, step + 1 :], atol=1e-3)
    assert torch.equal(order_question(x, order, V).targets_BT, x.gather(1, order))


@torch.no_grad()
@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("kernel", KERNELS)
def test_eso_hides_the_masked_and_shows_each_only_those_before_it(kernel: str, cached: bool) -> None:
    model = random_net(V, objective=EsoConfig(cached=cached))
    model.kernel = ATTENTION[kernel]
    x, masked = window(0), coins(2, B, T)
    key = torch.rand(B, T, generator=torch.Generator().manual_seed(3))

    def ask(view, x: Tensor) -> Tensor:
        return answer(model, view(x, masked, key, V, cached=cached))

    before = ask(diffusion_view, x)
    assert torch.equal(ask(diffusion_view, changed(x, masked)), before)
    assert not torch.allclose(ask(diffusion_view, changed(x, ~masked))[masked], before[masked], atol=1e-3)
    before = ask(sequential_view, x)
    for place in range(T):
        after = ask(sequential_view, changed(x, masked & (torch.arange(T) >= place)))
        kept = masked & (torch.arange(T) <= place)
        torch.testing.assert_close(after[kept], before[kept], rtol=0, atol=1e-9)
    after = ask(sequential_view, changed(x, masked))
    first = masked & (masked.cumsum(1) == 1)
    assert not torch.allclose(after[masked & ~first], before[masked & ~first], atol=1e-3)


@torch.no_grad()
def test_cached_eso_shows_the_visible_only_what_was_revealed_before_them() -> None:
    model = random_net(V, objective=EsoConfig())
    x, masked = window(0), torch.zeros(B, T, dtype=torch.bool)
    key = torch.rand(B, T, generator=torch.Generator().manual_seed(3))
    before = answer(model, diffusion_view(x, masked, key, V, cached=True))
    rank = key.argsort(1).argsort(1)
    for step in range(1, T):
        after = answer(model, diffusion_view(changed(x, rank >= step), masked, key, V, cached=True))
        torch.testing.assert_close(after[rank < step], before[rank < step], rtol=0, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("merge", ["sum", "cat", "cat-share"])
@pytest.mark.parametrize("digits", [2, 4])
def test_masked_digits_are_invisible_and_visible_ones_are_not(digits: int, merge: str) -> None:
    config = DigitsConfig(digits=digits, merge=merge)
    vocab = 16
    model, codes = random_net(vocab, objective=config), codes_of(vocab, config)
    log_probs = objective_log_probs(config, model)
    generator = torch.Generator().manual_seed(5)
    x = torch.randint(vocab, (B, T), generator=generator)
    masked = torch.rand(B, T, digits, generator=generator) < 0.5
    before = digit_view(x, masked, codes)
    agree = ((codes[x][:, :, None] == codes) | masked[:, :, None]).all(-1).double()
    other = torch.multinomial(agree.flatten(0, 1), 1, generator=generator).view(B, T)
    assert (other != x).any()
    after = digit_view(other, masked, codes)
    assert torch.equal(before.inputs, after.inputs)
    marginals = digit_marginals(log_probs(before), codes)
    shown = View(codes[x], before.mask)
    assert not torch.allclose(digit_marginals(log_probs(shown), codes), marginals, atol=1e-3)


MASKED: list[Objective] = [
    MaskedConfig(weighting="uniform"),
    MaskedConfig(clip=(0.3, 0.8)),
    SpanConfig(spans=FixedSpans(length=3)),
    SpanConfig(spans=GeometricSpans(mean=2)),
    BlockConfig(block=4),
    BlockConfig(block=1),
    EsoConfig(alpha0=0.5),
    EsoConfig(alpha0=0.5, cached=False),
    EsoConfig(alpha0=0.0),
    EsoConfig(alpha0=1.0),
    AnyOrderConfig(),
]


@torch.no_grad()
@pytest.mark.parametrize("objective", MASKED, ids=lambda o: str(o.content_hash())[:6] + "-" + o.kind)
def test_training_asks_only_for_what_it_hides(objective: Objective) -> None:
    """A symbol with a weight may change its own cell's answer in no way."""
    model, x = random_net(V, objective=objective), window(3)
    asked = torch.zeros(B, T, dtype=torch.bool)
    rows = 0
    for question in training_questions(objective, x, model, Draw(0, 4, slice(0, B), B)):
        weights = question.weights_BT if question.weights_BT is not None else torch.ones_like(question.targets_BT)
        before = answer(model, question.view)
        count = len(question.targets_BT)
        for place in range(T):
            at = torch.arange(T) == place
            rows_x = changed(x, at.expand(B, T))
            others = training_questions(objective, rows_x, model, Draw(0, 4, slice(0, B), B))
            other = next(q for q in others if q.view.inputs.shape == question.view.inputs.shape)
            after, moved = answer(model, other.view), question.targets_BT != other.targets_BT
            cells = moved & (weights > 0)
            torch.testing.assert_close(after[cells], before[cells], rtol=0, atol=1e-9)
            asked[rows : rows + count] |= cells
        rows += count
    assert asked.any()
