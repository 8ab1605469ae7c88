"""Small pieces of HTML; everything that comes from outside is escaped here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from isobyte.study import words

LARGE = 1e6
"""Settings from here on are written as powers of ten."""

LONGEST = 160
"""Characters of a setting that are shown."""


@dataclass(frozen=True)
class Cell:
    """A table cell: its text (or ready-made `html`), and the number that it sorts by."""

    text: str = ""
    sort: float | None = None
    html: str | None = None


def stacked(value: str, interval: str, sort: float | None = None) -> Cell:
    """A number with its interval under it."""
    below = f'<br><span class="ends">{escape(interval)}</span>' if interval else ""
    return Cell(sort=sort, html=escape(value) + below)


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Cell]], *, caption: str, sortable: bool = False) -> str:
    """A table in a box of its own that scrolls sideways where the screen is narrow; empty without rows.

    The first column heads its row. Columns of numbers are aligned to the right, with their headings.
    """
    filled = [[Cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    if not filled:
        return ""
    numeric = [any(row[k].sort is not None for row in filled) for k in range(len(columns))]
    button = '<button type="button">{}</button>' if sortable else "{}"
    head = "".join(
        f'<th scope="col"{_aligned(right)}>{button.format(escape(name))}</th>'
        for name, right in zip(columns, numeric, strict=True)
    )
    body = "\n".join(f"<tr>{_cells(row, numeric)}</tr>" for row in filled)
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="table"><p class="caption">{escape(caption)}</p><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(caption)}"><table{kind}><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div></div>'
    )


def _cells(row: list[Cell], numeric: list[bool]) -> str:
    found = []
    for k, (cell, right) in enumerate(zip(row, numeric, strict=True)):
        tag, scope = ("td", "") if k else ("th", ' scope="row"')
        order = "" if cell.sort is None else f' data-sort="{cell.sort:.9g}"'
        content = escape(cell.text) if cell.html is None else cell.html
        found.append(f"<{tag}{scope}{_aligned(right)}{order}>{content}</{tag}>")
    return "".join(found)


def _aligned(right: bool) -> str:
    return ' class="n"' if right else ""


def section(key: str, title: str, *parts: str) -> str:
    """A titled part of the page, with an anchor; nothing if it has no content."""
    content = "\n".join(part for part in parts if part)
    return f'<section id="{key}"><h2>{escape(title)}</h2>\n{content}\n</section>' if content else ""


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def link(path: str, text: str) -> str:
    """A relative link."""
    return f'<a href="{quote(path)}">{escape(text)}</a>'


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values, one pair a line."""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{rows}</dl>' if rows else ""


def flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted names and texts; what is unset is left out."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for name, part in value.items():
            found |= flatten(part, f"{prefix}.{name}" if prefix else str(name))
        return found
    if isinstance(value, list | tuple):
        if any(isinstance(part, dict) for part in value):
            return flatten({str(k): part for k, part in enumerate(value)}, prefix)
        return {prefix: _text(", ".join(_text(part) for part in value))}
    return {} if value is None else {prefix: _text(value)}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return words.compact(value) if abs(value) >= LARGE else f"{value:.6g}"
    text = str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
