"""Ways to have a likelihood, by name: what each objective can give, and what it gives unless told otherwise."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from isobyte.config.objective import ArConfig, MaskedConfig, Objective, SpanConfig
from isobyte.errors import UserError
from isobyte.likelihood.count_stratified import masked_nats
from isobyte.likelihood.exact import ar_nats
from isobyte.likelihood.value import Kind
from isobyte.objective.base import LogProbs

LOGITS_PER_CALL = 1 << 23


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
    logits_per_window: Callable[[int], int]

    def rows(self, length: int) -> int:
        """Windows at once."""
        return max(1, LOGITS_PER_CALL // self.logits_per_window(length))


@dataclass(frozen=True)
class Settings:
    """What an estimator may be told: network passes per window, a seed, symbols in the alphabet."""

    passes: int
    seed: int
    vocab: int
    codes: Tensor | None = None
    """[vocab, digits] where symbols are shown as digits."""


def build_estimator(objective: Objective, settings: Settings, name: str | None = None) -> Estimator:
    """The estimator called `name`, or the objective's own. Raises UserError for one that it does not have."""
    table = estimators(objective)
    if name is not None and name not in table:
        raise UserError(
            f"objective {objective.kind!r} has no estimator {name!r}",
            where="estimator",
            how=f"take one of {', '.join(table)}",
        )
    return table[name or next(iter(table))](objective, settings)


def estimators(objective: Objective) -> dict[str, Callable[..., Estimator]]:
    """Of this objective, by name; its own first."""
    match objective:
        case ArConfig():
            return {"exact": _exact}
        case MaskedConfig() | SpanConfig():
            return {"count-stratified": _count_stratified}
    raise UserError(f"objective {objective.kind!r} has no estimator yet", where="estimator")


def _exact(_objective: ArConfig, settings: Settings) -> Estimator:
    def nats(log_probs: LogProbs, x_WT: Tensor, _first: int) -> Tensor:
        return ar_nats(log_probs, x_WT, settings.vocab)[:, None].expand(-1, 2)

    return Estimator("exact", "exact", nats, lambda _: 1, settings.seed, False, lambda length: length * settings.vocab)


def _count_stratified(objective: MaskedConfig | SpanConfig, settings: Settings) -> Estimator:
    def nats(log_probs: LogProbs, x_WT: Tensor, first: int) -> Tensor:
        return masked_nats(
            log_probs,
            x_WT,
            settings.vocab,
            passes=settings.passes,
            seed=settings.seed,
            first_window=first,
            told_rate=objective.time_conditioning,
            symbols_per_call=max(1, LOGITS_PER_CALL // settings.vocab),
        )

    def logits(length: int) -> int:
        return length * settings.vocab * settings.passes

    return Estimator("count-stratified", "bound", nats, lambda _: settings.passes, settings.seed, True, logits)
