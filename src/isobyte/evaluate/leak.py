"""Can a network see what it is asked? Change a symbol, and see whether its own prediction moves."""

import torch
from torch import Tensor

from isobyte.backbone.mask import Patched
from isobyte.config.objective import DigitsConfig, Objective
from isobyte.objective.base import LogProbs, Network, Question
from isobyte.objective.draw import Draw
from isobyte.objective.training import training_questions


def leak(log_probs: LogProbs, objective: Objective, network: Network, x_BT: Tensor, *, seed: int = 0) -> float:
    """The most that any probability moves when the symbol that it is about is another one.

    Asks what training asks, for every position of the windows, under the same noise. 0, but for rounding, where
    nothing leaks. Digits change within what their visible ones allow, which leaves the input as it is.
    """
    batch, length = x_BT.shape
    worst = 0.0
    for step in range(2):
        draw = Draw(seed, step, slice(0, batch), batch)
        before = training_questions(objective, x_BT, network, draw)
        for place in range(length):
            changed = _changed(objective, network, x_BT, place, before)
            after = training_questions(objective, changed, network, draw)
            for one, other in zip(before, after, strict=True):
                worst = max(worst, _moved(log_probs, one, other, place))
    return worst


def _changed(objective: Objective, network: Network, x_BT: Tensor, place: int, asked: list[Question]) -> Tensor:
    """x with another symbol at `place`; of digits, one with the same visible digits. Letters become spaces, which
    moves the ends of words."""
    changed = x_BT.clone()
    if not isinstance(objective, DigitsConfig):
        space, letter = 32 % network.vocab, 101 % network.vocab
        changed[:, place] = torch.where(x_BT[:, place] == space, letter, space)
        return changed
    codes_VL = network.codes
    assert codes_VL is not None
    shown_BL = asked[0].view.inputs[:, place]
    hidden_BL = shown_BL != codes_VL[x_BT[:, place]]
    alike_BV = ((codes_VL == shown_BL[:, None]) | hidden_BL[:, None]).all(-1)
    alike_BV[torch.arange(len(x_BT)), x_BT[:, place]] = False
    changed[:, place] = torch.where(alike_BV.any(1), alike_BV.int().argmax(1), x_BT[:, place])
    return changed


def _moved(log_probs: LogProbs, one: Question, other: Question, place: int) -> float:
    """Of the cells that ask for `place` at some weight, in both. Blocks that begin after it may be others: they come
    last, and do not ask for it."""
    asked = min(one.targets_BT.shape[1], other.targets_BT.shape[1])
    cells = _about(one)[:, :asked] == place
    for question in (one, other):
        weights = question.weights_BT if question.weights_BT is not None else getattr(question, "digit_weights", None)
        if weights is not None:
            cells = cells & (weights if weights.ndim == 2 else weights.sum(-1))[:, :asked].bool()
    if not cells.any():
        return 0.0
    moved = log_probs(one.view)[:, :asked][cells].exp() - log_probs(other.view)[:, :asked][cells].exp()
    return float(moved.abs().max())


def _about(question: Question) -> Tensor:
    """[B, asked]: which symbol of the window each cell asks for."""
    batch, asked = question.targets_BT.shape
    view = question.view
    if view.positions is not None:
        return view.positions.asked.expand(batch, -1)[:, :asked]
    about = torch.arange(asked).expand(batch, asked)
    if isinstance(view.mask, Patched) and view.mask.blocks is not None:
        return torch.cat((about[:, : question.scored], view.mask.blocks.places_BC - 1), 1)
    return about
