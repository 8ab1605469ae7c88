"""Which hidden cells are revealed next: pure rules that know the network's opinion, coins, and the number of the step.

A rule sees log-probabilities as the network gives them, before temperature and top-p, and no drawn symbol.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from isobyte.config.objective import Schedule
from isobyte.decode.noise import Noise
from isobyte.objective import order
from isobyte.objective.schedule import mask_probability


@dataclass(frozen=True)
class Step:
    """What a rule may know. `hidden_WT` are the cells it may choose from."""

    log_WTV: Tensor
    hidden_WT: Tensor
    step_W: Tensor
    """Steps that each row took since its window, or its block, began."""
    coins_WT: Tensor
    """Uniform in (0, 1)."""


_GRID = 2.0**20
"""Probabilities and entropies are compared on a grid this fine."""

Rule = Callable[[Step], Tensor]
"""-> the cells [W, T] to reveal, a part of the hidden ones."""


def reveal_probability(schedule: Schedule, step: Tensor, steps: int) -> Tensor:
    """(alpha_s - alpha_t) / (1 - alpha_t) of steps 0, 1, ... of `steps` equal ones from t = 1 to 0; then 1."""
    t, s = (1 - (step + k).clamp(max=steps).double() / steps for k in (0, 1))
    p_t, p_s = mask_probability(schedule, t), mask_probability(schedule, s)
    return torch.where(step < steps - 1, (p_t - p_s) / p_t.clamp_min(1e-300), 1.0)


def ancestral(schedule: Schedule, steps: int) -> Rule:
    """Each hidden cell by a coin of its own; the last step reveals all (MDLM, arXiv 2406.07524)."""

    def rule(at: Step) -> Tensor:
        return at.hidden_WT & (at.coins_WT < reveal_probability(schedule, at.step_W, steps)[:, None])

    return rule


def first_hitting(at: Step) -> Tensor:
    """One hidden cell, any with equal chance: the law of infinitely many ancestral steps (arXiv 2409.02908)."""
    return top(at.coins_WT, at.hidden_WT)


def top_k(name: str, per_step: int) -> Rule:
    """The `per_step` cells that a deterministic rule of `objective.order` puts first."""
    choose = order.Order(name, per_step).choose
    return lambda at: choose(at.log_WTV, at.hidden_WT)


def entropy_bounded(gamma: float) -> Rule:
    """By rising entropy, as many as keep sum H - max H <= gamma; at least one (EB sampler, arXiv 2505.24857)."""

    def rule(at: Step) -> Tensor:
        entropy_WT = -_on_grid(order.entropy(at.log_WTV)).masked_fill(~at.hidden_WT, -torch.inf)
        ordered, places = entropy_WT.sort(dim=-1, stable=True)
        before = torch.cat((torch.zeros_like(ordered[:, :1]), ordered[:, :-1].cumsum(-1)), -1)
        return at.hidden_WT & torch.zeros_like(at.hidden_WT).scatter(-1, places, before <= gamma)

    return rule


def entropy_summed(gamma: float) -> Rule:
    """By rising entropy, as many as keep sum H <= gamma; at least one (Fast BLT's reading of the EB sampler, arXiv
    2605.08044)."""

    def rule(at: Step) -> Tensor:
        entropy_WT = -_on_grid(order.entropy(at.log_WTV)).masked_fill(~at.hidden_WT, -torch.inf)
        ordered, places = entropy_WT.sort(dim=-1, stable=True)
        taken = ordered.cumsum(-1) <= gamma
        taken[:, 0] = True
        return at.hidden_WT & torch.zeros_like(at.hidden_WT).scatter(-1, places, taken)

    return rule


def threshold(tau: float) -> Rule:
    """All whose likeliest symbol has probability `tau`; at least one (Fast-dLLM, arXiv 2505.22618)."""

    def rule(at: Step) -> Tensor:
        sure_WT = _on_grid(order.confidence(at.log_WTV).exp())
        return at.hidden_WT & (sure_WT >= round(tau * _GRID) / _GRID) | top(sure_WT, at.hidden_WT)

    return rule


def factor(f: float) -> Rule:
    """The n surest, n the largest with (n + 1)(1 - c_(n)) < f; at least one (Fast-dLLM, arXiv 2505.22618)."""

    def rule(at: Step) -> Tensor:
        sure_WT = _on_grid(order.confidence(at.log_WTV).exp()).masked_fill(~at.hidden_WT, -1.0)
        ordered, places = sure_WT.sort(dim=-1, descending=True, stable=True)
        n = torch.arange(1, ordered.shape[1] + 1, device=ordered.device)
        taken = ((n + 1) * (1 - ordered) < f) | (n == 1)
        return at.hidden_WT & torch.zeros_like(at.hidden_WT).scatter(-1, places, taken)

    return rule


def one_digit_each(rule: Rule, digits: int) -> Rule:
    """Of cells that are digits, the first that `rule` chose in each symbol: they depend on each other."""

    def first(at: Step) -> Tensor:
        chosen_WTL = rule(at).unflatten(-1, (-1, digits))
        return (chosen_WTL & (chosen_WTL.cumsum(-1) == 1)).flatten(1)

    return first


def _on_grid(keys_WT: Tensor) -> Tensor:
    """Keys that tie but for rounding tie: hidden cells that see nothing are often all of one opinion."""
    return (keys_WT.double() * _GRID).round() / _GRID


def top(keys_WT: Tensor, hidden_WT: Tensor) -> Tensor:
    """[W, T] the hidden cell of each row with the highest key, if it has one."""
    best = keys_WT.masked_fill(~hidden_WT, -torch.inf).argmax(-1, keepdim=True)
    return hidden_WT & torch.zeros_like(hidden_WT).scatter(-1, best, True)


def first_block(hidden_WT: Tensor, block: int) -> Tensor:
    """[W, T] the hidden cells of each row's first block that has some."""
    places = torch.arange(hidden_WT.shape[1], device=hidden_WT.device) // block
    first_W = places.where(hidden_WT, hidden_WT.shape[1]).amin(-1)
    return hidden_WT & (places == first_W[:, None])


