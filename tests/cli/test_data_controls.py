"""`isobyte data controls`: of studies, of runs and of their folders; its table, its JSON, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isobyte.config.run import RunConfig
from isobyte.evaluate.controls.measure import subject
from isobyte.representation import build, save
from isobyte.train.folder import RunFolder
from tiny import run_data, study_data

Call = Callable[..., tuple[int, str, str]]


def written(path: Path, data: dict[str, Any]) -> str:
    path.write_text(json.dumps(data))
    return str(path)


def study(path: Path) -> str:
    """Six designs: two without, a shuffle, the first again by another name, words, tokens."""
    data = study_data()
    plain, masked = data["designs"]
    data["designs"] += [
        plain | {"name": "shuffled", "permutation": {"kind": "nearby", "width": 8, "fresh": True}},
        plain | {"name": "again"},
        plain | {"name": "words", "permutation": {"kind": "inside"}},
        masked | {"name": "tokens", "representation": {"kind": "bpe", "vocab_size": 260}},
    ]
    return written(path, data)


def test_a_study_has_a_column_for_each_design(isobyte: Call, tmp_path: Path) -> None:
    status, out, err = isobyte("data", "controls", study(tmp_path / "s.json"), "--max-bytes", "6000", "--json")
    assert status == 0
    found = json.loads(out.splitlines()[-1])
    by_name = {each["name"]: each for each in found["designs"]}
    assert list(by_name) == ["byte-ar", "byte-masked", "shuffled", "again", "words", "tokens"]
    assert by_name["again"] == by_name["byte-ar"] | {"name": "again"}
    assert len({each["key"] for each in found["designs"]}) == 5
    assert all(name in err for name in by_name)
    for shown in ("nearby 8 fresh", "inside words", "told at lag 1", "nearest visible, symbols", "bytes per token"):
        assert shown in err, shown
    assert by_name["byte-ar"]["nearest"] == {"value": 1.0, "stderr": 0.0}
    assert by_name["shuffled"]["nearest"]["value"] > 1.5
    assert by_name["byte-ar"]["bytes"] == by_name["shuffled"]["bytes"] == pytest.approx(6000, abs=100)
    assert by_name["tokens"]["mutual_information"] is None
    assert "-: information, mutual_information: symbols are tokens" in err
    assert by_name["tokens"]["bytes"] == pytest.approx(6000, abs=100)


def test_tables_go_to_standard_output_without_json(isobyte: Call, tmp_path: Path) -> None:
    status, out, _ = isobyte("data", "controls", written(tmp_path / "r.json", run_data("block")), "--max-bytes", "2000")
    assert status == 0
    assert "visible run, symbols" in out
    assert not out.rstrip().endswith("}")


def test_a_run_s_folder_keeps_its_tokens(isobyte: Call, tmp_path: Path) -> None:
    """A recipe learns them from the text; a run has them, whatever the text is."""
    data = run_data("masked") | {
        "representation": {"kind": "bpe", "vocab_size": 260},
        "permutation": {"kind": "window"},
    }
    recipe, folder, text = written(tmp_path / "r.json", data), tmp_path / "out", tmp_path / "text"
    config = RunConfig.model_validate(data)
    RunFolder.create(folder, config)
    other = build(config.representation, [b"zyxwzyxw" * 9])
    save(other, folder / "representation")
    text.write_bytes(b"abcd efgh " * 100)
    found = {}
    for name in (recipe, str(folder)):
        status, out, _ = isobyte("data", "controls", name, str(text), "--bpe", "260", "--json")
        assert status == 0
        (found[name],) = json.loads(out.splitlines()[-1])["designs"]
    assert [each["name"] for each in found.values()] == ["r", "out"]
    assert found[recipe]["key"] == found[str(folder)]["key"] == subject(config).content_hash()
    assert found[recipe]["symbols"] < 700
    assert found[str(folder)]["symbols"] == len(other.encode(text.read_bytes())) // 16 * 16 == 992


def test_a_text_of_one_s_own(isobyte: Call, tmp_path: Path) -> None:
    """Any bytes; all of them, where they are fewer than asked for."""
    recipe, text = written(tmp_path / "r.json", run_data()), tmp_path / "text"
    text.write_bytes(bytes([255, 254, 97, 98]) * 500)
    status, out, _ = isobyte("data", "controls", recipe, str(text), "--bpe", "257", "--json")
    found = json.loads(out.splitlines()[-1])
    assert (status, found["file"]) == (0, str(text))
    (design,) = found["designs"]
    assert design["bytes"] == 2000
    assert design["histogram"]["entropy"]["value"] == pytest.approx(2)
    tokens = tmp_path / "tokens.json"
    assert isobyte("data", "controls", recipe, str(text), "--tokenizer", str(tokens))[0] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("no-such-recipe",), "unknown recipe"),
        (("{recipe}", "{folder}/none"), "no such file"),
        (("{recipe}", "{text}"), "--bpe: the training text yields only"),
        (("{recipe}", "{text}", "--bpe", "256"), "the text has 12 symbols, a window has 16"),
        (("{recipe}", "--max-bytes", "0"), "--max-bytes: 0 is too few"),
        (("{recipe}", "--bpe", "12"), "--bpe: 12 is too few"),
        (("{folder}",), "holds no run"),
    ],
    ids=["recipe", "file", "tokens", "window", "bytes", "bpe", "folder"],
)
def test_what_it_refuses(isobyte: Call, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "text").write_bytes(b"hello, world")
    names = {"recipe": written(tmp_path / "r.json", run_data()), "text": tmp_path / "text", "folder": tmp_path}
    status, _, err = isobyte("data", "controls", *(each.format(**names) for each in arguments))
    assert status == 2
    assert said in " ".join(err.split())
