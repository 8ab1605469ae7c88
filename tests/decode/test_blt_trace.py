"""Traces of a Byte Latent Transformer: what they keep, that frames add up to the text, and the page."""

import json
import re
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from blt_models import blt, entropy_patching, texts
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.byte_ids import BOS, EOS
from isobyte.decode.blt import Generated, generate
from isobyte.decode.blt_methods import Asked
from isobyte.decode.blt_settings import Settings
from isobyte.decode.blt_trace import BlockTrace, Cell, Story, Turn, story, turns
from isobyte.decode.blt_trace_page import LOST, Item, frames, name, write_page

LENGTH = 33
PROMPT = texts(1, 9, seed=3)[0].tolist()
WAYS = {
    "blt": Asked(),
    "blt_s": Asked(draft=4),
    "blt_s-at_boundary": Asked(draft=3, refresh="at_boundary"),
    "blt_s-always": Asked(draft=5, refresh="always"),
    "blt_d": Asked("blt_d", alpha=0.1),
    "blt_d-entropy": Asked("blt_d", fill="entropy", gamma=3.0),
    "blt_d-cut": Asked("blt_d", align="cut"),
    "blt_d-resume": Asked("blt_d", align="resume", fill="entropy-max"),
    "blt_dv": Asked("blt_dv"),
    "blt_dv-resume": Asked("blt_dv", fill="confidence", align="resume"),
    "blt_dv-at_boundary": Asked("blt_dv", refresh="at_boundary", align="resume"),
    "blt_dv-always": Asked("blt_dv", fill="entropy", refresh="always"),
}


@cache
def model() -> BltModel:
    return blt(entropy_patching(), cells=True, sharp=2.0)


def settings(way: str, temperature: float = 0.8, **other: object) -> Settings:
    common = Settings(LENGTH, seed=5, temperature=temperature, **other)  # type: ignore[arg-type]
    return WAYS[way].settings(common, 4)


@cache
def told(way: str) -> tuple[Generated, Story]:
    """Of the first of two texts of different lengths."""
    trace = BlockTrace()
    done = generate(model(), [PROMPT, PROMPT[:4]], settings(way), watch=trace)
    return done, story(trace, model(), PROMPT, done.ids[0])


@pytest.mark.parametrize("way", WAYS)
def test_every_frame_settles_more_of_the_text_and_the_last_all(way: str) -> None:
    done, found = told(way)
    page, whole = frames(found), [name(each) for each in [*PROMPT[1:], *done.ids[0]]]
    seen = [settled_by(page.items, frame) for frame in range(len(page.told) + 1)]
    assert seen[0] == whole[: len(PROMPT) - 1]
    assert seen[-1] == whole
    assert all(whole[: len(each)] == each for each in seen)
    assert all(len(a) <= len(b) for a, b in pairwise(seen))
    assert all(0 <= item.opened <= item.filled <= item.settled <= len(page.told) for item in page.items)


def settled_by(items: list[Item], frame: int) -> list[str]:
    return [item.label for item in items if item.settled <= frame and item.kind not in ("bar", *LOST)]


@pytest.mark.parametrize("way", WAYS)
def test_turns_count_what_generating_counted(way: str) -> None:
    done, found = told(way)
    assert sum(turn.exact + turn.kept + turn.after for turn in found.turns) == LENGTH
    rounds = [turn for turn in found.turns if turn.cells or turn.judged is not None]
    method = way.split("-")[0]
    if method == "blt":
        assert rounds == []
        assert found.turns == [Turn(LENGTH, [], 0, None, False)]
        return
    exact = sum(turn.exact for turn in found.turns) - 1  # the first byte comes with the prompt
    if method == "blt_d":
        assert exact == 0
        assert len(rounds) == done.rounds[0]
        assert all(len({cell.place for cell in turn.cells}) == len(turn.cells) <= 4 for turn in rounds)
        return
    judged, kept = sum(turn.judged or 0 for turn in rounds), sum(turn.kept for turn in rounds)
    if settings(way).refresh == "never":
        assert exact == 0
        assert (len(rounds), judged, kept) == (done.rounds[0], done.drafted[0], done.accepted[0])
    else:
        # an exact byte counts as a draft but at the very end
        assert done.drafted[0] - judged == done.accepted[0] - kept
        assert exact - 1 <= done.accepted[0] - kept <= exact


