"""The exact likelihood of a deterministic order of unmasking (DUEL, arXiv 2603.01367).

The rule knows what is visible and no more, so the text has one way to come about, whose steps are simply added up.
"""

import torch
from torch import Tensor

from isobyte.objective.base import LogProbs
from isobyte.objective.order import RULES, Order
from isobyte.objective.walk import Reveal, drive, masked_walk

PREFIX = "duel:"
NAMES = tuple(PREFIX + rule for rule in RULES)


def duel_nats(
    log_probs: LogProbs, x_WT: Tensor, vocab: int, rule: str, per_step: int, *, told_rate: bool = False
) -> Tensor:
    """[W] nats: -log p of each symbol at the step that reveals it, `per_step` at a time; ceil(T / per_step) passes."""
    nats_W = torch.zeros(len(x_WT), dtype=torch.float64, device=x_WT.device)

    def symbols_of(reveal: Reveal) -> Tensor:
        symbols_N = x_WT[reveal.rows, reveal.places]
        nats_W.index_add_(0, reveal.rows, -reveal.log_NV.gather(-1, symbols_N[:, None]).squeeze(-1).double())
        return symbols_N

    hidden_WT = torch.full_like(x_WT, vocab)
    drive(masked_walk(log_probs, hidden_WT, vocab, Order(rule, per_step).choose, told_rate=told_rate), symbols_of)
    return nats_W
