"""A page that shows how a text of a Byte Latent Transformer came to be: frame by frame, with what was thrown away."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Literal

from isobyte.backbone.byte_ids import BOS, EOS, OFFSET
from isobyte.decode.blt_trace import Cell, Story, Turn
from isobyte.decode.trace import asset, label, shade
from isobyte.files import write_atomic

Kind = Literal["given", "bar", "exact", "kept", "corrected", "free", "refused", "late"]
"""What became of a byte: `exact` came from an exact pass that judged nothing, `corrected` in the place of a refused
draft, `free` after drafts that were all kept; `late` is what a draft says after its refused byte, or its end. A `bar`
stands where a patch opens."""

LOST = ("refused", "late")

_NAMES = {BOS: "⟨BOS⟩", EOS: "⟨EOS⟩"}


@dataclass(frozen=True)
class Item:
    """One byte of the page, in the order of the text; what was thrown away stands before what came in its place.

    From frame `opened` on it is a hidden cell, from `filled` on its byte can be seen, from `settled` on its fate.
    """

    kind: Kind
    label: str
    sure: float
    opened: int
    filled: int
    settled: int
    title: str = ""


@dataclass
class Frames:
    """The page's content: what each frame tells, of which turn it is, and the items."""

    told: list[tuple[int, str]] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)


def frames(story: Story) -> Frames:
    """Frame 0 is the prompt; each exact byte, each step of a block and each verdict is one more."""
    return _Teller(story).tell()


class _Teller:
    """A story on its way into frames."""

    def __init__(self, story: Story) -> None:
        self.story, self.page = story, Frames()
        self.text = [*story.prompt, *story.ids]
        self.place = len(story.prompt)
        """Of the byte that is settled next."""
        self.barred = False
        """Whether the patch that opens with it, if one does, is shown already."""
        self.settled = 0
        """The frame that settled the byte before."""

    def tell(self) -> Frames:
        for place, each in enumerate(self.story.prompt):
            if each != BOS:
                self.page.items += [Item("bar", "", 1.0, 0, 0, 0)] if self.story.opens[place] else []
                self.page.items.append(Item("given", name(each), 1.0, 0, 0, 0, f"byte {place}: given"))
        for number, turn in enumerate(self.story.turns):
            self.turn(number, turn)
        return self.page

    def turn(self, number: int, turn: Turn) -> None:
        for _ in range(turn.exact):
            frame = self.frame(number, f"byte {self.place} by an exact pass")
            self.settle("exact", frame)
        first, steps = len(self.page.told) + 1, 1 + max((cell.step for cell in turn.cells), default=-1)
        for step in range(steps):
            new, hidden = (sum(f(c.step, step) for c in turn.cells) for f in (int.__eq__, int.__gt__))
            self.frame(number, f"round {number + 1}, step {step + 1}: fills {_count(new, 'cell')}, {hidden} left")
        if not turn.cells and turn.judged is None:
            return
        frame = self.frame(number, f"round {number + 1}: {verdict(turn)}")
        for nth, cell in enumerate(turn.cells):
            times = (first, first + cell.step, frame)
            how = f"round {number + 1}, step {cell.step + 1}: {cell.sure:.1%}"
            if nth < turn.kept:
                self.settle("kept", *times, sure=cell.sure, how=how)
            else:
                self.lose(cell, "refused" if _refused(turn, nth) else "late", *times, how)
        if turn.after:
            self.settle("corrected" if turn.kept < (turn.judged or 0) else "free", frame)

    def frame(self, number: int, told: str) -> int:
        self.page.told.append((number, told))
        return len(self.page.told)

    def settle(self, kind: Kind, *times: int, sure: float | None = None, how: str = "") -> None:
        """The next byte of the text; `times` as in `Item`, or one for all."""
        self.bar()
        exact = self.story.sure[self.place]
        told = f"byte {self.place}: {kind}\n" + (f"{how}\n" if how else "") + f"plainly decoded: {exact:.1%}"
        opened, filled, settled = times if len(times) == 3 else times * 3
        each = name(self.text[self.place])
        self.page.items.append(Item(kind, each, exact if sure is None else sure, opened, filled, settled, told))
        self.place, self.barred, self.settled = self.place + 1, False, settled

    def lose(self, cell: Cell, kind: Kind, opened: int, filled: int, settled: int, how: str) -> None:
        self.bar()
        shown = name(cell.id).replace("\n", "")  # one arrow is enough for a line that never breaks
        told = f"byte {cell.place}: {'refused' if kind == 'refused' else 'thrown away'}\n{how}"
        self.page.items.append(Item(kind, shown, cell.sure, opened, filled, settled, told))

    def bar(self) -> None:
        if not self.barred and self.place < len(self.text) and self.story.opens[self.place]:
            self.page.items.append(Item("bar", "", 1.0, self.settled, self.settled, self.settled))
        self.barred = True


