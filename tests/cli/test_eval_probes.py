"""`isobyte eval --probe`, on runs of many kinds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny import run_data

Call = Callable[..., tuple[int, str, str]]
WORDS = b"the quick brown fox jumps over the lazy dogs, and there sat another one of them; "
LOCAL = {"layers": 1, "width": 16, "heads": 2, "attention_window": 8}
BLT = {
    "kind": "blt", "encoder": LOCAL, "latent": {"layers": 1, "width": 24, "heads": 2}, "decoder": LOCAL,
    "hash_vocab": 50, "patching": {"kind": "space"},
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "masked": {"objective": {"kind": "masked", "time_conditioning": True}},
    "any_order": {"objective": {"kind": "any_order"}},
    "block": {"objective": {"kind": "block", "block": 6}},
    "eso": {"objective": {"kind": "eso"}},
    "digits": {"objective": {"kind": "digits"}},
    "blt": {"backbone": BLT},
}


@pytest.fixture
def trained(isobyte: Call, tmp_path: Path) -> Callable[..., Path]:
    def train(**changed: Any) -> Path:
        (tmp_path / "text").write_bytes(WORDS * 60)
        data = {"corpus": {"kind": "files", "paths": [str(tmp_path / "text")]}, "piece_bytes": 200}
        recipe = run_data("ar", 2, window=32) | {"data": data} | changed
        (tmp_path / "run.json").write_text(json.dumps(recipe))
        status, _, err = isobyte("train", str(tmp_path / "run.json"), "--out", str(tmp_path / "run"))
        assert status == 0, err
        return tmp_path / "run"

    return train


def test_a_run_is_probed_and_told_of(isobyte: Call, trained: Callable[..., Path]) -> None:
    run = trained()
    every = ("--probe", "words,fragility,segmentation", "--probe-vocab", "270", "--max-bytes", "256", "--json")
    status, out, err = isobyte("eval", str(run), *every)
    found = json.loads(out.splitlines()[-1], parse_constant=lambda name: pytest.fail(name))
    result = json.loads((run / "result.json").read_text())
    assert status == 0
    assert {name: found["run"][name] for name in ("N", "flops")} == {name: result[name] for name in ("N", "flops")}
    assert found["run"]["objective"] == {"kind": "ar"}
    assert (found["seed"], found["data"]) == (0, None)
    probes = found["probes"]
    assert list(probes) == ["words", "fragility", "segmentation"]
    assert [(cell["layout"], cell["n"], cell["gap"]) for cell in probes["words"]["cells"]] == [
        ("left", n, 0) for n in (2, 4, 8)
    ]
    assert 3 < probes["words"]["unigram"]["mean"] < 6
    assert probes["fragility"]["windows"] == probes["segmentation"]["windows"] == 8
    assert probes["segmentation"]["tokenizer"]["vocab_size"] == 270
    for title in ("hidden words given n bytes", "when k neighbours are lost", "where predictive entropy peaks"):
        assert title in " ".join(err.split())
    for seed in (0, 1):
        _, out, _ = isobyte(
            "eval", str(run), "--probe", "fragility", "--max-bytes", "256", "--seed", str(seed), "--json"
        )
        again = json.loads(out.splitlines()[-1])["probes"]["fragility"]
        assert (again == probes["fragility"]) == (seed == 0)


@pytest.mark.parametrize("kind", KINDS)
def test_runs_of_every_kind_are_probed(isobyte: Call, trained: Callable[..., Path], kind: str) -> None:
    run = trained(**KINDS[kind])
    every = ("--probe", "words,fragility,segmentation", "--probe-vocab", "270", "--max-bytes", "70", "--json")
    status, out, _ = isobyte("eval", str(run), *every)
    found = json.loads(out.splitlines()[-1])["probes"]
    assert status == 0
    assert found["words"]["cells"][0]["bits_per_byte"]["mean"] > 0
    assert found["fragility"]["context"] == {"block": "block", "blt": "left"}.get(kind, "around")
    assert ("masked" in found["fragility"]["lost"]["1"]) == (kind in ("masked", "any_order", "digits"))
    assert ("around" in found["segmentation"]["contexts"]) == (kind not in ("block", "blt"))


def test_a_run_says_which_probes_it_has(isobyte: Call, trained: Callable[..., Path], tmp_path: Path) -> None:
    run = trained(representation={"kind": "bpe", "vocab_size": 270})
    status, _, err = isobyte("eval", str(run), "--probe", "segmentation")
    said = " ".join(err.split())
    assert (status, "its symbols are segments already; the run has: words" in said) == (2, True)
    status, out, _ = isobyte("eval", str(run), "--probe", "words", "--data", str(tmp_path / "text"), "--json")
    assert (status, json.loads(out.splitlines()[-1])["data"]) == (0, str(tmp_path / "text"))


def test_shuffled_runs_have_none(isobyte: Call, trained: Callable[..., Path]) -> None:
    run = trained(permutation={"kind": "window"})
    status, _, err = isobyte("eval", str(run), "--probe", "words")
    assert (status, "reads the text shuffled" in " ".join(err.split())) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--probe", "word"), "did you mean 'words'"),
        (("--probe", "words", "--passes", "4"), "leave out what estimates one"),
        (("--probe", "segmentation", "--probe-vocab", "9"), "take at least 256"),
        (("--probe", "segmentation", "--probe-tokenizer", "/not/there"), "is not there"),
    ],
)
def test_bad_input(isobyte: Call, trained: Callable[..., Path], arguments: tuple[str, ...], said: str) -> None:
    status, _, err = isobyte("eval", str(trained()), *arguments)
    assert (status, said in " ".join(err.split())) == (2, True)
