"""In what order symbols are revealed: rules that know what is visible and what the network thinks, and nothing else.

A rule is handed no hidden value, so a deterministic one has an exact likelihood (DUEL, arXiv 2603.01367): whoever
knows the visible symbols knows what comes next.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from isobyte.errors import UserError, nearest
from isobyte.random import generator

Rule = Callable[[Tensor], Tensor]
"""Log-probabilities [W, T, V] -> keys [W, T]; the hidden cells of the highest keys come next."""


def left_to_right(log_WTV: Tensor) -> Tensor:
    length = log_WTV.shape[1]
    return -torch.arange(length, device=log_WTV.device, dtype=log_WTV.dtype).expand(log_WTV.shape[:2])


def confidence(log_WTV: Tensor) -> Tensor:
    """The probability of the likeliest symbol (LLaDA, arXiv 2502.09992)."""
    return log_WTV.amax(-1)


def margin(log_WTV: Tensor) -> Tensor:
    """The likeliest symbol's probability less the second's (arXiv 2502.06768)."""
    top = log_WTV.topk(min(2, log_WTV.shape[-1]), -1).values.exp()
    return top[..., 0] - top[..., 1] if top.shape[-1] > 1 else top[..., 0]


def entropy(log_WTV: Tensor) -> Tensor:
    """Negative entropy."""
    return torch.where(log_WTV > -torch.inf, log_WTV.exp() * log_WTV, 0.0).sum(-1)


_GRID = 2.0**20
"""Keys are compared on a grid this fine: cells that tie but for rounding must tie in every window."""

RULES: dict[str, Rule] = {
    "left_to_right": left_to_right, "confidence": confidence, "margin": margin, "entropy": entropy,
}  # fmt: skip


@dataclass(frozen=True)
class Order:
    """A deterministic order: a rule's name, or `random` (one permutation drawn from `seed`), `per_step` at a time."""

    rule: str = "random"
    per_step: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        names = [*RULES, "random"]
        if self.rule not in names:
            raise UserError(
                f"no order is called {self.rule!r}; a rule may look at what is visible, never at what is hidden",
                where="order",
                how=nearest(self.rule, names),
            )
        if self.per_step < 1:
            raise UserError(f"{self.per_step} symbols per step", where="order.per_step", how="take at least 1")

    def permutation(self, length: int) -> Tensor:
        """[T] positions in the order of `random`."""
        return torch.from_numpy(generator(self.seed, "order", length).permutation(length))

    @property
    def blind(self) -> bool:
        """Whether the order is known before the network is asked."""
        return self.rule in ("random", "left_to_right")

    def choose(self, log_WTV: Tensor, hidden_WT: Tensor) -> Tensor:
        """[W, T] bool: the next `per_step` hidden cells of each row, all if fewer; ties go to the first."""
        if self.blind:
            return self.choose_blind(hidden_WT)
        return self._highest((RULES[self.rule](log_WTV) * _GRID).round(), hidden_WT)

    def choose_blind(self, hidden_WT: Tensor) -> Tensor:
        """As `choose`, for a blind order."""
        length = hidden_WT.shape[1]
        order_T = torch.arange(length) if self.rule == "left_to_right" else self.permutation(length)
        return self._highest(-order_T.argsort().to(hidden_WT.device, torch.float32).expand(hidden_WT.shape), hidden_WT)

    def _highest(self, keys_WT: Tensor, hidden_WT: Tensor) -> Tensor:
        keys_WT = keys_WT.masked_fill(~hidden_WT, -torch.inf)
        places_WT = keys_WT.argsort(stable=True, dim=-1, descending=True).argsort(-1)
        return hidden_WT & (places_WT < self.per_step)
