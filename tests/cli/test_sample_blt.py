"""`isobyte sample` on runs of backbone blt."""

import base64
import json
import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.evaluate.loaded import load_run
from isobyte.representation import build
from isobyte.representation import save as save_representation
from isobyte.train.folder import RunFolder
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_data

WINDOW = 16
LOCAL = {"layers": 1, "width": 16, "heads": 2, "attention_window": 8}
SPACE = {"kind": "space"}
Call = Callable[..., tuple[int, str, str]]


def config(patching: Mapping[str, object], **other: object) -> RunConfig:
    backbone = {
        "kind": "blt", "encoder": LOCAL, "latent": {"layers": 1, "width": 24, "heads": 2}, "decoder": LOCAL,
        "hash_vocab": 50, "patching": patching,
    }  # fmt: skip
    return RunConfig.model_validate(run_data(steps=3) | {"backbone": backbone} | other)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained one, with patches that end with words."""
    root = tmp_path_factory.mktemp("blt")
    made = config(SPACE)
    train(made, prepare(made.data, made.representation, root / "data"), root / "run", runtime=Runtime(threads=1))
    return root / "run"


@pytest.fixture
def call(isobyte: Call) -> Call:
    return partial(isobyte, "sample")


def test_text_comes_after_the_prompt_and_does_not_depend_on_how_many(call: Call, run: Path) -> None:
    seen = []
    for count in ("1", "3"):
        code, out, _ = call(str(run), "--prompt", "We ", "--count", count, "--length", "12", "--seed", "4", "--json")
        assert code == 0
        record = json.loads(out)
        seen.append([base64.b64decode(each["base64"]) for each in record["samples"]])
        assert all(text.startswith(b"We ") for text in seen[-1])
        assert [each["bytes"] for each in record["samples"]] == [12] * int(count)
        assert record["bytes"] == 9 * int(count)
    assert seen[0] == seen[1][:1]
    assert len(set(seen[1])) == 3


def test_drafts_change_no_byte_and_are_counted(call: Call, run: Path) -> None:
    """Beyond the window of training, from nothing."""
    plain = json.loads(call(str(run), "--length", "40", "--temperature", "0", "--json")[1])
    for refresh in ([], ["--refresh", "at_boundary"], ["--refresh", "always"]):
        arguments = (str(run), "--length", "40", "--temperature", "0", "--draft", "3", *refresh, "--json")
        record = json.loads(call(*arguments)[1])
        assert record["samples"] == plain["samples"]
        assert record["accepted"] + record["rounds"] + 1 == record["bytes"] == 40
        assert record["acceptance"] == record["accepted"] / record["drafted"]
        assert record["refresh"] == (refresh or ["", "never"])[1]
    assert "rounds" not in plain
    for read in (plain["bytes_read"], record["bytes_read"]):
        assert read["full"]["all"] > read["published_weights_passes_counted"] > 0
        assert read["full"]["all"] == pytest.approx(sum(v for k, v in read["full"].items() if k != "all"))
    said = call(str(run), "--length", "40", "--draft", "3")[2]
    assert "bytes per patch" in said
    assert "drafted bytes kept" in said
    assert f"beyond the {WINDOW} bytes" in said


def test_weights_of_16_bits_are_read_in_half_the_bytes(call: Call, isobyte: Call, run: Path) -> None:
    """And cost little: of a likelihood, the last digits."""
    asked = (str(run), "--length", "20", "--temperature", "0", "--json")
    large, small = (json.loads(call(*asked, "--weights", weights)[1])["bytes_read"] for weights in ("fp32", "fp16"))
    assert (large["weight_width"], small["weight_width"]) == (4, 2)
    assert large["full"]["decoder"] == 2 * small["full"]["decoder"]
    bits = [
        json.loads(isobyte("eval", str(run), "--weights", weights, "--json")[1])["bpb"] for weights in ("fp32", "fp16")
    ]
    assert 0 < abs(bits[0] - bits[1]) < 1e-3
    code, _, err = isobyte("eval", str(run), "--weights", "fp16", "--probe", "words")
    assert code == 2
    assert "--weights" in err


def test_stop_strings_end_a_text(call: Call, run: Path) -> None:
    plain = base64.b64decode(json.loads(call(str(run), "--length", "40", "--json")[1])["samples"][0]["base64"])
    stop = plain[20:21].decode("utf-8", "surrogateescape")
    record = json.loads(call(str(run), "--length", "40", "--stop", "never there", "--stop", stop, "--json")[1])
    sample = record["samples"][0]
    assert base64.b64decode(sample["base64"]) == plain[: plain.index(plain[20])]
    assert sample["ended"] == "stop"
    assert sample["generated"] == sample["bytes"] + 1


def test_a_prompt_may_end_inside_a_character(call: Call, run: Path) -> None:
    code, out, _ = call(str(run), "--prompt", b"caf\xc3".decode("utf-8", "surrogateescape"), "--length", "9", "--json")
    assert code == 0
    text = base64.b64decode(json.loads(out)["samples"][0]["base64"])
    assert text.startswith(b"caf\xc3")
    assert len(text) == 9


def test_one_sample_is_shown_as_it_comes(call: Call, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = json.loads(call(str(run), "--prompt", "We ", "--length", "30", "--json")[1])["samples"][0]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for extra in ([], ["--stop", "never there"]):
        out = call(str(run), "--prompt", "We ", "--length", "30", *extra)[1]
        assert out.rstrip("\n") == _visible(plain["text"])


def _visible(text: str) -> str:
    from isobyte.cli.sample_output import CONTROL

    return text.translate(CONTROL).rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--template", "{{4}}"], "--template"),
        (["--grid", "cosine"], "--grid"),
        (["--eta", "0.1"], "--eta"),
        (["--per-step", "2"], "--per-step"),
        (["--by-digit"], "--by-digit"),
        (["--method", "ancestral"], "--method"),
        (["--block", "4"], "--block"),
        (["--draft", "0"], "draft"),
        (["--refresh", "always"], "--refresh"),
        (["--length", "0"], "--length"),
        (["--count", "0"], "--count"),
        (["--prompt", "12345", "--length", "5"], "--prompt"),
        (["--patches", "0"], "patches"),
        (["--length", "60", "--patches", "3"], "room for 3 patches"),
        (["--stop", ""], "stop"),
        (["--top-p", "0"], "top_p"),
    ],
)
def test_what_cannot_be_is_refused_by_name(call: Call, run: Path, arguments: list[str], said: str) -> None:
    code, _, err = call(str(run), *arguments)
    assert code == 2
    assert said in err
    assert call(str(run), "--method", "left-to-right", "--length", "4")[0] == 0


def test_a_flat_run_has_no_drafts(call: Call, tmp_path: Path) -> None:
    flat = untrained(RunConfig.model_validate(run_data()), tmp_path / "flat")
    for arguments in (["--draft", "2"], ["--refresh", "never"], ["--stop", "x"], ["--weights", "fp16"]):
        code, _, err = call(str(flat), *arguments)
        assert code == 2
        assert arguments[0] in err
        assert "blt" in err


def test_a_threshold_that_was_never_set_is_named(call: Call, tmp_path: Path) -> None:
    scorer = {"kind": "flat", "shape": LOCAL}
    made = untrained(config({"kind": "entropy", "scorer": scorer, "mean_length": 3}), tmp_path / "run")
    assert math.isnan(float(load_run(made, "cpu").model.patcher.threshold))  # type: ignore[union-attr]
    code, _, err = call(str(made), "--length", "5")
    assert code == 2
    assert "threshold was never set" in err


def untrained(made: RunConfig, folder: Path) -> Path:
    from isobyte.train.loop import build_model

    model = build_model(made, 256)
    created = RunFolder.create(folder, made)
    save_representation(build(made.representation), folder / "representation")
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    created.weights.write_bytes(save(weights, {"config": made.content_hash()}))
    assert all(isinstance(each, torch.Tensor) for each in weights.values())
    return folder
