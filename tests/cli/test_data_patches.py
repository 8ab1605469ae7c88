"""`isobyte data patches`: every kind of rule, its page, its numbers, and what it refuses."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from isobyte.backbone.patching.corpus import StoredPatches
from isobyte.backbone.patching.document import document_bits
from isobyte.backbone.patching.patcher import Patcher
from isobyte.cli import main as cli
from isobyte.config.patching import EntropyPatching, SpacePatching
from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.evaluate.patch_page import pieces, spelt
from isobyte.representation import build
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from isobyte.train.scorer import load_scorer
from tiny import run_data

TEXT = "The café of the United States,\nin 1790; ".encode() * 12 + b"\xff\x00\xc3 end\n"
SHAPE = {"kind": "flat", "layers": 1, "width": 8, "heads": 2, "attention_window": 6}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text, a prepared folder, a flat run, a masked run, a tokenizer, and what a Byte Latent Transformer leaves."""
    root = tmp_path_factory.mktemp("patches")
    (root / "text").write_bytes(TEXT)
    (root / "empty").write_bytes(b"")
    data = run_data(steps=3)
    flat = RunConfig.model_validate(data | {"backbone": SHAPE})
    prepared = prepare(flat.data, flat.representation, root / "data")
    train(flat, prepared, root / "flat", runtime=Runtime(threads=1))
    masked = RunConfig.model_validate(run_data("masked", steps=1))
    train(masked, prepared, root / "masked", runtime=Runtime(threads=1))
    bpe = RunConfig.model_validate(data | {"representation": {"kind": "bpe", "vocab_size": 270}})
    build(bpe.representation, [TEXT]).save(root)
    prepare(bpe.data, bpe.representation, root / "bpe-data")

    shape = {name: value for name, value in SHAPE.items() if name != "attention_window"}
    rule = {"kind": "entropy", "scorer": {"kind": "flat", "shape": SHAPE}, "threshold": 5.4, "max_length": 5}
    blt = {"kind": "blt", "encoder": shape, "latent": shape, "decoder": shape, "patching": rule}
    config = RunConfig.model_validate(data | {"backbone": blt})
    (root / "blt").mkdir()
    (root / "blt" / "config.json").write_text(config.model_dump_json())
    patcher = Patcher(EntropyPatching.model_validate(rule))
    load_scorer(patcher, root / "flat")
    weights = {f"patcher.{name}": value.contiguous() for name, value in patcher.state_dict().items()}
    save_file(weights | {"head.weight": weights["patcher.threshold"].clone()}, root / "blt" / "model.safetensors")
    (root / "blt-space").mkdir()
    spaces = config.model_dump(mode="json")
    spaces["backbone"]["patching"] = {"kind": "space"}
    (root / "blt-space" / "config.json").write_text(json.dumps(spaces))
    return root


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["isobyte", "data", "patches", *arguments])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


