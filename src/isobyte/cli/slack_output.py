"""How loose a bound is, for people to read."""

from typing import Any

from rich.table import Table

from isobyte.likelihood.value import of_source


def slack_table(found: dict[str, Any]) -> Table:
    """The bound, then what lies below it."""
    shown = Table(title=f"the same {found['bytes']:,} bytes in {found['windows']:,} windows, +- over windows")
    for column in ("likelihood", "kind", "BPB", "below the bound"):
        shown.add_column(column, justify="left" if column in ("likelihood", "kind") else "right")
    bound = found["bound"]
    shown.add_row(bound["estimator"], "bound", _value(bound["bpb"], bound["stderr"]), "")
    for each in found["mixture"]:
        shown.add_row(f"mixture of {each['orders']}", "bound", *_both(each))
    for name, each in found["duel"].items():
        shown.add_row(f"duel:{name}", "exact, another decoder", *_both(each))
    return shown


def slack_line(found: dict[str, Any]) -> str:
    slack = found["slack"]
    return f"slack of the bound: at least {_value(slack['at_least'], slack['stderr'])} BPB{of_source(found['source'])}"


def _both(each: dict[str, Any]) -> tuple[str, str]:
    return _value(each["bpb"], each["stderr"]), _value(each["below"], each["below_stderr"])


def _value(value: float, stderr: float | None) -> str:
    return f"{value:.4f}" + ("" if stderr is None else f" +- {stderr:.4f}")
