"""Ways to have a likelihood, by name: what each objective can give, and what it gives unless told otherwise.

The mathematics is in one file per method; here is who has which.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from isobyte.config import objective as kinds
from isobyte.config.permutation import TEXT
from isobyte.errors import UserError
from isobyte.likelihood import (
    any_order,
    block,
    count_stratified,
    digits,
    duel,
    eso,
    exact,
    passes,
    patch_order,
    patchwise,
    span,
    times,
)
from isobyte.likelihood.passes import Settings
from isobyte.likelihood.value import Kind
from isobyte.objective.base import LogProbs
from isobyte.objective.digits import as_symbols
from isobyte.objective.permutation import HELD_OUT, Reading, carried_log_probs

__all__ = ["Estimator", "Settings", "build_estimator", "companions", "estimators"]


@dataclass(frozen=True)
class Estimator:
    """A named, seeded way to a likelihood."""

    name: str
    kind: Kind
    nats: Callable[[LogProbs, Tensor, int], Tensor]
    """(log-probabilities, windows [W, T], index of the first window) -> [W, 2] nats by two independent halves."""
    passes: Callable[[int], int]
    """Network passes over a window of T symbols."""
    seed: int
    random: bool
    """Whether the value depends on the seed; if not, both halves are the same."""
    cells_at_once: int
    """Positions that one network call may hold."""
    source: str = TEXT
    """What it is a likelihood of, where not of the text: what is left of it when it was shuffled past undoing."""

    def rows(self, length: int) -> int:
        """Windows at once."""
        return max(1, self.cells_at_once // (length * (self.passes(length) if self.random else 1)))


Build = Callable[[Settings], Estimator]


def build_estimator(objective: kinds.Objective, settings: Settings, name: str | None = None) -> Estimator:
    """The estimator called `name`, or the objective's own. Raises UserError for one that it does not have."""
    table = estimators(objective)
    if name is not None and name not in table:
        raise UserError(
            f"objective {objective.kind!r} has no estimator {name!r}",
            where="estimator",
            how=f"take one of {', '.join(table)}",
        )
    built = table[name or next(iter(table))](settings)
    return built if settings.reading is None else _read(built, settings.reading)


def _read(inner: Estimator, reading: Reading) -> Estimator:
    """The estimator, for a network that reads windows in another order."""

    def nats(log_probs: LogProbs, x_WT: Tensor, first: int) -> Tensor:
        read_WT = reading.read(x_WT, HELD_OUT, first + np.arange(len(x_WT)))
        return inner.nats(carried_log_probs(log_probs, reading, x_WT.shape[1]), read_WT, first)

    source = inner.source if reading.permutation.invertible else reading.permutation.kind
    return replace(inner, nats=nats, source=source)


def companions(objective: kinds.Objective) -> list[str]:
    """Estimators worth printing beside the objective's own: a yardstick, or the number that was published."""
    match objective:
        case kinds.DigitsConfig():
            return ["joint_ce"]
        case kinds.SpanConfig():
            return ["count-stratified"]
    return []


def estimators(objective: kinds.Objective) -> dict[str, Build]:
    """Of this objective, by name; its own first."""
    match objective:
        case kinds.CausalConfig():
            found = [_exact("exact", lambda p, x, s: exact.ar_nats(p, x, s.vocab))]
        case kinds.MaskedConfig():
            told = objective.time_conditioning
            found = [_count_stratified(told), _timed("t-stratified", told), _timed("t-steps", told), *_duels(objective)]
        case kinds.SpanConfig():
            found = [*_spans(objective), _count_stratified(False), *_duels(objective)]
        case kinds.BlockConfig(block=1):
            found = [_exact("exact", lambda p, x, s: block.one_by_one_nats(p, x, s.vocab))]
        case kinds.BlockConfig():
            found = [_sampled("block", "bound", lambda p, x, s, w: block.block_nats(p, x, objective.block, s, w))]
        case kinds.AnyOrderConfig():
            found = [
                _sampled("k-order", "bound", lambda p, x, s, w: any_order.k_order_nats(p, x, objective, s, w)),
                _sampled("order", "bound", lambda p, x, s, w: any_order.mean_order_nats(p, x, objective, s, w)),
            ]
        case kinds.EsoConfig(alpha0=0.0):
            found = [_exact("exact", lambda p, x, s: eso.left_to_right_nats(p, x, objective, s.vocab))]
        case kinds.EsoConfig():
            nfe = sum(eso.eso_passes(objective.alpha0, 2))
            found = [_sampled("eso", "bound", lambda p, x, s, w: eso.eso_nats(p, x, objective, s, w), least=nfe)]
        case kinds.PatchArConfig():
            found = [_exact("exact", patchwise.left_to_right_nats)]
        case kinds.PatchMaskedConfig():
            found = [
                _sampled("patch-count", "bound", patchwise.patch_nats),
                # a pass for every patch, of which there is at most one for every symbol
                _exact("patch-order", patch_order.patch_order_nats, lambda length, _settings: length),
            ]
        case kinds.DigitsConfig():
            found = [
                _sampled("digit-marginal", "bound", digits.digit_marginal_nats),
                _sampled("symbol", "bound", digits.symbol_mask_nats),
            ]
            found = found[::-1] if objective.loss == "symbol" else found
            found += [
                _sampled("digit-steps", "bound", digits.digit_step_nats),
                *_duels(objective),
                _sampled("joint_ce", "surrogate", digits.joint_ce_nats),
            ]
    return dict(found)


