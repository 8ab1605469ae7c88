"""A text with its patches: on a terminal, as plain text, and as a page."""

from collections.abc import Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from isobyte.evaluate.patches import Patched
from isobyte.files import write_atomic

LONGEST = 24
"""Histograms put what is longer into one row."""


def pieces(patch: bytes) -> Iterator[tuple[str, bool]]:
    """What shows a patch: text, and bytes that are no character of their own as hexadecimal digits (True)."""
    for character in patch.decode("utf-8", "surrogateescape"):
        if "\udc80" <= character <= "\udcff":
            yield f"{ord(character) - 0xDC00:02X}", True
        elif character == "\n" or character.isprintable():
            yield character, False
        else:
            for byte in character.encode():
                yield f"{byte:02X}", True


def spelt(patch: bytes, newline: str = "\n") -> str:
    """As plain text: bytes that show nothing are written \\xC3."""
    return "".join(rf"\x{shown}" if raw else shown.replace("\n", newline) for shown, raw in pieces(patch))


def histogram_rows(patched: Patched) -> list[tuple[str, int, float]]:
    """(length in bytes, patches, share of the commonest) for every length up to `LONGEST`, then all that is longer."""
    found = patched.statistics.histogram
    longest = max(found)
    rows = [(str(length), found.get(length, 0)) for length in range(1, min(longest, LONGEST) + 1)]
    if longest > LONGEST:
        rows.append((f"{LONGEST + 1}+", sum(count for length, count in found.items() if length > LONGEST)))
    most = max(count for _, count in rows)
    return [(length, count, count / most) for length, count in rows]


def write_page(patched: Patched, path: Path, facts: dict[str, str], note: str | None = None) -> None:
    """One self-contained page without scripts; `facts` are names and values for its head, `note` a warning."""
    template = files("isobyte.evaluate").joinpath("patches.html").read_text(encoding="utf-8")
    page = Template(template).substitute(
        title=escape(facts.get("text", "patches")),
        facts="".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items()),
        note=f'<p class="warning">{escape(note)}</p>' if note else "",
        patches="".join(_patch(patched, *patch, odd=bool(i % 2)) for i, patch in enumerate(patched.patches())),
        hover="entropies in nats" if patched.entropy is not None else "length",
        rows="\n".join(
            f'<tr><th scope="row">{length}</th><td class="n">{count:,}</td>'
            f'<td class="bar"><div style="width:{100 * share:.2f}%"></div></td></tr>'
            for length, count, share in histogram_rows(patched)
        ),
    )
    write_atomic(path, page)


def _patch(patched: Patched, start: int, stop: int, *, odd: bool) -> str:
    bytes_ = "byte" if stop - start == 1 else "bytes"
    told = f"{bytes_} {start}" + (f"–{stop - 1} ({stop - start})" if stop - start > 1 else "")
    if patched.entropy is not None:
        nats = patched.entropy[start : min(stop, start + LONGEST)]
        told += "\n" + "\n".join(
            f"{start + place}: {spelt(patched.text[start + place : start + place + 1], '↵')}  {value:.3f}"
            for place, value in enumerate(nats)
        )
        told += "\n…" if stop - start > LONGEST else ""
    shown = "".join(
        f'<b class="hex">{text}</b>' if raw else escape(text.replace("\n", "↵\n"))
        for text, raw in pieces(patched.text[start:stop])
    )
    return f'<span class="{"odd" if odd else "even"}" title="{escape(told)}">{shown}</span>'
