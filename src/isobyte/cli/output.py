"""What commands print: messages on standard error, tables, and for programs one JSON object last on standard output."""

import json
import sys
from typing import Any

from rich.console import Console

WIDE = 160
"""Columns where there is no terminal to ask: tables in a log are not to be folded."""


def _console(stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else WIDE)


console = _console(stderr=True)
"""Progress and messages."""


def emit(value: dict[str, Any], *, as_json: bool) -> None:
    """Print `value` as the last line of standard output where JSON was asked for."""
    if as_json:
        print(json.dumps(value, allow_nan=False), file=sys.stdout, flush=True)


def tables(as_json: bool) -> Console:
    """Where tables go: standard output, or standard error when that belongs to JSON."""
    return _console(stderr=as_json)
