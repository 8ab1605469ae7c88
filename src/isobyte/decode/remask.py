"""ReMDM (arXiv 2503.00307): what is revealed may be hidden again, so early mistakes can be mended."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from isobyte.backbone.mask import BIDIRECTIONAL
from isobyte.config.objective import LinearSchedule, Schedule
from isobyte.decode.noise import Noise
from isobyte.decode.transfer import Clock
from isobyte.objective.base import LogProbs, View
from isobyte.objective.schedule import mask_probability
from isobyte.objective.walk import Walk, reveal

VARIANTS = ("cap", "rescale", "conf", "loop")
T_ON, T_OFF, ALPHA_ON = 0.55, 0.05, 0.9
"""The loop of the paper: plain steps until ALPHA_ON is visible, remasking while T_OFF < t <= T_ON, plain steps."""


@dataclass(frozen=True)
class Remask:
    """How much is hidden again. `eta` is the cap, the share of the largest rate, or the loop's rate; `conf` has none.

    With eta = 0, `cap` and `rescale` are ancestral sampling.
    """

    variant: str = "cap"
    eta: float = 0.02
    steps: int = 64
    schedule: Schedule = field(default_factory=LinearSchedule)

    def rates(self, step: int) -> tuple[float, float, float]:
        """(alpha_t, alpha_s, sigma) of a step; sigma <= min(1, (1 - alpha_s) / alpha_t), `conf` splits it by cell."""
        t, s = (self.steps - step) / self.steps, (self.steps - step - 1) / self.steps
        alpha_t, alpha_s = self._alpha(t), self._alpha(s)
        largest = 1.0 if alpha_t <= 0 else min(1.0, (1 - alpha_s) / alpha_t)
        match self.variant:
            case "conf":
                return alpha_t, alpha_s, largest
            case "rescale":
                return alpha_t, alpha_s, self.eta * largest
            case "loop" if not T_OFF < t <= T_ON:
                return alpha_t, alpha_s, 0.0
        return alpha_t, alpha_s, min(self.eta, largest)

    def _alpha(self, t: float) -> float:
        if self.variant != "loop":
            return 1 - float(mask_probability(self.schedule, torch.tensor(t, dtype=torch.float64)))
        if t > T_ON:
            return ALPHA_ON * (1 - t) / (1 - T_ON)
        return ALPHA_ON if t > T_OFF else 1 - (1 - ALPHA_ON) * t / T_OFF


def remasking_walk(
    log_probs: LogProbs,
    x_WT: Tensor,
    vocab: int,
    remask: Remask,
    noise: Noise,
    clock: Clock,
    *,
    told_rate: bool = False,
    hide: Callable[[Tensor], None] = lambda _: None,
) -> Walk:
    """All `remask.steps` steps; a cell may be asked for more than once. `hide` is told what was hidden again [W, T].

    A hidden cell is revealed with probability (alpha_s - (1 - sigma) alpha_t) / (1 - alpha_t), a visible one that
    was not given is hidden with probability sigma. With `conf`, sigma is split over the visible cells by a softmax
    of how unlikely their symbols were when revealed, and is zero for hidden ones.
    """
    given_WT, x_WT = x_WT < vocab, x_WT.clone()
    sure_WT = torch.zeros(x_WT.shape, dtype=torch.float64, device=x_WT.device)
    for step in range(remask.steps):
        hidden_WT = x_WT == vocab
        rate_W = hidden_WT.float().mean(1) if told_rate else None
        log_WTV = log_probs(View(x_WT, BIDIRECTIONAL, time_B=rate_W))
        alpha_t, alpha_s, sigma = remask.rates(step)
        kept = alpha_t if remask.variant == "conf" else (1 - sigma) * alpha_t
        shown = 1.0 if step == remask.steps - 1 else (alpha_s - kept) / (1 - alpha_t)
        coins_WT = clock.coins(noise, x_WT.shape[1])
        clock.steps_W = clock.steps_W + 1
        open_WT = ~hidden_WT & ~given_WT
        sigma_WT = sigma * _least_sure(sure_WT, open_WT) if remask.variant == "conf" else sigma
        forgotten_WT = open_WT & (coins_WT < sigma_WT)
        chosen_WT = hidden_WT & (coins_WT < shown)
        yield from reveal(x_WT, chosen_WT, log_WTV)
        found = log_WTV.gather(-1, x_WT.clamp(max=vocab - 1)[..., None]).squeeze(-1).double().exp()
        sure_WT = torch.where(chosen_WT, found, sure_WT)
        x_WT[forgotten_WT] = vocab
        hide(forgotten_WT)
    return x_WT


def _least_sure(sure_WT: Tensor, open_WT: Tensor) -> Tensor:
    return (-sure_WT).masked_fill(~open_WT, -torch.inf).softmax(-1).nan_to_num(0.0)
