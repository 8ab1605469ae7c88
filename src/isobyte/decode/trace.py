"""How a window came to be: what was revealed at which step, how sure the network was, and a page that shows it."""

import json
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from torch import Tensor

from isobyte.files import write_atomic
from isobyte.representation import Representation

SHADES = (0.1, 0.3, 0.6, 0.9)
"""Probabilities from which a symbol is coloured one shade surer."""

_LISTED = 12
"""Symbols of a step that its row of the table spells out."""


@dataclass
class TraceStep:
    """What one step revealed, (place, label, probability) each, and which places it hid again."""

    revealed: list[tuple[int, str, float]] = field(default_factory=list)
    hidden: list[int] = field(default_factory=list)


class Trace:
    """A `Watch` of the first window. Steps that change nothing are left out."""

    def __init__(self, given_T: Tensor, representation: Representation, vocab: int) -> None:
        self.labels = labels(representation)
        self.given = [self.labels[symbol] if symbol < vocab else None for symbol in given_T.tolist()]
        self.steps: list[TraceStep] = []
        self._number = 0

    def reveal(self, step: int, rows: Tensor, places: Tensor, symbols: Tensor, sure: Tensor) -> None:
        first = rows == 0
        found = zip(places[first].tolist(), symbols[first].tolist(), sure[first].tolist(), strict=True)
        if new := [(place, self.labels[symbol], round(p, 4)) for place, symbol, p in found]:
            self._at(step).revealed += new

    def hide(self, step: int, hidden_WT: Tensor) -> None:
        if places := hidden_WT[0].nonzero().flatten().tolist():
            self._at(step).hidden += places

    def _at(self, step: int) -> TraceStep:
        if not self.steps or step == 0 or step != self._number:
            self.steps.append(TraceStep())
            self._number = step
        return self.steps[-1]

    def final(self) -> list[tuple[str | None, float | None]]:
        """[T] (label, probability) at the end; None where it is hidden, or was given."""
        cells: list[tuple[str | None, float | None]] = [(given, None) for given in self.given]
        for step in self.steps:
            for place, text, sure in step.revealed:
                cells[place] = text, sure
            for place in step.hidden:
                cells[place] = None, None
        return cells


def labels(representation: Representation) -> list[str]:
    """Text that shows each symbol [vocab_size]: what it stands for, or the digit that it is."""
    if representation.digits_per_byte > 1:
        return [f"{digit:X}" for digit in range(representation.vocab_size)]
    return [label(representation.decode([symbol])) for symbol in range(representation.vocab_size)]


def label(symbol: bytes) -> str:
    """Text that shows a symbol: itself where it prints, an arrow before a line break, bytes such as \\xC3 where not."""
    try:
        text = symbol.decode()
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02X}" for byte in symbol)
    shown = (c if c.isprintable() else "↵\n" if c == "\n" else "".join(f"\\x{b:02X}" for b in c.encode()) for c in text)
    return "".join(shown)


def render(trace: Trace, path: Path, facts: dict[str, str], text: str) -> None:
    """One self-contained page: the steps on a slider, and without JavaScript the end and a table of the steps.

    `facts` are names and values for its head, `text` the decoded window.
    """
    data = {
        "given": trace.given,
        "steps": [{"r": step.revealed, "h": step.hidden} for step in trace.steps],
        "shades": SHADES,
    }
    page = Template(asset("trace.html")).substitute(
        style=asset("trace.css"),
        script=asset("trace_player.js") + asset("trace.js"),
        title=escape(facts.get("run", "sample")),
        facts="".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items()),
        cells="".join(_cell(text, sure) for text, sure in trace.final()),
        rows=_rows(trace),
        text=escape(text),
        data=json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    )
    write_atomic(path, page)


def asset(name: str) -> str:
    """A file that pages are made of."""
    return files("isobyte.decode").joinpath(name).read_text(encoding="utf-8")


def shade(sure: float) -> int:
    """0 to 4: how sure, as a colour."""
    return sum(sure >= least for least in SHADES)


def _cell(text: str | None, sure: float | None) -> str:
    if text is None:
        return '<span class="open">·</span>'
    if sure is None:
        return f'<span class="given">{escape(text)}</span>'
    return f'<span class="s{shade(sure)}" title="{sure:.1%}">{escape(text)}</span>'


def _rows(trace: Trace) -> str:
    hidden = trace.given.count(None)
    rows = []
    for number, step in enumerate(trace.steps, 1):
        hidden += len(step.hidden) - len(step.revealed)
        shown = "".join(_cell(text, sure) for _, text, sure in sorted(step.revealed)[:_LISTED])
        more = len(step.revealed) - _LISTED
        shown += f" <small>and {more:,} more</small>" if more > 0 else ""
        mean = sum(sure for _, _, sure in step.revealed) / max(len(step.revealed), 1)
        numbers = (len(step.revealed), f"{mean:.0%}" if step.revealed else "", len(step.hidden) or "", hidden)
        cells = "".join(f'<td class="n">{value}</td>' for value in numbers)
        rows.append(f'<tr><th scope="row" class="n">{number}</th>{cells}<td class="shown">{shown}</td></tr>')
    return "\n".join(rows)