def record(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code, out, err = call(monkeypatch, capsys, *arguments, "--json")
    assert code == 0, err
    assert len(out.splitlines()) == 1
    return json.loads(out)


def lengths(bits: Any) -> list[int]:
    places = [place for place, bit in enumerate(bits) if bit]
    return [stop - start for start, stop in zip(places, [*places[1:], len(bits)], strict=True)]


def test_rules_without_a_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    text = str(place / "text")
    code, out, err = call(monkeypatch, capsys, "space", text)
    assert code == 0
    assert out.startswith("The |caf\\xC3|\\xA9 |of |the |United |States,|\nin |1790;| The |")
    assert "bytes per patch" in err
    found = record(monkeypatch, capsys, "space", text)
    assert found["lengths"] == lengths(document_bits(Patcher(SpacePatching()), TEXT))
    assert found["bytes"] == len(TEXT) == sum(found["lengths"])
    assert found["predictive"] is True
    assert found["warning"] is None
    static = record(monkeypatch, capsys, "static:4", text, "--max-length", "3", "--limit", "10")
    assert static["lengths"] == [3, 1, 3, 1, 2]
    assert static["closed_by_max_length"] == 2
    byte = record(monkeypatch, capsys, "byte", text)
    assert set(byte["lengths"]) == {1}
    assert "nearly every byte" in byte["warning"]


def test_tokens_are_shown_and_said_to_look_ahead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    arguments = (f"bpe:{place / 'tokenizer.json'}", str(place / "text"))
    found = record(monkeypatch, capsys, *arguments)
    assert found["predictive"] is False
    assert sum(found["lengths"]) == len(TEXT)
    assert 1 < found["mean_length"] < len(TEXT)
    _, _, err = call(monkeypatch, capsys, *arguments)
    assert "not to be trained or generated with" in err


@pytest.mark.parametrize("rule", ["global", "monotonic", "both"])
@pytest.mark.parametrize("scorer", ["ngram:2", "flat"])
def test_a_threshold_is_set_for_a_mean_length_and_reads_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path, rule: str, scorer: str
) -> None:
    name, text = (str(place / scorer) if scorer == "flat" else scorer), str(place / "text")
    told = ["--rule", rule, "--max-length", "7", *(["--rise", "-0.5"] if rule == "both" else [])]
    found = record(monkeypatch, capsys, name, text, *told, "--mean-length", "3")
    assert found["mean_length"] == pytest.approx(3, abs=0.25)
    assert max(found["lengths"]) <= 7
    given = [f"--{each}={found[each]!r}" for each in ("threshold", "rise") if each in found and f"--{each}" not in told]
    again = record(monkeypatch, capsys, name, text, *told, *given)
    assert again["lengths"] == found["lengths"]
    _, _, err = call(monkeypatch, capsys, name, text, *told, "--mean-length", "3")
    assert f"{'rise' if rule == 'monotonic' else 'threshold'} {found[given[0][2:].partition('=')[0]]:.6g} nats" in err