Named = tuple[str, Build]


def _sampled(
    name: str, kind: Kind, method: Callable[[LogProbs, Tensor, Settings, int], Tensor], least: int = 2
) -> Named:
    """An estimator by random passes, at least `least` of them."""

    def build(settings: Settings) -> Estimator:
        nfe = max(least, settings.passes)
        return Estimator(
            name,
            kind,
            lambda log_probs, x_WT, first: method(log_probs, x_WT, settings, first),
            lambda _length: nfe,
            settings.seed,
            True,
            passes.cells_at_once(settings.vocab),
        )

    return name, build


def _exact(
    name: str,
    method: Callable[[LogProbs, Tensor, Settings], Tensor],
    nfe: Callable[[int, Settings], int] = lambda _length, _settings: 1,
) -> Named:
    """An exact likelihood in `nfe` passes, nothing random about it."""

    def build(settings: Settings) -> Estimator:
        return Estimator(
            name,
            "exact",
            lambda log_probs, x_WT, _first: method(log_probs, x_WT, settings)[:, None].expand(-1, 2),
            lambda length: nfe(length, settings),
            settings.seed,
            False,
            passes.cells_at_once(settings.vocab),
        )

    return name, build


def _count_stratified(told_rate: bool) -> Named:
    def method(log_probs: LogProbs, x_WT: Tensor, settings: Settings, first: int) -> Tensor:
        return count_stratified.masked_nats(
            log_probs,
            x_WT,
            settings.vocab,
            passes=settings.passes,
            seed=settings.seed,
            first_window=first,
            told_rate=told_rate,
            symbols_per_call=passes.cells_at_once(settings.vocab),
        )

    return _sampled("count-stratified", "bound", method)


def _timed(name: str, told_rate: bool) -> Named:
    form = times.t_steps_nats if name == "t-steps" else times.t_stratified_nats
    return _sampled(name, "bound", lambda p, x, s, w: form(p, x, s, w, told_rate=told_rate))


def _spans(objective: kinds.SpanConfig) -> list[Named]:
    spans = objective.spans
    if not spans.content_dependent:
        return [_sampled("span", "bound", lambda p, x, s, w: span.span_nats(p, x, spans, s, w))]
    return [
        _sampled("span", "bound", lambda p, x, s, w: span.paid_nats(p, x, spans, s, w)),
        _sampled("span-unpaid", "score", lambda p, x, s, w: span.span_nats(p, x, spans, s, w)),
    ]


def _duels(objective: kinds.MaskedConfig | kinds.SpanConfig | kinds.DigitsConfig) -> list[Named]:
    """One for each rule; `digits` reveals whole symbols."""

    def by(rule: str) -> Callable[[LogProbs, Tensor, Settings], Tensor]:
        def method(log_probs: LogProbs, x_WT: Tensor, settings: Settings) -> Tensor:
            if settings.codes is not None:
                log_probs = as_symbols(log_probs, settings.codes)
            told = objective.time_conditioning
            return duel.duel_nats(log_probs, x_WT, settings.vocab, rule, settings.per_step, told_rate=told)

        return method

    def nfe(length: int, settings: Settings) -> int:
        return -(-length // settings.per_step)

    return [_exact(name, by(name.removeprefix(duel.PREFIX)), nfe) for name in duel.NAMES]
