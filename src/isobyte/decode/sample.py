"""Sampling: a walk of the objective, told what was drawn."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from isobyte.config import objective as kinds
from isobyte.decode.calls import Asked, Counted
from isobyte.decode.digits import Spelling, published_walk
from isobyte.decode.draw import adjusted, draw
from isobyte.decode.methods import PUBLISHED, REMASKING, Settings
from isobyte.decode.noise import Noise
from isobyte.decode.patches import patches_drawn
from isobyte.decode.remask import remasking_walk
from isobyte.decode.transfer import Clock, Stepper, one_digit_each
from isobyte.objective.base import LogProbs, Network, network_log_probs
from isobyte.objective.digits import as_symbols
from isobyte.objective.order import Order
from isobyte.objective.patchwise import grouping_of
from isobyte.objective.walk import Reveal, Walk, any_order_walk, block_walk, drive, masked_walk, symbol_walk
from isobyte.objective.walk_digits import consistent_log_probs, digit_by_digit


class Watch(Protocol):
    """Is told what happens as it happens. `step` numbers the steps of the first row, 0 where a walk has no rule."""

    def reveal(self, step: int, rows: Tensor, places: Tensor, symbols: Tensor, sure: Tensor) -> None:
        """Symbols [N] that are now at `places` of `rows`, and the network's probability of each."""
        ...

    def hide(self, step: int, hidden_WT: Tensor) -> None:
        """Cells [W, T] that were hidden again."""
        ...


@dataclass(frozen=True)
class Samples:
    """Windows [W, T], the calls of the network for each, and nats [W]: the cost of all draws, as drawn."""

    x_WT: Tensor
    nfe_W: Tensor
    nats_W: Tensor


