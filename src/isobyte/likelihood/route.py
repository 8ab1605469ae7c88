"""In which order, how many windows at a time, and in what unit a codec walks a text. No torch but for orders."""

from dataclasses import dataclass
from typing import Literal

from isobyte.config import objective as kinds
from isobyte.config.backbone import Backbone, FlatConfig
from isobyte.errors import UserError
from isobyte.objective.order import RULES, Order

Unit = Literal["symbol", "digit"]
ORDERS = ("random", *RULES)
_MOST_WINDOWS = 256
_MOST_FLOATS = 1 << 26
"""256 MiB of fp32 for what one group of windows keeps alive."""


@dataclass(frozen=True)
class Route:
    """`window` symbols in a window, at most `group` windows in lockstep, revealed in `order`, by symbol or by digit."""

    order: Order
    window: int
    group: int
    unit: Unit = "symbol"


def plan_route(
    objective: kinds.Objective,
    shape: Backbone,
    vocab: int,
    window: int,
    *,
    rule: str | None = None,
    per_step: int | None = None,
    seed: int = 0,
    unit: Unit | None = None,
    group: int | None = None,
) -> Route:
    """What is left out is chosen: one symbol a step, in a random order where the objective leaves it open.

    Raises UserError for an order or a unit that the objective does not have.
    """
    order = _order(objective, rule, per_step, seed)
    if unit == "digit" and not isinstance(objective, kinds.DigitsConfig):
        raise UserError(f"{objective.kind} has no digits", where="--unit", how="take symbol")
    if group is not None and group < 1:
        raise UserError(f"{group} windows", where="--group", how="take at least 1")
    return Route(order, window, group or _group(objective, shape, vocab, window, order.per_step), unit or "symbol")


def _order(objective: kinds.Objective, rule: str | None, per_step: int | None, seed: int) -> Order:
    if not 0 <= seed < 1 << 32:
        raise UserError(f"{seed} is no 32-bit number", where="--seed", how="take one of 0..4294967295")
    causal = isinstance(objective, kinds.CausalConfig | kinds.PatchwiseConfig)
    fixed = "left_to_right" if causal else {"any_order": "random", "eso": "random"}.get(objective.kind)
    if fixed is not None and rule not in (None, fixed):
        raise UserError(f"{objective.kind} knows no order but {fixed}", where="--rule", how="leave it out")
    single = causal or isinstance(objective, kinds.AnyOrderConfig)
    if single and per_step not in (None, 1):
        raise UserError(f"{objective.kind} reveals one symbol a step", where="--per-step", how="leave it out")
    return Order(fixed or rule or "random", 1 if per_step is None else per_step, seed)


def _group(objective: kinds.Objective, shape: Backbone, vocab: int, window: int, per_step: int) -> int:
    """As many windows as memory should hold: log-probabilities of all cells shown (a few copies), and the cache."""
    match objective:
        case kinds.CausalConfig() | kinds.AnyOrderConfig():
            shown = 1
        case kinds.BlockConfig():
            shown = min(objective.block, window)
        case kinds.EsoConfig(cached=True):
            shown = 2 * per_step
        case _:
            shown = window
    stacks = [shape] if isinstance(shape, FlatConfig) else [shape.encoder, shape.latent, shape.decoder]
    held = 2 * window * sum(stack.layers * stack.width for stack in stacks)
    floats = shown * (6 * vocab + 16 * shape.width) + held
    return max(1, min(_MOST_WINDOWS, _MOST_FLOATS // floats))
