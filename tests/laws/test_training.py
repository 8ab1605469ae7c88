"""Training questions: ranks and micro-batches ask together what one rank asks alone, and only what is hidden costs."""

import pytest
import torch
from test_walks import net, windows

from isobyte.config import objective as kinds
from isobyte.config.spans import FixedSpans, GeometricSpans, WordSpans
from isobyte.objective.base import cost_sum
from isobyte.objective.draw import Draw
from isobyte.objective.training import training_questions

VOCAB, BATCH = 40, 8
OBJECTIVES = [
    kinds.ArConfig(),
    kinds.MaskedConfig(schedule=kinds.CosineSchedule(), clip=(0.2, 0.9)),
    kinds.MaskedConfig(weighting="uniform", time_conditioning=True),
    kinds.SpanConfig(spans=FixedSpans(length=3)),
    kinds.SpanConfig(spans=GeometricSpans(mean=2.5)),
    kinds.SpanConfig(spans=WordSpans()),
    kinds.BlockConfig(block=1),
    kinds.BlockConfig(block=4, clip=(0.3, 0.8)),
    kinds.AnyOrderConfig(),
    kinds.EsoConfig(alpha0=0.3),
    kinds.EsoConfig(alpha0=0.3, cached=False),
    kinds.DigitsConfig(),
    kinds.DigitsConfig(digits=2, merge="cat", loss="joint", chunk=0.5),
    kinds.DigitsConfig(loss="symbol", consistent=False),
]


def cost(objective: kinds.Objective, rows: slice) -> torch.Tensor:
    x = windows(BATCH, VOCAB)[rows]
    model = net(objective, VOCAB)
    questions = training_questions(objective, x, model, Draw(3, 5, rows, BATCH))
    return torch.stack([cost_sum(model, question) for question in questions]).sum()


@torch.no_grad()
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
@pytest.mark.parametrize("micro", [1, 2, 4])
def test_pieces_of_a_batch_cost_what_the_batch_costs(objective: kinds.Objective, micro: int) -> None:
    pieces = [cost(objective, slice(start, start + micro)) for start in range(0, BATCH, micro)]
    torch.testing.assert_close(torch.stack(pieces).sum(), cost(objective, slice(0, BATCH)))


@torch.no_grad()
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_what_is_visible_is_not_asked(objective: kinds.Objective) -> None:
    """But for the published loss of digits, which charges every symbol."""
    x = windows(BATCH, VOCAB)
    for question in training_questions(objective, x, net(objective, VOCAB), Draw(3, 5, slice(0, BATCH), BATCH)):
        weights = question.weights_BT if question.weights_BT is not None else getattr(question, "digit_weights", None)
        if weights is None or getattr(objective, "loss", "") == "joint":
            continue
        shown = question.view.inputs[:, : weights.shape[1]]
        hidden = shown == (2 if objective.kind == "digits" else VOCAB)
        if objective.kind == "eso" and question.view.asked is not None:
            assert hidden.all(), "the copy that asks shows nothing"
            continue
        if weights.ndim < hidden.ndim:
            hidden = hidden.all(-1)
        assert torch.equal(weights > 0, hidden)


def test_training_at_another_weight_asks_for_the_same_symbols() -> None:
    x, draw = windows(BATCH, VOCAB), Draw(1, 2, slice(0, BATCH), BATCH)
    model = net(kinds.MaskedConfig(), VOCAB)
    (bound,) = training_questions(kinds.MaskedConfig(), x, model, draw)
    (even,) = training_questions(kinds.MaskedConfig(weighting="uniform"), x, model, draw)
    assert torch.equal(bound.view.inputs, even.view.inputs)
    assert even.weights_BT is not None
    assert set(even.weights_BT.unique().tolist()) == {0.0, 1.0}


def test_clipped_times_stay_in_their_range() -> None:
    x = windows(64, VOCAB)
    config = kinds.BlockConfig(block=5, clip=(0.3, 0.8))
    (question,) = training_questions(config, x, net(config, VOCAB), Draw(0, 0, slice(0, 64), 64))
    assert question.weights_BT is not None
    rates = 1 / question.weights_BT[question.weights_BT > 0]
    assert 0.3 <= rates.min() < 0.35
    assert 0.75 < rates.max() <= 0.8 + 1e-6
