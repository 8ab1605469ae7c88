"""`isobyte sample` on runs of a few steps."""

import base64
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from isobyte.cli import main as cli
from isobyte.cli.sample_output import Stream, printable
from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.errors import UserError
from isobyte.evaluate.loaded import load_run
from isobyte.evaluate.sample import template_cells
from isobyte.representation.bytes_ import Bytes
from isobyte.representation.digits import ByteDigits
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_data

WINDOW = 16


def trained(folder: Path, objective: dict[str, object], **data: object) -> Path:
    config = RunConfig.model_validate(run_data(steps=2) | {"objective": objective} | data)
    prepared = prepare(config.data, config.representation, folder.parent / f"{folder.name}-data")
    train(config, prepared, folder, runtime=Runtime(threads=1))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    kinds = {"ar": {}, "masked": {}, "block": {"block": 8}}
    found = {kind: trained(root / kind, {"kind": kind, **fields}) for kind, fields in kinds.items()}
    bpe = {"kind": "bpe", "vocab_size": 300}
    return found | {"bpe": trained(root / "bpe", {"kind": "masked"}, representation=bpe)}


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["isobyte", "sample", *arguments])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


def test_samples_start_with_the_prompt_and_do_not_depend_on_how_many(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runs: dict[str, Path]
) -> None:
    for kind in ("ar", "masked", "block"):
        seen = []
        for count in ("1", "3"):
            code, out, _ = call(
                monkeypatch, capsys, str(runs[kind]), "--prompt", "caf\u00e9", "--count", count, "--length", "12",
                "--seed", "4", "--json",
            )  # fmt: skip
            assert code == 0
            record = json.loads(out.splitlines()[-1])
            assert record["seed"] == 4
            seen.append([base64.b64decode(sample["base64"]) for sample in record["samples"]])
            assert record["nfe"] > 0
        assert len(seen[1]) == 3
        assert seen[0][0] == seen[1][0]
        assert all(text.startswith("caf\u00e9".encode()) and len(text) == 12 for text in seen[1])
        assert len(set(seen[1])) == 3


def test_gaps_are_filled_and_the_rest_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runs: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "template").write_bytes(b"ab{{3}}cd{{1}}\xff")
    code, out, _ = call(monkeypatch, capsys, str(runs["masked"]), "--template", str(tmp_path / "template"), "--json")
    text = base64.b64decode(json.loads(out)["samples"][0]["base64"])
    assert code == 0
    assert (text[:2], text[5:7], text[8:], len(text)) == (b"ab", b"cd", b"\xff", 9)
    code, out, _ = call(monkeypatch, capsys, str(runs["bpe"]), "--template", "ab{{3}}cd", "--json")
    text = base64.b64decode(json.loads(out)["samples"][0]["base64"])
    assert code == 0
    assert text.startswith(b"ab")
    assert text.endswith(b"cd")


def test_a_trace_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runs: dict[str, Path], tmp_path: Path
) -> None:
    page = tmp_path / "t.html"
    for kind, method in (("masked", "remdm-cap"), ("ar", "left-to-right"), ("block", "confidence")):
        code, _, err = call(monkeypatch, capsys, str(runs[kind]), "--method", method, "--trace", str(page))
        assert code == 0
        assert "wrote" in err
        assert f"<dd>{method}</dd>" in page.read_text()


@pytest.mark.parametrize(
    ("run", "arguments", "says"),
    [
        ("ar", ["--template", "a{{3}}b"], "'ar' fills no gap before text"),
        ("block", ["--template", "a{{3}}bcdefghi"], "'block' fills no gap before text"),
        ("ar", ["--method", "confidence"], "it can: left-to-right"),
        ("masked", ["--length", "17"], "17 symbols, and the run was trained on windows of 16"),
        ("masked", ["--length", "0"], "take at least 1"),
        ("masked", ["--template", "{{17}}"], "trained on windows of 16"),
        ("masked", ["--template", "no gap"], "write {{12}} where 12 symbols"),
        ("masked", ["--template", "{{3}}", "--length", "4"], "--length: a template already says"),
        ("masked", ["--template", "{{3}}", "--prompt", "x"], "--prompt: a template already says"),
        ("masked", ["--prompt", "0123456789abcdef"], "takes all of the 16 symbols"),
        ("masked", ["--count", "0"], "take at least 1"),
        ("masked", ["--temperature", "-1"], "out of range"),
    ],
)
def test_bad_input_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    runs: dict[str, Path],
    run: str,
    arguments: list[str],
    says: str,
) -> None:
    code, out, err = call(monkeypatch, capsys, str(runs[run]), *arguments)
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert not out


def test_a_gap_inside_one_block_sees_both_sides(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runs: dict[str, Path]
) -> None:
    assert call(monkeypatch, capsys, str(runs["block"]), "--template", "a{{3}}bcde{{2}}")[0] == 0


def test_gaps_of_digits_are_whole_bytes() -> None:
    assert template_cells(b"a{{4}}", ByteDigits(16), 16) == [6, 1, 16, 16, 16, 16]
    with pytest.raises(UserError, match="3 digits end inside a byte; take a multiple of 2"):
        template_cells(b"a{{3}}b{{1}}", ByteDigits(16), 16)


def test_templates_count_symbols() -> None:
    assert template_cells(b"a{{2}}{x}{{1}}", Bytes(), 256) == [97, 256, 256, *b"{x}", 256]


def test_a_terminal_is_shown_no_control_characters() -> None:
    assert printable(b"a\x1b[2J\n\tb\xff") == "a\ufffd[2J\n\tb\ufffd"


def test_streams_print_whole_characters(capsys: pytest.CaptureFixture[str], runs: dict[str, Path]) -> None:
    loaded, one = load_run(runs["ar"]), torch.tensor([0])
    stream = Stream(loaded, torch.tensor([ord("a"), 0xC3, 256]))
    assert capsys.readouterr().out == "a"
    stream.reveal(0, one, one, torch.from_numpy(np.array([0xA9])), one)
    assert capsys.readouterr().out == "\u00e9"