class Clock:
    """How many steps each row has taken; rows with nothing hidden take none, in a batch as alone."""

    def __init__(self, windows: int, device: torch.device) -> None:
        self.rows = torch.arange(windows, device=device)
        self.steps_W = torch.zeros_like(self.rows)

    def coins(self, noise: Noise, width: int) -> Tensor:
        """[W, width] uniform numbers of this step, which belong to cells and not to batches."""
        cells = torch.arange(width, device=self.rows.device)
        return noise.uniform("reveal", self.rows[:, None], self.steps_W[:, None], cells)


class Stepper:
    """The `Choose` of a walk: hands `rule` its coins and step numbers, block after block where there is a `block`.

    Whoever had nothing left after a step and has hidden cells now is in a new block.
    """

    def __init__(self, rule: Rule, noise: Noise, clock: Clock, block: int | None = None) -> None:
        self.rule, self.noise, self.clock, self.block = rule, noise, clock, block
        self._step_W = torch.zeros_like(clock.steps_W)
        self._left_W = torch.zeros_like(clock.steps_W, dtype=torch.bool)

    def __call__(self, log_WTV: Tensor, hidden_WT: Tensor) -> Tensor:
        if self.block is not None:
            hidden_WT = first_block(hidden_WT, self.block)
        active_W = hidden_WT.any(-1)
        self._step_W = self._step_W.where(self._left_W | ~active_W, 0)
        coins_WT = self.clock.coins(self.noise, hidden_WT.shape[1])
        chosen_WT = self.rule(Step(log_WTV, hidden_WT, self._step_W, coins_WT))
        self._left_W = torch.where(active_W, (hidden_WT & ~chosen_WT).any(-1), self._left_W)
        self._step_W = self._step_W + active_W
        self.clock.steps_W = self.clock.steps_W + active_W
        return chosen_WT
