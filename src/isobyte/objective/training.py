"""Training: one function from (objective, batch, counter) to what the network is asked."""

from torch import Tensor

from isobyte.config import objective as kinds
from isobyte.objective.any_order import any_order_question
from isobyte.objective.ar import ar_question
from isobyte.objective.base import Network, Question
from isobyte.objective.block import block_question
from isobyte.objective.blt_diffusion import blt_diffusion_question
from isobyte.objective.digits import digits_question
from isobyte.objective.draw import Draw
from isobyte.objective.eso import eso_questions
from isobyte.objective.masked import masked_question
from isobyte.objective.patchwise import patch_question
from isobyte.objective.span import span_question
from isobyte.random import generator


def window_length(objective: kinds.Objective, window: int, *, seed: int, step: int) -> int:
    """Symbols of this step's windows: `window`, or a uniform random length on the objective's share of the steps."""
    if not objective.random_length:
        return window
    draw = generator(seed, "length", step)
    return int(draw.integers(1, window + 1)) if draw.random() < objective.random_length else window


def training_questions(objective: kinds.Objective, x_BT: Tensor, network: Network, draw: Draw) -> list[Question]:
    """What rows `draw.rows` of a step ask of `network`; their costs sum to the loss times the batch's symbols."""
    vocab = network.vocab
    match objective:
        case kinds.BltDiffusionConfig():
            return [blt_diffusion_question(objective, ar_question(x_BT, network), draw)]
        case kinds.CausalConfig():
            return [ar_question(x_BT, network)]
        case kinds.MaskedConfig():
            return [masked_question(objective, x_BT, vocab, draw)]
        case kinds.SpanConfig():
            return [span_question(objective, x_BT, vocab, draw)]
        case kinds.BlockConfig():
            return [block_question(objective, x_BT, vocab, draw)]
        case kinds.AnyOrderConfig():
            return [any_order_question(objective, x_BT, vocab, draw)]
        case kinds.EsoConfig():
            return eso_questions(objective, x_BT, vocab, draw)
        case kinds.PatchwiseConfig():
            return [patch_question(objective, x_BT, network, draw)]
        case kinds.DigitsConfig():
            assert network.codes is not None
            return [digits_question(objective, x_BT, network.codes, draw)]