def name(each: int) -> str:
    """Text that shows an id."""
    return label(bytes([each - OFFSET])) if each >= OFFSET else _NAMES.get(each, f"⟨{each}⟩")


def verdict(turn: Turn) -> str:
    """What became of a round's cells, in words."""
    if turn.judged is None:
        cut = len(turn.cells) - turn.kept
        return f"{_count(turn.kept, 'byte')} kept" + (f", {cut} thrown away" if cut else "")
    if not turn.judged:
        return "nothing drafted" + (", a byte by the exact pass alone" if turn.after else "")
    if turn.kept == turn.judged:
        return f"all of {_count(turn.judged, 'draft')} kept" + (", a free byte after" if turn.after else "")
    late = turn.judged - turn.kept - 1
    kept = f"{turn.kept} of {_count(turn.judged, 'draft')} kept, the next" if turn.kept else "the first draft"
    return f"{kept} refused and replaced" + (f", {late} after it thrown away" if late else "")


def write_page(story: Story, path: Path, facts: dict[str, str], text: str) -> None:
    """One self-contained page: frames on a slider, and without JavaScript the end and a table of the rounds.

    `facts` are names and values for its head, `text` is the whole text.
    """
    page = frames(story)
    data = {
        "frames": page.told,
        "items": [(item.opened, item.filled, item.settled, item.kind, f"s{shade(item.sure)}") for item in page.items],
    }
    drafted = any(turn.cells or turn.judged is not None for turn in story.turns)
    filled = Template(asset("blt_trace.html")).substitute(
        style=asset("trace.css") + asset("blt_trace.css"),
        script=asset("trace_player.js") + asset("blt_trace.js"),
        kind="drafted" if drafted else "plain",
        title=escape(facts.get("run", "sample")),
        facts="".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items()),
        items="".join(_span(item) for item in page.items),
        rows="\n".join(_rows(story, page)) if drafted else "",
        text=escape(text),
        data=json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    )
    write_atomic(path, filled)


def _rows(story: Story, page: Frames) -> Iterator[str]:
    """Of the table, a turn each."""
    place = len(story.prompt)
    groups: list[list[Item]] = [[] for _ in story.turns]
    for item in page.items:
        if item.settled and item.kind != "bar":
            groups[page.told[item.settled - 1][0]].append(item)
    for number, (turn, items) in enumerate(zip(story.turns, groups, strict=True)):
        steps = 1 + max((cell.step for cell in turn.cells), default=-1)
        numbers = (place, steps or "", len(turn.cells) or "", turn.kept if turn.cells else "")
        cells = "".join(f'<td class="n">{value}</td>' for value in numbers)
        shown = "".join(
            _span(item, None if item.filled == item.settled else item.filled - item.opened) for item in items
        )
        yield f'<tr><th scope="row" class="n">{number + 1}</th>{cells}<td class="shown">{shown}</td></tr>'
        place += turn.exact + turn.kept + turn.after


def _span(item: Item, step: int | None = None) -> str:
    if item.kind == "bar":
        return '<span class="bar"></span>'
    style = item.kind if item.kind in ("given", *LOST) else f"s{shade(item.sure)} {item.kind}"
    title = f' title="{escape(item.title)}"' if item.title else ""
    number = "" if step is None else f"<sub>{step + 1}</sub>"
    return f'<span class="{style}"{title}>{escape(item.label)}{number}</span>'


def _refused(turn: Turn, nth: int) -> bool:
    return turn.judged is not None and nth == turn.kept < turn.judged


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
