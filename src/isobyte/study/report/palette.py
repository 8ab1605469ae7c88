"""Colours that stay apart for colour-blind readers and in print: one per design, a ramp for budgets.

Objectives differ in hue (blue, orange), representations in lightness and marker, after Okabe and Ito's set.
"""

from dataclasses import dataclass
from typing import Any

INK, MUTED, GRID = "#1d2329", "#5b646e", "#e4e5e1"


@dataclass(frozen=True)
class Style:
    """How a design is drawn, wherever it is drawn."""

    colour: str
    symbol: str


HUES = {
    "ar": ("#0b4f8a", "#4a9fd8"),
    "blt_diffusion": ("#2b7a6b", "#2b7a6b"),
    "masked": ("#a63a0a", "#df8f1a"),
    "span": ("#14606b", "#4d9aa6"),
    "block": ("#5e3c99", "#9a7fc9"),
    "any_order": ("#6b6b1f", "#9a972f"),
    "eso": ("#9c2a5c", "#dd82ab"),
    "digits": ("#4d5560", "#87929e"),
    "patch_ar": ("#2f9fc4", "#2f9fc4"),
    "patch_masked": ("#c9567a", "#c9567a"),
}
"""Objective -> colours on bytes and on BPE."""
KNOWN = {
    (objective, representation): Style(colour, symbol)
    for objective, colours in HUES.items()
    for representation, colour, symbol in zip(("bytes", "bpe"), colours, ("circle", "square"), strict=True)
}
SPARE = (
    Style("#1f7a5c", "diamond"),
    Style("#8a5aa8", "triangle-up"),
    Style("#7a7a2c", "cross"),
    Style("#b03a6f", "star"),
    Style("#4d5560", "hexagon"),
    Style("#2aa198", "triangle-down"),
)
RAMP = ("#86cfa5", "#3fae9f", "#2f8a94", "#3a6590", "#45407f", "#2e1e4d")
"""From the smallest budget to the largest; lightness falls all the way."""

CONTRAST = {("objective", "bytes"): "#1f7a5c", ("objective", "bpe"): "#8a5aa8"}


def design_styles(designs: list[dict[str, Any]]) -> dict[str, Style]:
    """A style per design's name; no two share one while there are spare ones, or symbols that their colours lack."""
    styles: dict[str, Style] = {}
    for design in designs:
        own = KNOWN.get((design["objective"], design["representation"]))
        colours = ([own.colour] if own else []) + [spare.colour for spare in SPARE]
        mixed = [Style(colour, spare.symbol) for colour in colours for spare in SPARE]
        choices = [*([own] if own else []), *SPARE, *mixed]
        styles[design["name"]] = next((style for style in choices if style not in styles.values()), SPARE[-1])
    return styles


def comparison_colour(comparison: dict[str, Any], styles: dict[str, Style]) -> str:
    """The colour of its first design; contrasts of objectives have their own, they share designs with the others."""
    own = CONTRAST.get((comparison["contrast"], comparison["within"]))
    if set(comparison.get("levels") or ("masked", "ar")) != {"masked", "ar"}:
        own = None
    return own or styles[comparison["a"]].colour


def budget_colours(budgets: list[float]) -> dict[float, str]:
    """Evenly along the ramp, in order."""
    last = max(len(budgets) - 1, 1)
    return {budget: _ramp(k / last) for k, budget in enumerate(sorted(budgets))}


def _ramp(share: float) -> str:
    place = share * (len(RAMP) - 1)
    first = min(int(place), len(RAMP) - 2)
    ends = [[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in RAMP[first : first + 2]]
    mixed = [round(a + (b - a) * (place - first)) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def fade(colour: str, alpha: float) -> str:
    """`rgba(...)` of a `#rrggbb`."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"
