"""Runs on bits, pairs of bits and nibbles, as they are typed: trained, scored, compressed, sampled, costed."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import Call
from isobyte.cli.sample_output import Stream
from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.data.stream import stream_from_file
from isobyte.data.window import EvalWindows
from isobyte.evaluate.loaded import load_run
from isobyte.likelihood.exact import ar_nats
from isobyte.objective.base import network_log_probs
from isobyte.representation.digits import ByteDigits
from isobyte.train.packing import Meter
from isobyte.train.step import StepResult
from tiny import run_config, run_data

TEXT = b"some text \xff\x00 that is no UTF-8, some text " * 5 + b"end."
DIGITS = {2: 8, 4: 4, 16: 2}
ASKED = [("ar", 2), ("ar", 16), ("masked", 2), ("masked", 4)]


def trained(isobyte: Call, folder: Path, objective: dict[str, Any], base: int, **more: Any) -> dict[str, Any]:
    """What `isobyte train` says of six steps on windows of four bytes."""
    digits = DIGITS[base]
    data = run_data(steps=6, window=4 * digits, batch=3) | {"objective": objective} | more
    data["representation"] = {"kind": "digits", "base": base}
    recipe = folder / "recipe.json"
    recipe.write_text(json.dumps(data))
    code, out, err = isobyte("train", str(recipe), "--out", str(folder / "run"), "--json")
    assert code == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize(("objective", "base"), ASKED)
def test_from_training_to_a_file_that_decodes(isobyte: Call, tmp_path: Path, objective: str, base: int) -> None:
    digits, run = DIGITS[base], str(tmp_path / "run")
    result = trained(isobyte, tmp_path, {"kind": objective}, base)
    assert result["vocab"] == base
    assert result["symbols"] == 6 * 3 * 4 * digits
    assert result["data_bytes"] == 6 * 3 * 4
    assert result["bytes_per_symbol"] == 1 / digits
    own = json.loads((tmp_path / "run" / "result.json").read_text())["likelihood"]
    assert own["symbols"] == digits * own["bytes"] > 0
    assert own["bpb"] < 7.9
    text, packed, back = tmp_path / "text", tmp_path / "packed", tmp_path / "back"
    text.write_bytes(TEXT)
    code, out, _ = isobyte("eval", run, "--data", str(text), "--json")
    scored = json.loads(out.splitlines()[-1])
    assert (code, scored["bytes"], scored["symbols"]) == (0, len(TEXT), len(TEXT) * digits)
    assert scored["windows"] == -(-len(TEXT) // 4)
    code, out, _ = isobyte("compress", run, str(text), str(packed), "--json")
    record = json.loads(out.splitlines()[-1])
    assert (code, record["bytes_in"]) == (0, len(TEXT))
    if objective == "ar":
        assert record["bpb"] == pytest.approx(scored["bpb"], rel=1e-4)
        assert isobyte("audit", run)[0] == 0
    assert isobyte("decompress", run, str(packed), str(back))[0] == 0
    assert back.read_bytes() == TEXT


def test_bits_per_byte_are_those_of_the_bytes_enumerated(isobyte: Call, tmp_path: Path) -> None:
    """A window of one byte: the network's 256 products over digits sum to one, and are what `eval` reports."""
    trained(isobyte, tmp_path, {"kind": "ar"}, 4, train=run_data(steps=6, window=4, batch=3)["train"])
    run = load_run(tmp_path / "run", "cpu")
    every = run.representation.encode(bytes(range(256))).reshape(256, 4).astype(np.int64)
    with torch.inference_mode():
        nats_W = ar_nats(network_log_probs(run.model), torch.from_numpy(every), 4).double().numpy()
    assert np.exp(-nats_W).sum() == pytest.approx(1, abs=1e-5)
    (tmp_path / "text").write_bytes(TEXT)
    _, out, _ = isobyte("eval", str(tmp_path / "run"), "--data", str(tmp_path / "text"), "--json")
    assert json.loads(out)["bpb"] == pytest.approx(nats_W[list(TEXT)].mean() / np.log(2), rel=1e-6)


def test_a_shuffled_window_of_bits_is_a_code_of_the_text(isobyte: Call, tmp_path: Path) -> None:
    trained(isobyte, tmp_path, {"kind": "ar"}, 2, permutation={"kind": "window", "fresh": True})
    text, packed, back = tmp_path / "text", tmp_path / "packed", tmp_path / "back"
    text.write_bytes(TEXT)
    assert isobyte("compress", str(tmp_path / "run"), str(text), str(packed))[0] == 0
    assert isobyte("decompress", str(tmp_path / "run"), str(packed), str(back))[0] == 0
    assert back.read_bytes() == TEXT


