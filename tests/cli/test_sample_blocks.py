"""`isobyte sample` on runs of backbone blt that were trained with blocks: methods, their settings, and traces."""

import base64
import json
import re
from collections.abc import Callable
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_data

LOCAL = {"layers": 1, "width": 16, "heads": 2, "attention_window": 8}
BACKBONE = {
    "kind": "blt", "encoder": LOCAL, "latent": {"layers": 1, "width": 24, "heads": 2}, "decoder": LOCAL,
    "hash_vocab": 50, "patching": {"kind": "space", "max_length": 3},
}  # fmt: skip
BLOCK = 4
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run with blocks, one without, and a flat one."""
    root = tmp_path_factory.mktemp("runs")
    kinds: dict[str, dict[str, Any]] = {
        "blocks": {"backbone": BACKBONE, "objective": {"kind": "blt_diffusion", "block": BLOCK}},
        "plain": {"backbone": BACKBONE},
        "flat": {},
    }
    for kind, other in kinds.items():
        made = RunConfig.model_validate(run_data(steps=3) | other)
        train(made, prepare(made.data, made.representation, root / "data"), root / kind, runtime=Runtime(threads=1))
    return {kind: root / kind for kind in kinds}


@pytest.fixture
def call(isobyte: Call) -> Call:
    return partial(isobyte, "sample")


def record(call: Call, run: Path, *arguments: str) -> dict[str, Any]:
    code, out, err = call(str(run), *arguments, "--json")
    assert code == 0, err
    return json.loads(out.splitlines()[-1])


def text(found: dict[str, Any]) -> bytes:
    return base64.b64decode(found["samples"][0]["base64"])


GREEDY = ("--prompt", "We ", "--length", "38", "--temperature", "0")
WAYS = {
    "blt": ([], {}),
    "blt, as flat runs call it": (["--method", "left-to-right"], {}),
    "blt_s": (["--method", "blt_s"], {"draft": 4, "refresh": "never"}),
    "blt_s, by --draft": (["--draft", "3", "--refresh", "always"], {"draft": 3, "refresh": "always"}),
    "blt_d": (["--method", "blt_d"], {"fill": "confidence", "alpha": 0.7, "align": "resume"}),
    "blt_d, alpha": (["--method", "blt_d", "--alpha", "0.2"], {"fill": "confidence", "alpha": 0.2}),
    "blt_d, cut": (["--method", "blt_d", "--fill", "entropy", "--align", "cut"], {"gamma": 1.0, "align": "cut"}),
    "blt_dv": (["--method", "blt_dv"], {"fill": "one-step", "align": "resume", "refresh": "never"}),
    "blt_dv, alpha": (["--method", "blt_dv", "--fill", "confidence"], {"fill": "confidence", "alpha": 0.3}),
    "blt_dv, gamma": (
        ["--method", "blt_dv", "--fill", "entropy-max", "--gamma", "9", "--align", "resume"],
        {"fill": "entropy-max", "gamma": 9.0, "align": "resume"},
    ),
    "blt_dv, refresh": (["--method", "blt_dv", "--refresh", "at_boundary"], {"refresh": "at_boundary"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_method_says_what_it_went_by_and_what_it_took(call: Call, runs: dict[str, Path], way: str) -> None:
    arguments, settings = WAYS[way]
    found = record(call, runs["blocks"], *GREEDY, *arguments)
    name = found["method"]
    assert name == way.split(",")[0]
    assert settings.items() <= found.items()
    assert found["bytes"] == 35
    every = {"draft", "block", "fill", "alpha", "gamma", "align", "refresh", "rounds", "fills", "drafted", "acceptance"}
    own = {
        "blt": set(),
        "blt_s": {"draft", "refresh", "rounds", "drafted", "acceptance"},
        "blt_d": {"block", "fill", "alpha", "gamma", "align", "rounds", "fills"},
        "blt_dv": every - {"draft"},
    }[name]
    unused = {"alpha", "gamma"} - {{"confidence": "alpha", "entropy": "gamma", "entropy-max": "gamma"}.get(
        found.get("fill", ""), "")}  # fmt: skip
    assert every & set(found) == own - unused
    assert set(found["nfe"]["output"]) == {"entropy", "encoder", "latent", "decoder", "patches"}
    assert found["bytes_per_patch"]["output"] > 1
    if name in ("blt_d", "blt_dv"):
        assert found["block"] == BLOCK
        assert found["rounds"] <= found["fills"] <= BLOCK * found["rounds"]
    if name == "blt_d":
        assert found["nfe"]["output"]["encoder"] == found["rounds"]
        assert found["nfe"]["output"]["decoder"] == found["fills"]
    if name in ("blt_s", "blt_dv"):
        assert text(found) == text(record(call, runs["blocks"], *GREEDY))
        assert found["acceptance"] == found["accepted"] / found["drafted"]


def test_people_are_told_the_same(call: Call, runs: dict[str, Path]) -> None:
    said = call(str(runs["blocks"]), *GREEDY, "--method", "blt_dv")[2]
    found = record(call, runs["blocks"], *GREEDY, "--method", "blt_dv")
    nfe = found["nfe"]["output"]
    for each in (
        "35 bytes by blt_dv in", "on the prompt", "on the output", f"blocks filled in {found['fills']} steps",
        f"NFE: entropy {nfe['entropy']}, encoder {nfe['encoder']}, latent {nfe['latent']}, decoder {nfe['decoder']}",
        f"{found['acceptance']:.1%} of {found['drafted']} drafted bytes kept in {found['rounds']} rounds",
    ):  # fmt: skip
        assert each in said


def test_texts_do_not_depend_on_how_many(call: Call, runs: dict[str, Path]) -> None:
    for method in ("blt_d", "blt_dv"):
        arguments = ("--length", "12", "--seed", "4", "--method", method)
        one, three = (record(call, runs["blocks"], *arguments, "--count", count) for count in ("1", "3"))
        assert one["samples"] == three["samples"][:1]
        assert len({each["base64"] for each in three["samples"]}) == 3


@pytest.mark.parametrize(
    ("run", "arguments", "said"),
    [
        ("plain", ["--method", "blt_d"], ["--method", "'blt_d' is for models", "trained with blocks", "train blt-d"]),
        ("plain", ["--method", "blt_dv"], ["--method", "'blt_dv' is for models", "objective blt_diffusion"]),
        ("plain", ["--fill", "entropy"], ["--fill", "--method blt_d and blt_dv"]),
        ("blocks", ["--method", "blt_x"], ["no method is called 'blt_x'", "'blt_s'"]),
        ("blocks", ["--method", "ancestral"], ["--method", "no method is called 'ancestral'", "blt_dv"]),
        ("blocks", ["--method", "blt", "--draft", "4"], ["--draft", "'blt' has no such setting", "--method blt_s"]),
        ("blocks", ["--method", "blt_d", "--draft", "4"], ["--draft", "'blt_d' has no such setting", "blt_s"]),
        ("blocks", ["--method", "blt_s", "--draft", "0"], ["draft", "out of range"]),
        ("blocks", ["--method", "blt_s", "--align", "none"], ["--align", "blt_d and blt_dv"]),
        ("blocks", ["--draft", "4", "--gamma", "1"], ["--gamma", "'blt_s' has no such setting"]),
        ("blocks", ["--refresh", "always"], ["--refresh", "'blt' has no such setting", "blt_s and blt_dv"]),
        ("blocks", ["--method", "blt_d", "--refresh", "never"], ["--refresh", "'blt_d' has no such setting"]),
        ("blocks", ["--method", "blt_d", "--block", "8"], ["--block", "as in training"]),
        ("blocks", ["--method", "blt_d", "--gamma", "1"], ["--gamma", "'confidence'", "entropy and entropy-max"]),
        ("blocks", ["--method", "blt_d", "--fill", "entropy", "--alpha", "1"], ["--alpha", "--fill confidence"]),
        ("blocks", ["--method", "blt_dv", "--alpha", "0.3"], ["--alpha", "'one-step'"]),
        ("blocks", ["--method", "blt_d", "--alpha", "1.5"], ["alpha", "out of range"]),
        ("blocks", ["--method", "blt_d", "--fill", "entropy", "--gamma", "-1"], ["gamma", "out of range"]),
        ("blocks", ["--method", "blt_d", "--fill", "one-step"], ["fill", "unjudged"]),
        ("blocks", ["--method", "blt_dv", "--align", "cut"], ["align", "judged, not cut"]),
        ("blocks", ["--method", "blt_d", "--steps", "9"], ["--steps", "not for runs of backbone blt"]),
        ("blocks", ["--method", "blt_d", "--threshold", "0.9"], ["--threshold", "not for runs of backbone blt"]),
        ("flat", ["--method", "blt_dv"], ["--method", "'blt_dv' is for runs of backbone blt"]),
        ("flat", ["--fill", "entropy"], ["--fill", "is for runs of backbone blt"]),
        ("flat", ["--alpha", "0.5"], ["--alpha", "is for runs of backbone blt"]),
        ("flat", ["--align", "none"], ["--align", "is for runs of backbone blt"]),
    ],
)
def test_what_cannot_be_is_one_line(
    call: Call, runs: dict[str, Path], run: str, arguments: list[str], said: list[str]
) -> None:
    code, out, err = call(str(runs[run]), *arguments)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert all(each in err for each in said), err
    assert not out


@pytest.mark.parametrize("method", ["blt", "blt_s", "blt_d", "blt_dv"])
def test_a_trace_of_the_first_text_is_written(
    call: Call, runs: dict[str, Path], tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isobyte.evaluate.generate.AT_ONCE", 1)
    page, arguments = tmp_path / "t.html", ("--prompt", "We ", "--length", "30", "--count", "2", "--method", method)
    found = record(call, runs["blocks"], *arguments, "--trace", str(page))
    html = page.read_bytes().decode()
    assert f"<dd>{method}</dd>" in html
    assert found["samples"] == record(call, runs["blocks"], *arguments)["samples"], "watching changes nothing"
    data = json.loads(re.search(r'id="data">(.*?)</script>', html)[1])  # type: ignore[index]
    settled = [kind for *_, kind, _ in data["items"] if kind not in ("bar", "refused", "late")]
    assert len(settled) == 30
    assert settled.count("given") == 3
    shown = "".join(re.findall(r'<pre class="text">(.*?)</pre>', html, re.DOTALL))
    assert unescape(shown) == found["samples"][0]["text"]
