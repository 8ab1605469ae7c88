"""`isobyte train` and `isobyte eval --masked-blocks` on a run that was trained with masked blocks."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from isobyte.cli.masked_blocks_output import summary
from tiny import run_data

LOCAL = {"layers": 1, "width": 16, "heads": 2, "attention_window": 8}
BACKBONE = {
    "kind": "blt", "encoder": LOCAL, "latent": {"layers": 1, "width": 24, "heads": 2}, "decoder": LOCAL,
    "hash_vocab": 50, "patching": {"kind": "static", "size": 3},
}  # fmt: skip
Call = Callable[..., tuple[int, str, str]]


def recipe(path: Path, objective: str) -> str:
    path.write_text(json.dumps(run_data(objective, 3, window=24) | {"backbone": BACKBONE}))
    return str(path)


@pytest.fixture
def call(isobyte: Call) -> Call:
    return isobyte


def test_training_ends_with_what_blocks_come_to_and_eval_says_it_again(call: Call, tmp_path: Path) -> None:
    run = tmp_path / "run"
    status, out, err = call("train", recipe(tmp_path / "run.json", "blt_diffusion"), "--out", str(run), "--json")
    assert status == 0
    found = json.loads((run / "result.json").read_text())["masked_blocks"]
    assert json.loads(out)["masked_blocks"] == found
    lines = summary(found).splitlines()
    assert [line in " ".join(err.split()) for line in lines] == [True, True]
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all(record["surrogate_masked_loss"] > 0 for record in metrics)

    status, out, err = call("eval", str(run), "--masked-blocks", "--json")
    assert status == 0
    *_, last = out.splitlines()
    assert json.loads(last) == found
    assert [line in " ".join(err.split()) for line in lines] == [True, True]
    assert "nats (surrogate)" in err


def test_eval_takes_other_text_and_more_windows(call: Call, tmp_path: Path) -> None:
    run, text = tmp_path / "run", tmp_path / "text"
    text.write_bytes(bytes(range(256)) * 4)
    assert call("train", recipe(tmp_path / "run.json", "blt_diffusion"), "--out", str(run))[0] == 0
    _, out, _ = call("eval", str(run), "--masked-blocks", "--data", str(text), "--max-bytes", "72", "--json")
    assert json.loads(out.splitlines()[-1])["windows"] == 3
    text.write_bytes(b"abcd")
    status, _, err = call("eval", str(run), "--masked-blocks", "--data", str(text))
    assert (status, "no room for a block of 4" in " ".join(err.split())) == (2, True)
    status, _, err = call("eval", str(run), "--masked-blocks", "--passes", "4")
    assert (status, "leave out what estimates one" in " ".join(err.split())) == (2, True)


def test_a_run_without_blocks_is_refused_and_its_result_has_none(call: Call, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert call("train", recipe(tmp_path / "run.json", "ar"), "--out", str(run))[0] == 0
    assert "masked_blocks" not in json.loads((run / "result.json").read_text())
    status, _, err = call("eval", str(run), "--masked-blocks")
    assert (status, "was trained without blocks" in " ".join(err.split())) == (2, True)


def test_the_summary_warns_of_a_leak_alone() -> None:
    def guesses(mean: float | None) -> dict[str, object]:
        return {"by_rate": {"1": {"accuracy": {"mean": mean, "stderr": 0.01}}}, "agreed_prefix": prefix}

    prefix = {"mean": 1.25, "stderr": None}
    found = {"block": 4, "layouts": {name: guesses(0.25) for name in ("training", "aligned", "amid", "resumed")}}
    right, agreed = summary(found).splitlines()
    assert right.startswith("masked blocks of 4, bytes right: as in training 25.0 +- 1.0 %, in generation 25.0")
    assert agreed.endswith("in generation 1.25, amid a patch 1.25, patch resumed 1.25")
    leaking = copy.deepcopy(found)
    leaking["layouts"]["training"] = guesses(0.9)
    assert "leak" in summary(leaking).splitlines()[-1]
    found["layouts"] |= {name: guesses(None) for name in ("training", "aligned")}
    assert len(summary(found).splitlines()) == 2