class _Sampler:
    """One batch on its way."""

    def __init__(
        self,
        objective: kinds.Objective,
        network: Network,
        x_WT: Tensor,
        settings: Settings,
        noise: Noise,
        watch: Watch | None,
        log_count_T: Tensor | None,
    ) -> None:
        self.objective, self.settings, self.noise, self.watch = objective, settings, noise, watch
        self.grouping, self.log_count_T = grouping_of(network), log_count_T
        self.method = settings.checked(objective)
        reuse = isinstance(objective, kinds.BlockConfig) and self.method == "cached-ancestral"
        self.network, self.x_WT = Counted(network, reuse=reuse), x_WT
        self.clock = Clock(len(x_WT), x_WT.device)
        self.nats_W = torch.zeros(len(x_WT), dtype=torch.float64, device=x_WT.device)
        self.asked: Asked | None = None
        self.spelling: Spelling | None = None

    def run(self) -> Samples:
        x_WT = drive(self.walk(), self.symbols_of)
        calls = torch.full((len(x_WT),), self.network.calls) if self.asked is None else self.asked.nfe_W
        return Samples(x_WT, calls, self.nats_W)

    def symbols_of(self, reveal: Reveal) -> Tensor:
        log_NV = adjusted(reveal.log_NV, self.settings.temperature, self.settings.top_p)
        uniform_N = self.noise.uniform("symbol", reveal.rows, reveal.places, self.clock.steps_W[reveal.rows])
        symbols_N = draw(log_NV, uniform_N)
        self.nats_W.index_add_(0, reveal.rows, -log_NV.gather(-1, symbols_N[:, None]).squeeze(-1))
        if self.watch is not None and self.method != PUBLISHED and self.grouping is None:
            log_N = reveal.log_NV.gather(-1, symbols_N[:, None]).squeeze(-1)
            self.report(reveal, symbols_N, log_N)
        return symbols_N

    def walk(self) -> Walk:
        """The walk of this method: through the objective's cache where it has one, else in full passes."""
        order = Order(seed=self.settings.seed, per_step=self.settings.value("per_step"))
        match self.objective:
            case kinds.AnyOrderConfig() if self.method == "left-to-right":
                return any_order_walk(self.network, self.x_WT, torch.arange(self.x_WT.shape[1]))
            case kinds.CausalConfig() | kinds.AnyOrderConfig() | kinds.EsoConfig():
                return symbol_walk(self.objective, self.network, self.x_WT, order)
            case kinds.PatchwiseConfig():
                assert self.grouping is not None
                return patches_drawn(
                    self.objective, self.network, self.grouping, self.x_WT, self.noise, log_count_T=self.log_count_T,
                    left_to_right=self.method == "left-to-right",
                )  # fmt: skip
            case kinds.BlockConfig():
                return block_walk(self.network, self.x_WT, self.objective.block, self.stepper())
            case kinds.DigitsConfig() if self.settings.by_digit or self.method == PUBLISHED:
                return self.digits_walk()
        return self.full_passes()

    def stepper(self, digits: int = 1) -> Stepper:
        rule = self.settings.rule(self.method)
        block = self.settings.block and self.settings.block * digits
        return Stepper(one_digit_each(rule, digits) if digits > 1 else rule, self.noise, self.clock, block)

    def full_passes(self) -> Walk:
        vocab, told = self.network.vocab, self.objective.time_conditioning
        log_probs = network_log_probs(self.network)
        if self.network.codes is not None:
            log_probs = as_symbols(consistent_log_probs(self.network), self.network.codes)
        asked = self.ask(log_probs, vocab)
        if self.method not in REMASKING:
            return masked_walk(asked, self.x_WT, vocab, self.stepper(), told_rate=told)
        remask = self.settings.remask(self.method)
        return remasking_walk(
            asked, self.x_WT, vocab, remask, self.noise, self.clock, told_rate=told, hide=self.hidden_again
        )

    def digits_walk(self) -> Walk:
        codes_VL = self.network.codes
        assert codes_VL is not None
        vocab, digits = codes_VL.shape
        asked = self.ask(consistent_log_probs(self.network), kinds.digit_shape(vocab, digits)[1])
        if self.settings.by_digit:
            self.spelling = Spelling(codes_VL, self.x_WT)
            return digit_by_digit(asked, codes_VL, self.x_WT, self.stepper(digits))
        steps, schedule = self.settings.value("steps"), self.settings.schedule
        return published_walk(
            asked, codes_VL, self.x_WT, schedule, steps, self.noise, self.clock, whole=self.whole_symbols
        )

    def ask(self, log_probs: LogProbs, hidden: int) -> Asked:
        reuse = self.method == "cached-ancestral"
        self.asked = Asked(log_probs, self.network.vocab, hidden, len(self.x_WT), reuse=reuse)
        return self.asked

    def report(self, reveal: Reveal, symbols_N: Tensor, log_N: Tensor) -> None:
        if self.spelling is None:
            self.whole_symbols(reveal.rows, reveal.places, symbols_N, log_N.exp())
        else:
            self.whole_symbols(*self.spelling.write(reveal.rows, reveal.places, symbols_N, log_N))

    def hidden_again(self, hidden_WT: Tensor) -> None:
        if self.watch is not None:
            self.watch.hide(int(self.clock.steps_W[0]), hidden_WT)

    def whole_symbols(self, rows: Tensor, places: Tensor, symbols: Tensor, sure: Tensor) -> None:
        if self.watch is not None and len(rows):
            self.watch.reveal(int(self.clock.steps_W[0]), rows, places, symbols, sure)


@torch.no_grad()
def sample(
    objective: kinds.Objective,
    network: Network,
    x_WT: Tensor,
    settings: Settings,
    *,
    first: int = 0,
    watch: Watch | None = None,
    log_count_T: Tensor | None = None,
) -> Samples:
    """Windows x [W, T] with every cell of id `vocab` filled; what is given stays.

    Window w is `first` + w of `settings.seed`: its noise is its own, and so are its symbols, but for what a batch
    changes in the last bits of the network's answer. `any_order` and `eso` take one order for all windows of a seed.
    `patch_masked` draws how many patches a window has by log-probabilities [T], where its rule leaves that open; its
    windows differ in length, and id `vocab` fills the shorter ones up. Of whole patches `watch` is told nothing.
    Raises UserError where the objective does not have the method, or the method not a setting.
    """
    return _Sampler(objective, network, x_WT, settings, Noise(settings.seed, first), watch, log_count_T).run()
