"""Nothing that is asked can be seen."""

import pytest
import torch
from small import random_net

from isobyte.backbone.attention import ATTENTION
from isobyte.backbone.mask import BIDIRECTIONAL, CAUSAL
from isobyte.config.objective import ArConfig, MaskedConfig
from isobyte.objective.ar import ar_view
from isobyte.objective.base import Question, network_log_probs
from isobyte.objective.draw import Draw
from isobyte.objective.training import training_questions

VOCAB, BATCH, LENGTH = 7, 3, 12


def asked(config: ArConfig | MaskedConfig, x: torch.Tensor, step: int) -> Question:
    (question,) = training_questions(config, x, random_net(VOCAB), Draw(0, step, slice(0, BATCH), BATCH))
    return question


def window(seed: int) -> torch.Tensor:
    return torch.randint(VOCAB, (BATCH, LENGTH), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("time_conditioning", [False, True])
def test_masked_symbols_are_invisible_and_visible_ones_are_not(time_conditioning: bool) -> None:
    config = MaskedConfig(time_conditioning=time_conditioning)
    log_probs = network_log_probs(random_net(VOCAB, time_conditioning=time_conditioning))

    def shown(x: torch.Tensor):
        return asked(config, x, 4)

    x = window(0)
    question = shown(x)
    view = question.view
    masked = view.inputs == VOCAB
    assert masked.any()
    assert not masked.all()
    assert view.mask == BIDIRECTIONAL
    assert question.weights_BT is not None
    assert torch.equal(question.weights_BT > 0, masked), "only what is hidden is asked"
    other = shown(torch.where(masked, window(1), x)).view
    assert torch.equal(
        log_probs(view),
        log_probs(other),
    )
    seen = shown(torch.where(masked, x, window(1))).view
    assert not torch.allclose(log_probs(view), log_probs(seen))


@torch.no_grad()
@pytest.mark.parametrize("kernel", ATTENTION)
@pytest.mark.parametrize("changed", [0, 5, LENGTH - 1])
def test_autoregression_sees_only_what_came_before(kernel: str, changed: int) -> None:
    model = random_net(VOCAB)
    model.kernel = ATTENTION[kernel]
    log_probs = network_log_probs(model)
    x = window(2)
    y = x.clone()
    y[:, changed] = (y[:, changed] + 1) % VOCAB
    before, after = (log_probs(view) for view in (ar_view(x, VOCAB), ar_view(y, VOCAB)))
    torch.testing.assert_close(before[:, : changed + 1], after[:, : changed + 1], rtol=0, atol=1e-12)
    if changed + 1 < LENGTH:
        assert not torch.allclose(before[:, changed + 1 :], after[:, changed + 1 :])


def test_autoregression_asks_for_every_symbol_from_bos_on() -> None:
    x = window(3)
    question = asked(ArConfig(), x, 0)
    view = question.view
    assert (view.inputs[:, 0] == VOCAB).all()
    assert torch.equal(view.inputs[:, 1:], x[:, :-1])
    assert torch.equal(question.targets_BT, x)
    assert question.weights_BT is None
    assert view.mask == CAUSAL
