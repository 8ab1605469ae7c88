"""A network that may be asked about any symbol of a window, given the others or some of them, as its training allowed.

Objectives differ in what a context may be: `left` (all symbols before the one asked for, from where the window begins),
`block` (all of its own block and of the blocks before), `around` (any of the others).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from isobyte.backbone.mask import CAUSAL, Mask
from isobyte.config import objective as kinds
from isobyte.config.run import RunConfig
from isobyte.evaluate.loaded import LoadedRun
from isobyte.likelihood.passes import rows_at_once
from isobyte.objective.any_order import order_view
from isobyte.objective.ar import ar_view
from isobyte.objective.base import LogProbs, View
from isobyte.objective.block import block_view
from isobyte.objective.digits import as_symbols, objective_log_probs
from isobyte.objective.eso import diffusion_view, sequential_view
from isobyte.objective.masked import masked_view
from isobyte.random import generator

Sight = Literal["left", "block", "around"]
_ASKED = (
    kinds.CausalConfig, kinds.MaskedConfig, kinds.SpanConfig, kinds.BlockConfig, kinds.AnyOrderConfig, kinds.EsoConfig,
    kinds.DigitsConfig,
)  # fmt: skip


def unasked(config: RunConfig) -> str | None:
    """Why a run's network cannot be asked for single symbols of a text as it stands, or None."""
    if config.permutation is not None:
        return "its network reads the text shuffled"
    return None if isinstance(config.objective, _ASKED) else f"{config.objective.kind} predicts no single symbols"


def sight_of(objective: kinds.Objective, window: int) -> Sight:
    """What a context of this objective may be, in windows of `window` symbols."""
    match objective:
        case kinds.AnyOrderConfig(within=within):
            return "around" if within is None or within >= window else "left"
        case kinds.EsoConfig(alpha0=alpha0):
            return "around" if alpha0 else "left"
        case kinds.BlockConfig(block=block):
            return "around" if block >= window else "block"
    return "left" if isinstance(objective, kinds.CausalConfig) else "around"


def hides_any(objective: kinds.Objective, window: int) -> bool:
    """Whether any set of symbols may be hidden beside the one asked for: Eso-LM's last ones go from left to right."""
    eso = isinstance(objective, kinds.EsoConfig) and objective.alpha0 < 1
    return sight_of(objective, window) == "around" and not eso


def _causal(inputs_BS: Tensor) -> Mask:  # noqa: ARG001 - a network of patches would look at it
    return CAUSAL