def test_counts_and_thresholds_from_a_training_split(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    data = ("--data", str(place / "data"))
    own = record(monkeypatch, capsys, "ngram:1", str(place / "text"), "--mean-length", "3")
    other = record(monkeypatch, capsys, "ngram:1", str(place / "text"), "--mean-length", "3", *data)
    assert other["threshold"] != own["threshold"]
    assert record(monkeypatch, capsys, "ngram:1", str(place / "text"))["mean_length"] == pytest.approx(4, abs=0.5)


def test_a_latent_transformers_own_patches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    found = record(monkeypatch, capsys, str(place / "blt"), str(place / "text"))
    flat = (str(place / "flat"), str(place / "text"), "--threshold", "5.4", "--max-length", "5")
    assert found["lengths"] == record(monkeypatch, capsys, *flat)["lengths"]
    assert found["threshold"] == pytest.approx(5.4)
    spaces = record(monkeypatch, capsys, str(place / "blt-space"), str(place / "text"))
    assert spaces["lengths"] == lengths(document_bits(Patcher(SpacePatching()), TEXT))


class Page(HTMLParser):
    """The patches of a page: text, hover and class of each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.patches: list[list[str]] = []
        self.inside, self.tags = False, set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "span":
            told = dict(attrs)
            self.patches.append(["", told["title"] or "", told["class"] or ""])
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "span"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.patches[-1][0] += data


def test_the_page_holds_every_patch_and_needs_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hostile = b"<script>alert(1)</script>" + TEXT + b'"&amp;'
    (tmp_path / "a <b>.txt").write_bytes(hostile)
    arguments = ("ngram:2", str(tmp_path / "a <b>.txt"), "--html", str(tmp_path / "p.html"))
    found = record(monkeypatch, capsys, *arguments)
    page = (tmp_path / "p.html").read_text()
    read, start = Page(page), 0
    assert len(read.patches) == found["patches"]
    for number, (length, (text, hover, side)) in enumerate(zip(found["lengths"], read.patches, strict=True)):
        part = hostile[start : start + length]
        assert text == "".join(shown.replace("\n", "↵\n") for shown, _ in pieces(part))
        assert re.match(rf"bytes? {start}\b", hover)
        assert len(re.findall(r"  \d\.\d{3}$", hover, re.MULTILINE)) == min(length, 24)
        assert side == ("even", "odd")[number % 2]
        start += length
    assert "script" not in read.tags
    assert not re.search(r"(?:src|href)=\"(?!data:)|url\(|@import", page)
    assert "prefers-color-scheme: dark" in page
    assert '<b class="hex">FF</b>' in page
    assert "<dt>threshold</dt>" in page
    assert f"<dd>{found['patches']:,}</dd>" in page


def test_bytes_are_spelt_as_they_are() -> None:
    assert spelt("é|\n".encode(), "↵\n") == "é|↵\n"
    assert spelt(b"\xc3\xff\x00\t") == r"\xC3\xFF\x00\x09"
    assert list(pieces("\u200b".encode())) == [("E2", True), ("80", True), ("8B", True)]


def test_colours_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    _, out, _ = call(monkeypatch, capsys, "space", str(place / "text"), "--limit", "20")
    assert "|" not in out
    colours = re.findall(r"\x1b\[37;(48;2;\d+;\d+;\d+)m([^\x1b]*)", out)
    assert [text for _, text in colours] == ["The ", r"caf\xC3", r"\xA9 ", "of ", "the ", "Uni"]
    assert [colour for colour, _ in colours[:4]] == [colours[0][0], colours[1][0]] * 2
    assert colours[0][0] != colours[1][0]


def test_bits_are_stored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    config = RunConfig.model_validate(run_data())
    prepared = prepare(config.data, config.representation, tmp_path / "data")
    found = record(monkeypatch, capsys, str(place / "flat"), "--threshold", "5.4", "--store", str(prepared.folder))
    stored = StoredPatches.open(prepared.folder, found["stored"]["patcher"])
    assert found["stored"]["bytes"] == prepared.manifest.train.bytes + prepared.manifest.heldout.bytes
    bits = [stored.read(split, 0, 1 << 30) for split in ("train", "heldout")]
    assert found["stored"]["patches"] == sum(int(each.sum()) for each in bits)
    assert len(bits[0]) == prepared.manifest.train.symbols
    code, _, err = call(monkeypatch, capsys, "ngram:1", "--store", str(prepared.folder), "--mean-length", "2")
    assert code == 0
    assert "stored" in err
    assert len(list((prepared.folder / "patches").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["spaces", "text"], "unknown rule 'spaces'; did you mean 'space'"),
        (["statik:4", "text"], "did you mean 'static:4'"),
        (["space", "nowhere"], "nowhere: no such file"),
        (["space", "empty"], "empty: it is empty"),
        (["space"], "no text to show"),
        (["space", "--store", "data", "--html", "x"], "no text to show"),
        (["static:0", "text"], "'0' is no number from 1"),
        (["static:", "text"], "is no number from 1"),
        (["ngram:3", "text"], "'3' is no number from 0 to 2"),
        (["ngram:2", "text", "--threshold", "1", "--mean-length", "3"], "--threshold decides it already"),
        (["ngram:2", "text", "--rule", "monotonic", "--threshold", "1"], "--threshold: rule monotonic"),
        (["ngram:2", "text", "--rise", "1"], "--rise: rule global"),
        (["ngram:2", "text", "--rule", "both"], "--rise: rule both needs it"),
        (["ngram:2", "text", "--mean-length", "0.5"], "0.5 bytes per patch cannot be had"),
        (["ngram:2", "text", "--mean-length", "9", "--max-length", "4"], "a greater max_length"),
        (["ngram:2", "text", "--max-length", "0"], "max_length"),
        (["ngram:2", "text", "--limit", "0"], "--limit"),
        (["space", "text", "--threshold", "1"], "--threshold: rule space asks no scorer"),
        (["byte", "text", "--max-length", "2"], "--max-length: every byte is a patch"),
        (["masked", "text"], "a scorer is a run of bytes, ar, flat"),
        (["data", "text"], "holds no run"),
        (["blt", "text", "--mean-length", "3"], "--mean-length: the run is shown with the patches"),
        (["bpe:nowhere.json", "text"], "nowhere.json"),
        (["bpe:tokenizer.json", "text", "--max-length", "3"], "cuts as it was trained"),
        (["bpe:tokenizer.json", "--store", "data"], "tokens are no patches to train or generate with"),
        (["space", "text", "--store", "flat"], "no prepared data here"),
        (["space", "text", "--store", "bpe-data"], "holds bpe symbols, and patches are of bytes"),
        (["ngram:1", "text", "--data", "bpe-data"], "holds bpe symbols, and patches are of bytes"),
    ],
)
def test_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(place)
    code, out, err = call(monkeypatch, capsys, *arguments)
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1, err
    assert not out


def test_the_module_is_light() -> None:
    program = (
        "import sys, isobyte.cli.data_patches\nassert 'torch' not in sys.modules\nassert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
