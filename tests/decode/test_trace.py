"""Traces: what they keep, and the page."""

import json
import re
from pathlib import Path

import pytest
import torch

from isobyte.decode.trace import Trace, label, labels, render
from isobyte.representation.bytes_ import Bytes
from isobyte.representation.digits import ByteDigits

GIVEN = torch.tensor([ord("a"), 256, 256, 256])


def traced() -> Trace:
    """'<' and an é's first byte, which is then hidden again, then the rest."""
    trace, row = Trace(GIVEN, Bytes(), 256), torch.tensor([0, 0, 1])
    trace.reveal(1, row, torch.tensor([1, 2, 1]), torch.tensor([ord("<"), 0xC3, 7]), torch.tensor([0.95, 0.05, 1.0]))
    trace.hide(1, torch.tensor([[0, 0, 1, 0], [1, 1, 1, 1]]).bool())
    trace.hide(2, torch.zeros(2, 4).bool())
    trace.reveal(3, torch.tensor([0, 0]), torch.tensor([2, 3]), torch.tensor([10, 32]), torch.tensor([0.5, 0.25]))
    return trace


def test_the_first_window_step_by_step() -> None:
    trace = traced()
    assert [step.revealed for step in trace.steps] == [
        [(1, "<", pytest.approx(0.95)), (2, "\\xC3", pytest.approx(0.05))],
        [(2, "↵\n", 0.5), (3, " ", 0.25)],
    ]
    assert [step.hidden for step in trace.steps] == [[2], []]
    assert [text for text, _ in trace.final()] == ["a", "<", "↵\n", " "]


def test_steps_of_a_walk_that_numbers_none_stay_apart() -> None:
    trace, one = Trace(GIVEN, Bytes(), 256), torch.tensor([0])
    for place in (1, 2, 3):
        trace.reveal(0, one, torch.tensor([place]), torch.tensor([65]), torch.tensor([0.5]))
    assert len(trace.steps) == 3


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [(b"a", "a"), (b" the", " the"), ("é".encode(), "é"), (b"\xc3", "\\xC3"), (b"\x1b[", "\\x1B["), (b"\n", "↵\n")],
)
def test_labels_show_every_byte(symbol: bytes, shown: str) -> None:
    assert label(symbol) == shown


def test_digits_show_as_themselves() -> None:
    assert labels(ByteDigits(2)) == ["0", "1"]
    assert labels(ByteDigits(16))[9:12] == ["9", "A", "B"]
    assert labels(Bytes())[97] == "a"


def test_the_page_is_whole_escaped_and_readable_without_scripts(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    render(traced(), tmp_path / "t.html", {"run": evil, "NFE": "3"}, evil)
    page = (tmp_path / "t.html").read_text()
    assert "alert(1)</script>" not in page
    assert page.count("<script") == 2
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])  # type: ignore[index]
    assert data["given"] == ["a", None, None, None]
    assert [step["h"] for step in data["steps"]] == [[2], []]
    assert data["steps"][0]["r"][0] == [1, "<", 0.95]
    window = re.search(r'id="window">(.*?)</div>', page, re.DOTALL)[1]  # type: ignore[index]
    assert '<span class="given">a</span><span class="s4" title="95.0%">&lt;</span>' in window
    body = re.search(r"<tbody>(.*?)</tbody>", page, re.DOTALL)[1]  # type: ignore[index]
    found = [re.findall(r'<td class="n">(.*?)</td>', row) for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)]
    assert found == [["2", "50%", "1", "2"], ["2", "38%", "", "0"]]