def test_windows_of_a_random_length_hold_whole_bytes(isobyte: Call, tmp_path: Path) -> None:
    result = trained(isobyte, tmp_path, {"kind": "masked", "random_length": 1.0}, 2)
    assert result["symbols"] == 8 * result["data_bytes"] < 6 * 3 * 32


def test_a_meter_counts_no_part_of_a_byte() -> None:
    meter, rows = Meter(run_config("ar", window=16), ByteDigits(2)), np.zeros((3, 16), np.int64)
    used = meter.used(rows, StepResult(torch.zeros(()), torch.zeros(()), 0.0, 8))
    assert (used.symbols, used.bytes) == (24, 3)
    with pytest.raises(ValueError, match="inside a byte"):
        meter.used(rows, StepResult(torch.zeros(()), torch.zeros(()), 0.0, 9))


def test_samples_are_whole_bytes(isobyte: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(isobyte, tmp_path, {"kind": "ar"}, 2)
    run = str(tmp_path / "run")
    code, out, _ = isobyte("sample", run, "--prompt", "a", "--length", "24", "--count", "3", "--json")
    record = json.loads(out.splitlines()[-1])
    texts = [base64.b64decode(sample["base64"]) for sample in record["samples"]]
    assert (code, record["nfe"]) == (0, 16)
    assert all(len(text) == 3 and text[:1] == b"a" for text in texts)
    code, out, _ = isobyte("sample", run, "--length", "32", "--trace", str(tmp_path / "page.html"), "--json")
    assert (code, len(base64.b64decode(json.loads(out)["samples"][0]["base64"]))) == (0, 4)
    assert (tmp_path / "page.html").exists()
    for arguments, says in (
        (("--length", "20"), "--length: 20 digits end inside a byte; take a multiple of 8"),
        (("--template", "a{{4}}"), "--template: 4 digits end inside a byte; take a multiple of 8"),
    ):
        code, out, err = isobyte("sample", run, *arguments)
        assert (code, out) == (2, "")
        assert says in err
    loaded, one = load_run(tmp_path / "run", "cpu"), torch.tensor([0])
    stream, letter = Stream(loaded, torch.tensor([0, 1, 1, 0, 0, 0, 0, 1, 2, 2])), [0, 1, 1, 0, 0, 0, 1, 0]
    shown = [capsys.readouterr().out]
    for digit in letter * 2:
        stream.reveal(0, one, one, torch.tensor([digit]), one)
        shown.append(capsys.readouterr().out)
    assert shown == ["a", *[""] * 7, "b", *[""] * 7, "b"]


def test_windows_that_end_inside_a_byte_are_refused_in_one_line(isobyte: Call, tmp_path: Path) -> None:
    base = 'representation={"kind":"digits","base":2}'
    code, out, err = isobyte("train", "byte-ar", base, "train.window=100", "--out", str(tmp_path / "x"))
    assert (code, out) == (2, "")
    assert "a byte is 8 bits, and a window of 100 ends inside one; take a multiple of 8" in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_costs_per_byte_need_not_be_told(isobyte: Call) -> None:
    for base, digits in DIGITS.items():
        representation = json.dumps({"kind": "digits", "base": base})
        code, out, _ = isobyte("cost", "byte-ar", f"representation={representation}", "--json")
        [model] = json.loads(out)["models"]
        assert (code, model["bytes_per_symbol"]) == (0, 1 / digits)
        assert model["flops_per_byte"] == model["flops_per_symbol"] * digits


def test_held_out_text_is_scored_on_the_same_bytes(tmp_path: Path) -> None:
    """Digits and bytes of one corpus: the same excerpt, the same windows of it."""
    (tmp_path / "text").write_bytes(TEXT * 40)
    found = []
    for name, window in (("bytes", 5), ("digits", 40)):
        kind = RunConfig.model_validate(run_data(window=window) | {"representation": {"kind": name}})
        prepared = prepare(kind.data, kind.representation, tmp_path / name)
        windows = EvalWindows(prepared.stream("heldout"), window, 1500)
        mine = stream_from_file(str(tmp_path / "text"), prepared.representation)
        found.append((windows.bytes_W.tolist(), EvalWindows(mine, window).bytes_W.tolist()))
    assert found[0] == found[1]