@pytest.mark.parametrize("way", [way for way in WAYS if way.startswith(("blt_s", "blt_dv"))])
def test_greedy_drafts_are_refused_where_plain_decoding_differs(way: str) -> None:
    trace = BlockTrace()
    done = generate(model(), [PROMPT], settings(way, temperature=0), watch=trace)
    found = story(trace, model(), PROMPT, done.ids[0])
    whole = [*PROMPT, *generate(model(), [PROMPT], settings("blt", temperature=0)).ids[0]]
    for turn in found.turns:
        said = [cell.id == whole[cell.place] for cell in turn.cells[: turn.judged]]
        assert turn.kept == (said.index(False) if False in said else len(said))


def test_drafts_come_with_the_probability_that_they_were_drawn_with() -> None:
    """Of self-speculation after an exact pass: the first draft reads the newest latent, as plain decoding does where
    no patch opens."""
    _, found = told("blt_s-always")
    first = [turn.cells[0] for turn in found.turns if turn.cells and not found.opens[turn.cells[0].place]]
    kept = [cell for cell in first if ([*found.prompt, *found.ids])[cell.place] == cell.id]
    assert len(kept) > 2
    assert [cell.sure for cell in kept] == pytest.approx([found.sure[cell.place] for cell in kept], rel=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("every_id", [False, True])
def test_what_came_undrafted_has_the_probability_of_plain_decoding(every_id: bool) -> None:
    trace, ids = BlockTrace(), "all" if every_id else "bytes"
    done = generate(model(), [PROMPT], settings("blt", ids=ids), watch=trace)
    found = story(trace, model(), PROMPT, done.ids[0], every_id=every_id)
    whole = [*PROMPT, *done.ids[0]]
    for place in (1, len(PROMPT), len(whole) - 1):
        logits_D = model().id_logits(model().hidden(torch.tensor([whole[:place]]))[0, -1])
        if not every_id:
            logits_D[:4] = -torch.inf
        assert found.sure[place] == pytest.approx(float(logits_D.softmax(-1)[whole[place]]), rel=1e-4)


def test_patches_open_before_what_was_thrown_away_in_their_first_place() -> None:
    _, found = told("blt_dv")
    items = frames(found).items
    assert sum(item.kind == "bar" for item in items) == sum(found.opens[1:])
    place = 1
    for before, item in pairwise([Item("late", "", 0, 0, 0, 0), *items]):
        if item.kind == "bar":
            assert found.opens[place]
            assert before.kind not in LOST or place == 1
        elif item.kind not in LOST:
            place += 1


def block(trace: BlockTrace, place: int, text: str) -> None:
    """Filled from its end."""
    for step, (nth, each) in enumerate(reversed(list(enumerate(text)))):
        trace.filled(step, [(place + nth, ord(each) + 4, 0.5)])


def test_blocks_are_kept_up_to_where_the_next_begins() -> None:
    trace = BlockTrace()
    for place, text in ((5, "abc"), (7, "def"), (10, "ghi")):
        block(trace, place, text)
    first, second, third = turns(trace.rounds, 4, 12)
    assert [cell.step for cell in first.cells] == [2, 1, 0]
    assert [(t.exact, t.kept, t.judged, t.after) for t in (first, second, third)] == [
        (1, 2, None, False), (0, 3, None, False), (0, 2, None, False)
    ]  # fmt: skip


def test_no_draft_is_refused_that_comes_after_the_end() -> None:
    trace = BlockTrace()
    block(trace, 4, "abc")
    trace.judged(4, [1, 2, 3], 1, 9)
    trace.judged(6, [], 0, 9)
    block(trace, 8, "abc")
    trace.judged(8, [1, 2], 2, 9)
    found = turns(trace.rounds, 4, 9)
    assert [(t.exact, t.kept, t.judged, t.after) for t in found] == [
        (0, 1, 3, True), (0, 0, 0, True), (1, 1, 1, False)
    ]  # fmt: skip


def small() -> Story:
    """'a' is given; '<' and a line break are drafted before a refused \\xC3; then an end of sequence comes free."""
    cells = [
        Cell(2, ord("<") + 4, 0.95, 0),
        Cell(3, 10 + 4, 0.2, 1),
        Cell(4, 0xC3 + 4, 0.05, 0),
        Cell(5, 10 + 4, 0.5, 2),
    ]
    ids = [*(each + 4 for each in b"<\nb"), EOS]
    opens = [True, True, False, True, True, False]
    turn, last = Turn(0, cells, 2, 4, True), Turn(0, [], 0, 0, True)
    return Story([BOS, ord("a") + 4], ids, opens, [1.0, 1.0, 0.9, 0.3, 0.7, 0.4], [turn, last])


def test_the_small_story_frame_by_frame() -> None:
    page = frames(small())
    assert [told for _, told in page.told] == [
        "round 1, step 1: fills 2 cells, 2 left",
        "round 1, step 2: fills 1 cell, 1 left",
        "round 1, step 3: fills 1 cell, 0 left",
        "round 1: 2 of 4 drafts kept, the next refused and replaced, 1 after it thrown away",
        "round 2: nothing drafted, a byte by the exact pass alone",
    ]
    assert [(item.kind, item.label, item.opened, item.filled, item.settled) for item in page.items] == [
        ("bar", "", 0, 0, 0),
        ("given", "a", 0, 0, 0),
        ("kept", "<", 1, 1, 4),
        ("bar", "", 4, 4, 4),
        ("kept", "↵\n", 1, 2, 4),
        ("bar", "", 4, 4, 4),
        ("refused", "\\xC3", 1, 1, 4),
        ("late", "↵", 1, 3, 4),
        ("corrected", "b", 4, 4, 4),
        ("free", "⟨EOS⟩", 5, 5, 5),
    ]


def test_cells_that_nobody_judged_were_not_refused() -> None:
    """The block went on beyond the bytes that were left."""
    cells = [Cell(2 + nth, ord(each) + 4, 0.5, 0) for nth, each in enumerate("bcde")]
    opens, sure = [True, True, *[False] * 3], [1.0] * 5
    end = Story([BOS, ord("a") + 4], [each + 4 for each in b"bcx"], opens, sure, [Turn(0, cells, 2, 2, True)])
    page = frames(end)
    assert [item.kind for item in page.items if item.kind != "bar"] == ["given", "kept", "kept", "late", "late", "free"]
    assert page.told[-1] == (0, "round 1: all of 2 drafts kept, a free byte after")


class Window(HTMLParser):
    """The spans of the window: [class, text]."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.spans = False, []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "div":
            self.inside = dict(attrs).get("id") == "window"
        elif self.inside:
            self.spans.append([dict(attrs)["class"], ""])

    def handle_endtag(self, tag: str) -> None:
        self.inside &= tag != "div"

    def handle_data(self, data: str) -> None:
        if self.inside and self.spans:
            self.spans[-1][1] += data


@pytest.mark.parametrize("way", ["small", "blt", "blt_s", "blt_d-cut", "blt_dv"])
def test_the_page_shows_the_text_without_scripts_and_with(way: str, tmp_path: Path) -> None:
    found = small() if way == "small" else told(way)[1]
    write_page(found, tmp_path / "t.html", {"run": "r"}, "text")
    page = (tmp_path / "t.html").read_text()
    window = Window()
    window.feed(page)
    items = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])["items"]  # type: ignore[index]
    assert len(window.spans) == len(items)
    kept = [text for (_, text), (*_, kind, _) in zip(window.spans, items, strict=True) if kind not in LOST]
    assert "".join(kept) == "".join(name(each) for each in [*found.prompt[1:], *found.ids])
    for (style, _), (*_, kind, _) in zip(window.spans, items, strict=True):
        assert style.split()[-1] == kind
    rows = re.search(r"<tbody>(.*?)</tbody>", page, re.DOTALL)[1].count("<tr>")  # type: ignore[index]
    assert rows == (0 if way == "blt" else len(found.turns))
    assert ('class="plain"' in page) == (way == "blt")


def test_the_page_is_whole_and_escaped(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    write_page(small(), tmp_path / "t.html", {"run": evil}, evil)
    page = (tmp_path / "t.html").read_text()
    assert "alert(1)</script>" not in page
    assert page.count("<script") == 2
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    body = re.search(r"<tbody>(.*?)</tbody>", page, re.DOTALL)[1]  # type: ignore[index]
    found = [re.findall(r'<td class="n">(.*?)</td>', row) for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)]
    assert found == [["2", "3", "4", "2"], ["5", "", "", ""]]
    assert '<span class="refused" title="byte 4: refused\nround 1, step 1: 5.0%">\\xC3<sub>1</sub></span>' in body
