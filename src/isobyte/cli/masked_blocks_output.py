"""How well a run fills masked blocks, for people to read."""

from typing import Any

from rich.table import Table

LAYOUTS = {
    "training": "as in training",
    "aligned": "in generation",
    "amid": "amid a patch",
    "resumed": "patch resumed",
}
LEAK = 0.01
"""Rounding may change a guess, but no such share of them."""


def summary(found: dict[str, Any]) -> str:
    """A few lines, of blocks that are all hidden."""
    layouts = found["layouts"]
    accuracy = {name: layouts[name]["by_rate"]["1"]["accuracy"] for name in LAYOUTS}
    prefix = {name: layouts[name]["agreed_prefix"] for name in LAYOUTS if name != "training"}
    right = ", ".join(f"{LAYOUTS[name]} {_share(each)}" for name, each in accuracy.items())
    agreed = ", ".join(f"{LAYOUTS[name]} {_number(each, 2)}" for name, each in prefix.items())
    lines = [
        f"masked blocks of {found['block']}, bytes right: {right}",
        f"of a block filled at once, bytes before it parts from greedy decoding: {agreed}",
    ]
    trained, generated = accuracy["training"]["mean"], accuracy["aligned"]["mean"]
    if trained is not None and abs(trained - generated) > LEAK:
        lines.append("[yellow]warning: the first two are of the same blocks and should agree: a leak?[/yellow]")
    return "\n".join(lines)


def by_rate(found: dict[str, Any]) -> Table:
    """Every layout, with more and more cells hidden."""
    shown = Table(title=f"masked blocks of {found['block']} in {found['windows']} windows")
    for column in ("blocks", "hidden", "bytes", "right", "nats (surrogate)"):
        shown.add_column(column, justify="left" if column == "blocks" else "right")
    for name, layout in found["layouts"].items():
        for rate, each in layout["by_rate"].items():
            shown.add_row(LAYOUTS[name], rate, *_guesses(each))
        shown.add_section()
    return shown


def by_position(found: dict[str, Any]) -> Table:
    """Every layout, all cells hidden, byte by byte from the end of the text on."""
    shown = Table(title="all hidden, by position; a byte is final if its patch ends with it")
    kinds = [f"{kind}{column}" for kind in ("final ", "other ") for column in ("bytes", "right", "nats")]
    for column in ("blocks", "position", *kinds, "as greedy", "greedy right"):
        shown.add_column(column, justify="left" if column == "blocks" else "right")
    for name, layout in found["layouts"].items():
        for nth in range(found["block"]):
            guesses = (cell for key in ("patch_final", "patch_inner") for cell in _guesses(layout[key][nth]))
            greedy = (_share(layout[key][nth]) for key in ("agreement", "greedy_accuracy"))
            shown.add_row(LAYOUTS[name], str(nth), *guesses, *greedy)
        shown.add_section()
    return shown


def _guesses(each: dict[str, Any]) -> tuple[str, str, str]:
    nats = each["surrogate_nats"]
    return f"{nats['count']:,}", _share(each["accuracy"]), _number(nats, 3)


def _share(each: dict[str, Any]) -> str:
    if each["mean"] is None:
        return "-"
    error = "" if each["stderr"] is None else f" +- {100 * each['stderr']:.1f}"
    return f"{100 * each['mean']:.1f}{error} %"


def _number(each: dict[str, Any], digits: int) -> str:
    if each["mean"] is None:
        return "-"
    return f"{each['mean']:.{digits}f}" + ("" if each["stderr"] is None else f" +- {each['stderr']:.{digits}f}")