@dataclass(frozen=True)
class Subject:
    """`log_probs` of a network with this objective."""

    objective: kinds.Objective
    log_probs: LogProbs
    vocab: int
    window: int
    left_to_right: Callable[[Tensor], Mask] = _causal
    device: torch.device | str = "cpu"
    seed: int = 0

    @classmethod
    def of(cls, run: LoadedRun, seed: int) -> "Subject":
        objective, model = run.config.objective, run.model
        log_probs = objective_log_probs(objective, model)
        if model.codes is not None:
            log_probs = as_symbols(log_probs, model.codes)
        return cls(objective, log_probs, model.vocab, run.config.train.window, model.left_to_right, run.device, seed)

    @property
    def sight(self) -> Sight:
        return sight_of(self.objective, self.window)

    def seen(self, length: int) -> Tensor:
        """[T, T] bool: which symbols (columns) the context of each (rows) may have at most."""
        place_T = torch.arange(length)
        if self.sight == "left":
            return place_T < place_T[:, None]
        if self.sight == "block":
            assert isinstance(self.objective, kinds.BlockConfig)
            block_T = place_T // self.objective.block
            return (block_T <= block_T[:, None]) & (place_T != place_T[:, None])
        return place_T != place_T[:, None]

    @torch.inference_mode()
    def given(self, x_NT: Tensor, hidden_NT: Tensor, place_N: Tensor) -> Tensor:
        """[N, V] log-probabilities, on the CPU, of the symbol at `place` of each row given those that are not hidden.

        `place` is hidden itself, and so is all that `seen` does not have. Nothing else is, but for `around`.
        """
        rows = rows_at_once(x_NT.shape[1], self.vocab)
        found = []
        for first in range(0, len(x_NT), rows):
            part = slice(first, first + rows)
            x, hidden, place = (each[part].to(self.device) for each in (x_NT, hidden_NT, place_N))
            found.append(self._given(x, hidden, place).cpu())
        return torch.cat(found)

    @torch.inference_mode()
    def from_left(self, x_NT: Tensor) -> Tensor:
        """[N, T, V] log-probabilities of every symbol given those before it in its window, on the CPU."""
        batch, length = x_NT.shape
        if isinstance(self.objective, kinds.CausalConfig | kinds.AnyOrderConfig):
            rows = rows_at_once(length, self.vocab)
            return torch.cat([self.log_probs(self._ordered(x.to(self.device))).cpu() for x in x_NT.split(rows)])
        place_T = torch.arange(length)
        hidden = place_T >= place_T[:, None]
        log = self.given(x_NT.repeat_interleave(length, 0), hidden.repeat(batch, 1), place_T.repeat(batch))
        return log.view(batch, length, -1)

    def _ordered(self, x_NT: Tensor) -> View:
        if isinstance(self.objective, kinds.AnyOrderConfig):
            order_NT = torch.arange(x_NT.shape[1], device=x_NT.device).expand_as(x_NT)
            return order_view(x_NT, order_NT, self.vocab)
        inputs = ar_view(x_NT, self.vocab).inputs
        return View(inputs, self.left_to_right(inputs))

    def _given(self, x_NT: Tensor, hidden_NT: Tensor, place_N: Tensor) -> Tensor:
        length, vocab = x_NT.shape[1], self.vocab
        at_N = place_N
        match self.objective:
            case kinds.CausalConfig():
                view = self._ordered(x_NT)
            case kinds.AnyOrderConfig():
                # the visible ones from left to right, the one asked for, and the others, which it does not see
                place_T = torch.arange(length, device=x_NT.device)
                later_NT = torch.where(place_T == place_N[:, None], length, 2 * length)
                order_NT = torch.where(hidden_NT, later_NT + place_T * (later_NT > length), place_T).argsort(-1)
                view, at_N = order_view(x_NT, order_NT, vocab), (~hidden_NT).sum(1)
            case kinds.BlockConfig(block=block):
                view = block_view(x_NT, hidden_NT, block, vocab)
            case kinds.EsoConfig():
                return self._eso(self.objective, x_NT, hidden_NT, place_N)
            case kinds.MaskedConfig(time_conditioning=True):
                view = masked_view(x_NT, hidden_NT, vocab, hidden_NT.float().mean(1))
            case _:
                view = masked_view(x_NT, hidden_NT, vocab)
        return self._at(view, at_N)

    def _at(self, view: View, at_N: Tensor) -> Tensor:
        return self.log_probs(view)[torch.arange(len(at_N), device=at_N.device), at_N]

    def _eso(self, objective: kinds.EsoConfig, x_NT: Tensor, hidden_NT: Tensor, place_N: Tensor) -> Tensor:
        """By diffusion, as long as what is hidden is no less than diffusion leaves; after that as one of the last,
        which go from left to right: symbols before it count as revealed in that phase, too."""
        length = x_NT.shape[1]
        place_T = torch.arange(length, device=x_NT.device)
        key_T = torch.from_numpy(generator(self.seed, "eso keys", length).random(length)).to(x_NT.device)
        left = length * (1 - objective.alpha0)
        first_N = hidden_NT.int().argmax(1) == place_N
        last_N = first_N & ((hidden_NT.sum(1) < left) | (objective.alpha0 == 0))
        before_NT = torch.where(place_T < place_N[:, None], key_T, 2.0).argsort(-1).argsort(-1)
        lacking_N = (left - hidden_NT.sum(1)).clamp(min=0).minimum(place_N)
        late_NT = hidden_NT | (before_NT < lacking_N[:, None])
        found = torch.empty(len(x_NT), self.vocab, device=x_NT.device)
        for rows, view, masked in ((~last_N, diffusion_view, hidden_NT), (last_N, sequential_view, late_NT)):
            if rows.any():
                x = x_NT[rows]
                shown = view(x, masked[rows], key_T.expand_as(x), self.vocab, cached=objective.cached)
                log_NV = self._at(shown, place_N[rows])
                found = found.to(log_NV.dtype)
                found[rows] = log_NV
        return found
