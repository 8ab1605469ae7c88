"""Finished runs that read in another order: audited, scored, compressed with, and refused where they cannot serve."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from isobyte.cli import main as cli
from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.errors import UserError
from isobyte.evaluate import audit, kraft
from isobyte.evaluate.audit import audit_run
from isobyte.evaluate.bpb import evaluate_run
from isobyte.evaluate.compress import compress, cost, decompress
from isobyte.evaluate.interchange import export_run
from isobyte.evaluate.loaded import load_run
from isobyte.likelihood.codec import Codec, CodeLength
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_data

WINDOWED = {"kind": "window", "carry": True}
RUNS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ar-carried": ({"kind": "ar"}, WINDOWED),
    "ar-fresh": ({"kind": "ar"}, {"kind": "nearby", "fresh": True}),
    "ar-inside": ({"kind": "ar"}, {"kind": "inside"}),
    "masked-carried": ({"kind": "masked"}, WINDOWED),
    "span-carried": ({"kind": "span", "spans": {"kind": "word"}}, {"kind": "stride", "carry": True}),
    "block-carried": ({"kind": "block", "block": 4}, {"kind": "blocks", "carry": True}),
    "any_order": ({"kind": "any_order", "within": 4}, {"kind": "stride"}),
}
UNDONE = [name for name in RUNS if name != "ar-inside"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """A run of each, trained when first asked for."""
    folder = tmp_path_factory.mktemp("permuted")

    def run(name: str) -> Path:
        objective, permutation = RUNS[name]
        data = run_data(steps=60) | {"objective": objective, "permutation": permutation}
        config = RunConfig.model_validate(data)
        prepared = prepare(config.data, config.representation, folder / "data")
        train(config, prepared, folder / name, runtime=Runtime(threads=1))
        return folder / name

    return run


@pytest.mark.parametrize("name", RUNS)
def test_an_audit_passes_whatever_the_order(name: str, trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kraft, "MOST_WINDOWS", 256)
    found = audit_run(trained(name), max_bytes=1500)
    assert found.passed, [check for check in found.checks if check.passed is False]
    verdicts = {check.name: check.passed for check in found.checks}
    assert verdicts["codec"] is (None if name == "ar-inside" else True)
    assert found.likelihood.source == ("inside" if name == "ar-inside" else "text")
    assert (" of the text shuffled by 'inside'" in found.checks[0].found) is (name == "ar-inside")


@pytest.mark.parametrize("name", ["ar-carried", "ar-fresh"])
def test_an_audit_codes_what_is_read(name: str, trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the codec asks another network than the likelihood does, its code length is another one."""
    monkeypatch.setattr(kraft, "MOST_WINDOWS", 256)
    (tmp_path / "text").write_bytes(bytes(range(32)) * 20)
    bits: list[float] = []

    class Watched(Codec):
        def encode(self, symbols: Any, **named: Any) -> tuple[bytes, CodeLength]:
            payload, length = super().encode(symbols, **named)
            bits.append(length.model_bits)
            return payload, length

    monkeypatch.setattr(audit, "Codec", Watched)
    found = audit_run(trained(name), data=tmp_path / "text")
    assert bits == [pytest.approx(found.likelihood.nats / math.log(2), rel=1e-6)]


@pytest.mark.parametrize("name", UNDONE)
def test_files_come_back(name: str, trained) -> None:
    text = b"some text \xff\x00 that is no UTF-8 " * 3
    run = trained(name)
    packed, record = compress(load_run(run, "cpu"), text)
    assert decompress(run, packed, where="x")[0] == text
    assert cost(load_run(run, "cpu"), text)["code_length_bits"] == record["code_length_bits"]


@pytest.mark.parametrize("name", ["ar-carried", "ar-fresh"])
def test_the_code_length_is_what_eval_says(name: str, trained, tmp_path: Path) -> None:
    run, text = trained(name), bytes(range(32)) * 5 + b"\x01"
    (tmp_path / "text").write_bytes(text)
    scored = evaluate_run(run, data=tmp_path / "text", device="cpu")
    assert cost(load_run(run, "cpu"), text)["model_bits"] / len(text) == pytest.approx(scored.bpb, rel=1e-5)


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["isobyte", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, " ".join(err.split())


def test_the_number_of_another_source_says_so_wherever_it_is_printed(trained, tmp_path: Path, monkeypatch, capsys):
    run = trained("ar-inside")
    code, out, err = call(monkeypatch, capsys, "eval", run, "--device", "cpu", "--json")
    assert code == 0
    assert "BPB of the text shuffled by 'inside' =" in err
    assert json.loads(out.splitlines()[-1])["source"] == "inside"
    recipe = tmp_path / "run.json"
    recipe.write_text(json.dumps(run_data(steps=2) | {"permutation": {"kind": "units"}}))
    code, out, err = call(monkeypatch, capsys, "train", recipe, "--out", tmp_path / "run", "--device", "cpu", "--json")
    assert code == 0
    assert "BPB of the text shuffled by 'units' (exact, exact)" in err
    assert json.loads(out.splitlines()[-1])["source"] == "units"
    assert json.loads((tmp_path / "run" / "result.json").read_text())["likelihood"]["source"] == "units"
    _, _, err = call(monkeypatch, capsys, "eval", trained("ar-fresh"), "--device", "cpu")
    assert "shuffled" not in err


def test_no_file_is_made_of_what_nothing_undoes(trained, tmp_path: Path, monkeypatch, capsys) -> None:
    run = trained("ar-inside")
    (tmp_path / "text").write_bytes(b"some words")
    for make in (compress, cost):
        with pytest.raises(UserError, match="shuffles text by 'inside', and nothing that it reads says how"):
            make(load_run(run, "cpu"), b"some words")
    code, _, err = call(monkeypatch, capsys, "compress", run, tmp_path / "text", "--dry-run", "--device", "cpu")
    assert code == 2
    assert "take a run whose permutation can be undone, or none" in err
    assert "Traceback" not in err


def test_text_is_not_written_in_another_order(trained, tmp_path: Path, monkeypatch, capsys) -> None:
    run = trained("ar-carried")
    code, _, err = call(monkeypatch, capsys, "sample", run, "--device", "cpu")
    assert code == 2
    assert "reads text shuffled by 'window', and would write it so" in err
    with pytest.raises(UserError, match="would write it so"):
        export_run(run, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()
