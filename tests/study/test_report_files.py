"""What a report's folder holds: the page, the numbers, the table and the pictures."""

import csv
import json
import re
import struct
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from simulated_study import simulate

from isobyte.study.analyse import analyse
from isobyte.study.report import runs_csv, write_report
from isobyte.study.report.records import SHOWN, choose

HOSTILE = "</script><script>alert(1)</script><img src=http://example.org/x.png>"


@pytest.fixture(scope="module")
def rows():
    return simulate(conventions=("exact", "6N"))[1]


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    study, _ = simulate()
    study |= {"name": HOSTILE, "machine": {"cpu": HOSTILE}}
    rows = [dict(rows[0], state="failed", error=HOSTILE, bpb=None), *rows[1:]]
    out = tmp_path_factory.mktemp("study") / "report"
    write_report(analyse(study, rows, bootstrap=30), rows, out, study_folder=out.parent)
    return out


class Page(HTMLParser):
    """Tags with their attributes, and all text outside scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open, self.style, self.data = [], [], [], "", {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tag, attrs = self.open[-1] if self.open else ("", {})
        if tag == "style":
            self.style += data
        elif tag == "script":
            self.data[attrs.get("id")] = data
        else:
            self.text.append(data)


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text())


def test_every_tag_is_closed(page):
    assert page.open == []


def test_nothing_is_loaded_from_elsewhere(page):
    links = [
        value
        for _, attrs in page.tags
        for name, value in attrs.items()
        if name in ("src", "href", "srcset", "data", "poster", "action", "xlink:href")
    ]
    assert len(links) > 100
    assert not [link for link in links if re.match(r"\s*(?!data:)([a-z][a-z0-9+.-]*:|//)", link, re.I)]
    assert "@import" not in page.style
    assert "url(" not in page.style


def test_what_comes_from_outside_is_escaped(page):
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert HOSTILE in "".join(page.text)
    assert "<script" not in page.data["charts"]


def test_the_page_has_one_title_ordered_headings_and_a_name_for_every_plot(page):
    headings = [tag for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings.count("h1") == 1
    assert headings[0] == "h1"
    plots = [attrs for tag, attrs in page.tags if "plot" in (attrs.get("class") or "").split()]
    assert len(plots) == 9
    assert all(len(attrs["aria-label"]) > 40 and attrs["role"] == "img" for attrs in plots)
    assert set(json.loads(page.data["charts"])) == {attrs["id"] for attrs in plots}
    identifiers = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(set(identifiers)) == len(identifiers)


def test_links_inside_the_page_and_to_the_runs_lead_somewhere(page, folder, rows):
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    anchors = {attrs.get("id") for _, attrs in page.tags}
    assert all(link[1:] in anchors for link in links if link.startswith("#"))
    files = {link for link in links if not link.startswith(("#", "../"))}
    assert files == {"runs.csv", "report.json", "isoflop.png", "envelope.png", "gap.png", "optimal.png"}
    assert all((folder / name).is_file() for name in files)
    folders = {unquote(link) for link in links if link.startswith("../")}
    assert folders == {f"../{row['folder']}/" for row in rows}


def test_the_numbers_are_on_the_page(page, folder):
    text = " ".join(" ".join(page.text).split())
    found = json.loads((folder / "report.json").read_text())
    for comparison in found["comparisons"]:
        assert comparison["summary"]["value"] in text
        assert comparison["summary"]["interval"] in text
        assert comparison["summary"]["parity"] in text
    for warning in found["warnings"]:
        assert warning["text"] in text


def test_the_csv_has_every_run_and_value(rows):
    read = list(csv.DictReader(runs_csv(rows).splitlines()))
    assert len(read) == len(rows)
    for line, row in zip(read, rows, strict=True):
        for key in ("bpb", "flops", "N", "data_bytes"):
            assert float(line[key]) == row[key]
        assert line["design"] == row["design"]
        assert float(line["breakdown.attention"]) == row["breakdown"]["attention"]
        assert float(line["flops_by_convention.6N"]) == row["flops_by_convention"]["6N"]
        assert line["error"] == ""


def test_pictures_are_pngs_of_a_fair_size(folder):
    for name in ("isoflop", "envelope", "gap", "optimal"):
        data = (folder / f"{name}.png").read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", data[16:24])
        assert width > 1000
        assert height > 600


def test_writing_again_gives_the_same_bytes(rows, tmp_path):
    study, _ = simulate()
    for name in ("one", "two"):
        write_report(analyse(study, rows, bootstrap=20), rows, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_very_many_runs_are_cut_to_the_best_and_the_failed():
    many = [
        {"design": f"d{k % 4}", "budget": float(k % 5), "bpb": None if k % 97 == 0 else 1 + (k * 7919 % 5003) / 5003,
         "state": "failed" if k % 97 == 0 else "done"}
        for k in range(5000)
    ]  # fmt: skip
    kept = choose(many)
    assert len(kept) == SHOWN
    assert sum(row["state"] == "failed" for row in kept) == sum(row["state"] == "failed" for row in many)
    for design in range(4):
        for budget in range(5):
            cell = [r for r in many if (r["design"], r["budget"]) == (f"d{design}", budget) and r["bpb"]]
            assert min(cell, key=lambda r: r["bpb"]) in kept
    assert choose(many[:SHOWN]) == many[:SHOWN]
