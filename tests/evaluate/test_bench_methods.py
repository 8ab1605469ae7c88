"""Methods of generation side by side: what is counted, and what is said of a method that breaks its word."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from isobyte.backbone.byte_ids import COUNT
from isobyte.cli import main as cli
from isobyte.cli.bench_methods_chart import methods_figure
from isobyte.config.run import RunConfig
from isobyte.cost.bandwidth import PUBLISHED, published_bandwidth, published_calls, published_parameters, weights
from isobyte.data.stream import Stream
from isobyte.decode.blt import Generated
from isobyte.errors import UserError
from isobyte.evaluate import bench_methods as module
from isobyte.evaluate.bench_methods import Plan, bench_methods, passages
from isobyte.evaluate.bench_ways import TRIED, choose
from isobyte.evaluate.loaded import load_run
from isobyte.representation import build
from isobyte.representation import save as save_representation
from isobyte.study.report.chart import Points
from isobyte.study.report.matplotlib_chart import draw_svg
from isobyte.train.folder import RunFolder
from isobyte.train.loop import build_model
from isobyte.train.runtime import Runtime
from tiny import run_data

CPU = Runtime(device="cpu", threads=1)
LOCAL = {"layers": 1, "width": 16, "heads": 2, "attention_window": 8}
PATCHING = {"kind": "entropy", "scorer": {"kind": "flat", "shape": LOCAL}, "mean_length": 3}
ALL = ("blt", "blt_s", "blt_d", "blt_dv")
PLAN = Plan(ALL, texts=2, prompt_bytes=10, new_bytes=16, repeats=2)
BLOCK = 4
Call = Callable[..., tuple[int, str, str]]


@torch.no_grad()
def untrained(root: Path, objective: dict[str, Any], **backbone: Any) -> Path:
    """The folder of a run whose weights are random, of sizes that make the next byte depend on those before."""
    data = run_data() | {"objective": objective}
    latent = {"layers": 1, "width": 24, "heads": 2}
    data["backbone"] = {
        "kind": "blt", "encoder": LOCAL, "latent": latent, "decoder": LOCAL, "hash_vocab": 50, "patching": PATCHING,
        **backbone,
    }  # fmt: skip
    made = RunConfig.model_validate(data)
    torch.manual_seed(0)
    model = build_model(made, 256)
    for name, weight in model.named_parameters():
        scale = 1.0 if name.endswith("embedding.weight") else weight.shape[-1] ** -0.5
        weight.copy_(torch.ones_like(weight) if weight.ndim == 1 else scale * torch.randn_like(weight))
    model.head.weight.mul_(6)
    entropies = model.patcher.entropies(torch.randint(4, COUNT, (4, 64)))
    model.patcher.threshold.copy_(entropies.quantile(2 / 3))
    folder = RunFolder.create(root / "run", made)
    save_representation(build(made.representation), root / "run" / "representation")
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    folder.weights.write_bytes(save(tensors, {"config": made.content_hash()}))
    return root / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("blocks"), {"kind": "blt_diffusion", "block": BLOCK})


@pytest.fixture(scope="module")
def record(run: Path) -> dict[str, Any]:
    return bench_methods(str(run), PLAN, CPU)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def called(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["isobyte", "bench", "sample", *arguments])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capsys.readouterr()
        return int(exit_.value.code or 0), out, err

    return called


SMALL = (
    "--texts",
    "2",
    "--prompt-bytes",
    "10",
    "--new-bytes",
    "24",
    "--repeats",
    "1",
    "--threads",
    "1",
    "--device",
    "cpu",
)


def rows_of(record: dict[str, Any], method: str) -> list[dict[str, Any]]:
    return [row for row in record["rows"] if row["method"] == method]


def test_each_setting_has_a_row_with_a_name_of_its_own(record: dict[str, Any]) -> None:
    names = [row["name"] for row in record["rows"]]
    assert len(set(names)) == len(names) == 1 + len(TRIED) == 1 + 6 + 12 + 18
    assert {"blt", "blt_s:k8:at_boundary", "blt_d:entropy0.8:cut", "blt_dv:one-step:resume:always"} <= set(names)
    assert all(row["block"] == BLOCK for row in record["rows"] if "fill" in row)
    json.dumps(record, allow_nan=False)


def test_verified_methods_say_what_plain_decoding_says_and_others_need_not(record: dict[str, Any]) -> None:
    (plain,) = rows_of(record, "blt")
    verified = [row for row in record["rows"] if row["verified"]]
    assert {row["method"] for row in verified} == {"blt_s", "blt_dv"}
    for row in verified:
        quality = row["quality"]
        assert (quality["prefix"], quality["equal"], quality["identical"]) == (1.0, 1.0, True)
        assert (quality["bpb"], quality["chrf"]) == (plain["quality"]["bpb"], plain["quality"]["chrf"])
    assert record["broken"] == []
    assert any(row["quality"]["prefix"] < 1 for row in rows_of(record, "blt_d")), "drafts here are not always right"
    assert any(row["acceptance"] < 1 for row in verified)


def test_gigabytes_by_the_published_rule_follow_from_rounds_and_steps(run: Path, record: dict[str, Any]) -> None:
    """By hand: plain a call a byte; S its drafts and a judgement, D the steps of its blocks, DV steps and judgements;
    encoder and latent transformer once a patch, twice a round, once a block, twice a round."""
    decoder, latent = published_parameters(load_run(run, "cpu", 1).model.shape)  # type: ignore[arg-type]
    for row in record["rows"]:
        made, rounds, passes = row["bytes"], row.get("rounds", 0), row["nfe"]["output"]
        assert made == 32
        calls = {
            "blt": (made, passes["latent"]),
            "blt_s": (row.get("drafted", 0) + rounds, 2 * rounds),
            "blt_d": (row.get("fills", 0), rounds),
            "blt_dv": (row.get("fills", 0) + rounds, 2 * rounds),
        }[row["method"]]
        assert row["bytes_read"]["published"] * made == pytest.approx(4 * (calls[0] * decoder + calls[1] * latent))


def test_the_passes_made_are_those_that_fill_draft_and_judge(record: dict[str, Any]) -> None:
    for row in record["rows"]:
        passes, rounds = row["nfe"]["output"], row.get("rounds", 0)
        if row["method"] == "blt":
            assert passes["decoder"] == passes["entropy"] == row["bytes"] - 2, "the prompt gives a text's first byte"
        elif row["method"] == "blt_d":
            # the first fill of a block comes with what was settled before it
            assert passes["decoder"] == row["fills"]
            assert passes["encoder"] == rounds
            assert passes["entropy"] == (2 * rounds if row["align"] == "cut" else rounds)
        elif row["refresh"] == "never":
            drafts = row["drafted"] if row["method"] == "blt_s" else row["fills"]
            assert passes["decoder"] == drafts + rounds
            assert passes["entropy"] == rounds
        assert row["nfe_per_byte"]["decoder"] == passes["decoder"] / row["bytes"]
        assert row.get("acceptance") == (row["accepted"] / row["drafted"] if row["verified"] else None)


def test_what_is_read_in_full_is_weights_times_passes_and_more(run: Path, record: dict[str, Any]) -> None:
    read = weights(load_run(run, "cpu", 1).model.shape)  # type: ignore[arg-type]
    for row in record["rows"]:
        passes, full = row["nfe"]["output"], row["bytes_read"]["full"]
        for name in ("entropy", "encoder", "latent", "decoder"):
            assert full[name] * row["bytes"] == pytest.approx(4 * passes[name] * getattr(read, name))
        assert full["held"] > 0
        assert full["all"] == pytest.approx(sum(value for name, value in full.items() if name != "all"))


def test_calls_of_the_published_tables_follow_from_rounds() -> None:
    """3B Fr-En: drafts of 8 (65 rounds), blocks of 4 in 216 steps, blocks of 4 at once and judged (108.5 rounds)."""
    assert published_calls(512, 0, drafted=65 * 8, rounds=65) == (585, 130)
    assert published_calls(512, 0, drafted=0, rounds=128, fills=216) == (216, 128)
    assert published_calls(512, 0, drafted=434, rounds=108.5, fills=108.5) == (217, 217)
    for calls, printed in (((216, 128), 797.58), ((217, 217), 1307.60), ((580, 130), 928.73)):
        assert published_bandwidth(*calls, PUBLISHED["3B"]) / 1e9 == pytest.approx(printed, rel=0.01)


def test_ratios_are_of_one_round_and_the_median_is_told(record: dict[str, Any]) -> None:
    plain = record["rows"][0]
    assert plain["ratios"] == [1.0, 1.0]
    for row in record["rows"]:
        assert row["bytes_per_second"] == pytest.approx(sum(row["rates"]) / 2)
        assert row["ratios"] == [rate / one for rate, one in zip(row["rates"], plain["rates"], strict=True)]
    assert len(record["processor_share"]) == 2


def test_prompts_are_cut_from_the_text_that_is_held_out() -> None:
    text = b"".join(b"%04d" % n for n in range(250))
    stream = Stream.of([text], build(RunConfig.model_validate(run_data()).representation))
    pairs = passages(stream, 5, 30, 20, seed=1)
    assert len({prompt for prompt, _ in pairs}) == 5
    assert all(len(prompt) == 30 and len(after) == 20 and prompt + after in text for prompt, after in pairs)
    assert passages(stream, 5, 30, 20, seed=1) == pairs != passages(stream, 5, 30, 20, seed=2)
    with pytest.raises(UserError, match=r"at least 1,050"):
        passages(stream, 21, 30, 20, seed=1)


def test_texts_that_are_drawn_have_no_greedy_one_beside_them(run: Path) -> None:
    plan = replace(PLAN, only=("*k4:never", "*one-step:none:never"), temperature=1.0, repeats=1)
    found = bench_methods(str(run), plan, CPU)
    assert [row["name"] for row in found["rows"]] == ["blt", "blt_s:k4:never", "blt_dv:one-step:none:never"]
    assert all(row["quality"]["identical"] is None for row in found["rows"])
    assert found["broken"] == []
    panels = methods_figure(json.loads(json.dumps(found))).charts
    assert [chart.y.label for chart in panels] == ["BPB", "chrF"]


def test_the_picture_has_a_point_for_every_row(record: dict[str, Any]) -> None:
    figure = methods_figure(json.loads(json.dumps(record)))
    for chart in figure.charts:
        points = [mark for mark in chart.marks if isinstance(mark, Points)]
        assert sorted(name for mark in points for name in mark.hover) == sorted(row["name"] for row in record["rows"])
        named = [name for mark in points for name in mark.names if name]
        assert sorted(name.split()[0] for name in named) == ["BLT-D", "BLT-DV", "BLT-S"], "the fastest of each"
    assert [chart.y.label for chart in figure.charts] == ["BPB", "share"]
    assert draw_svg(figure) == draw_svg(figure)


def test_the_command_prints_a_table_and_keeps_record_and_picture(call: Call, run: Path, tmp_path: Path) -> None:
    to, arguments = (
        tmp_path / "bench-methods-cpu.json",
        (str(run), "--methods", "blt_s,blt_d", *SMALL, "--only", "*k4*"),
    )
    code, out, err = call(*arguments, "--out", str(to), "--json")
    assert code == 0
    printed = json.loads(out)
    assert json.loads(to.read_text()) == printed
    assert {"date", "commit", "command", "device", "torch"} <= set(printed)
    assert [row["name"] for row in printed["rows"]] == ["blt", "blt_s:k4:never", "blt_s:k4:at_boundary"]
    assert to.with_suffix(".svg").read_text().startswith("<?xml")
    assert "text 2 of 2" in err
    code, out, _ = call(*arguments, "--out", str(tmp_path / "folder"))
    assert code == 0
    assert "at_boundary" in out
    assert sorted(path.suffix for path in (tmp_path / "folder").glob("bench-methods-*")) == [".json", ".svg"]


def test_a_verified_method_that_says_something_else_is_told_loudly(
    call: Call, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    honest = module.generate

    def wrong(*arguments: Any, **options: Any) -> Generated:
        done = honest(*arguments, **options)
        if arguments[2].draft is None:
            return done
        return replace(done, texts=[bytes([*text[:-1], text[-1] ^ 1]) for text in done.texts])

    monkeypatch.setattr(module, "generate", wrong)
    to = tmp_path / "it.json"
    code, out, err = call(str(run), "--methods", "blt_s", *SMALL, "--only", "*k4:never", "--out", str(to))
    assert code == 1
    assert "blt_s:k4:never: not the bytes of plain decoding" in err
    assert " NO " in out
    assert "byte 23 is another" in out
    assert json.loads(to.read_text())["broken"] == ["blt_s:k4:never"]


def test_what_cannot_be_is_refused(call: Call, run: Path, tmp_path: Path) -> None:
    plain = untrained(tmp_path, {"kind": "ar"})
    for arguments, said in (
        ([str(run), "--methods", "blt_x"], "unknown method 'blt_x'"),
        ([str(run), "--methods", "blt_s", "--only", "blt_d*"], "matches no setting"),
        ([str(run), "--methods", "blt_s", "--texts", "0"], "--texts"),
        ([str(run), "--methods", "blt_s", "--lengths", "7"], "--lengths"),
        ([str(run), "--texts", "3"], "--texts"),
        (["blt", "--methods", "blt_s"], "folder of a run"),
        ([str(plain), "--methods", "blt_d"], "trained with blocks"),
    ):
        code, _, err = call(*arguments)
        assert code == 2
        assert said in err
    code, out, _ = call(str(plain), "--methods", "blt,blt_s", *SMALL, "--only", "*k4:never", "--json")
    assert code == 0
    assert json.loads(out)["block"] is None


def test_every_setting_is_one_that_a_model_with_blocks_can_do() -> None:
    for way in choose(ALL, (), 8):
        way.settings.check()
    assert [way.name for way in choose(("blt",), (), None)] == ["blt"]
