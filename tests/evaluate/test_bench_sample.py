"""The benchmark of generation measures what it says; its speeds are nobody's test."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from blt_models import blt, local, texts
from isobyte.backbone import half
from isobyte.backbone.blt.packed import Packed
from isobyte.backbone.byte_ids import BOS
from isobyte.backbone.half import Weights
from isobyte.cli import main as cli
from isobyte.config.backbone import FlatConfig
from isobyte.config.patching import EntropyPatching, FlatScorer, SpacePatching
from isobyte.config.representation import BytesConfig
from isobyte.cost.bandwidth import (
    weights,
)
from isobyte.cost.blt import blt_parameters
from isobyte.data.stream import Stream
from isobyte.decode.blt import generate
from isobyte.decode.blt_settings import Settings
from isobyte.errors import UserError
from isobyte.evaluate import bench_ceiling, bench_subject
from isobyte.evaluate.bench_sample import Plan, bench_sample
from isobyte.evaluate.bench_subject import SMALL, Theirs, random_model, set_threshold
from isobyte.evaluate.generate import counters
from isobyte.representation import build
from isobyte.train.runtime import Runtime

CPU = Runtime(device="cpu", threads=1)
SCORER = FlatScorer(shape=FlatConfig(layers=1, width=16, heads=2, attention_window=8))
TINY = SMALL.model_copy(
    update={
        "encoder": local(1), "decoder": local(2), "latent": FlatConfig(layers=1, width=48, heads=4, ffn=64),
        "patching": EntropyPatching(scorer=SCORER, mean_length=2.5), "hash_vocab": 97,
    }
)  # fmt: skip
PLAN = Plan(lengths=(6, 24), batch=2, drafts=(2, 3), prompt_bytes=12, peer_bytes=(6,), peer_estimate=12, repeats=1)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_subject, "SMALL", TINY)
    monkeypatch.setattr(bench_ceiling, "_enough", lambda: 1 << 12)
    monkeypatch.setattr(bench_ceiling, "LARGE", 64)


def test_the_usual_model_has_the_size_it_is_known_by() -> None:
    found = blt_parameters(SMALL)
    assert 65e6 < found.N_total + found.patcher < 70e6


@pytest.mark.parametrize("ways", [("fp32",), ("fp16", "fp32")])
def test_every_way_gives_the_same_bytes_and_transformers_too(ways: tuple[Weights, ...]) -> None:
    record = bench_sample(None, replace(PLAN, weights=ways), CPU)
    assert [(row["weights"], row["new_bytes"]) for row in record["plain"]] == [(w, n) for w in ways for n in (6, 24)]
    assert [(row["weights"], row["draft"], row["refresh"]) for row in record["drafts"]] == [
        (way, k, refresh) for way in ways for k in (2, 3) for refresh in ("never", "at_boundary", "always")
    ]
    assert all(row["identical"] for row in (*record["plain"], *record["drafts"]))
    assert [(row["weights"], row["bytes"]) for row in record["batch"]] == [(way, 48) for way in ways]
    measured = [row for row in record["peer"]["lengths"] if row["measured"]]
    assert [(row["new_bytes"], row["identical"]) for row in measured] == [(6, True)]
    assert [row["new_bytes"] for row in record["peer"]["lengths"] if not row["measured"]] == [6, 12]
    assert 1.5 < record["plain"][1]["bytes_per_patch"]["output"] < 4
    assert all(list(row["ratio"]) == list(ways) for row in measured)
    rates = record["ceiling"]["bytes_per_second"]
    assert list(rates) == list(ways)
    for row in (*record["plain"], *record["batch"], *record["drafts"]):
        assert row["bytes_read"]["weight_width"] == (2 if row["weights"] == "fp16" else 4)
        for name, rate in rates[row["weights"]].items():
            floor = rate / row["bytes_read"]["full"]["all"]
            assert row["share"][name] == pytest.approx(row["bytes_per_second"] / floor)
    json.dumps(record)


def test_random_weights_are_measured_both_ways_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan((4,), 1, (), (), 12, 4, (), None, 1)
    assert [row["weights"] for row in bench_sample(None, plan, CPU)["plain"]] == ["fp32", "fp16"]
    monkeypatch.setattr(half, "possible", lambda _model: False)
    assert [row["weights"] for row in bench_sample(None, plan, CPU)["plain"]] == ["fp32"]
    with pytest.raises(UserError, match="by CPUs only"):
        bench_sample(None, replace(plan, weights=("fp16",)), CPU)


def test_a_shape_that_transformers_does_not_have_is_measured_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_subject, "TRIALS", 2)
    record = bench_sample("blt", Plan((4,), 1, (2,), ("never",), 12, 4, (4,), None, 1), CPU)
    assert "cross_residual" in record["peer"]["left_out"]
    assert record["drafts"][0]["identical"]


def test_a_rule_that_asks_no_scorer_has_no_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = TINY.model_copy(update={"patching": SpacePatching()})
    monkeypatch.setattr(bench_subject, "SMALL", shape)
    record = bench_sample(None, Plan((8,), 1, (2,), ("never",), 12, 4, (), None, 1), CPU)
    assert record["threshold"] is None
    assert record["drafts"][0]["passes_per_round"]["entropy"] == 0
    assert record["drafts"][0]["identical"]


def test_a_run_goes_on_from_evenly_spread_places_of_a_text() -> None:
    text = bytes(range(200)) * 2
    stream = Stream.of([text], build(BytesConfig()))
    assert bench_subject._passages(stream, 2, 50) == [[BOS, *range(4, 54)], [BOS, *range(4, 54)]]
    assert bench_subject._passages(stream, 4, 3)[1] == [BOS, 104, 105, 106]
    with pytest.raises(UserError, match="at least 500"):
        bench_subject._passages(stream, 5, 100)


def test_the_other_program_is_given_the_same_weights() -> None:
    model = random_model(TINY)
    model.patcher.threshold.fill_(5.0)
    theirs, ids = Theirs(model, 64), texts(1, 40)
    with torch.no_grad():
        expected, found = model.id_logits(model.hidden(ids)), theirs.model(input_ids=ids, use_cache=False).logits
    assert (expected - found).abs().max() < 1e-4
    assert theirs.seconds(ids[0].tolist(), (10, 20, 40)) > 0


def test_a_threshold_is_set_by_what_is_generated() -> None:
    """Other bytes than the prompt's have other patches."""
    model = random_model(TINY)
    prompt, packed = texts(1, 20)[0].tolist(), Packed(model)
    for wanted in (1.5, 3.0):
        set_threshold(model, packed, prompt, wanted)
        found = generate(model, [prompt], Settings(192, temperature=0), packed=packed).output.bytes_per_patch
        assert found == pytest.approx(wanted, rel=0.25)


def test_the_command_prints_tables_and_a_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = "--lengths 6 24 --batch 2 --drafts 2 --prompt-bytes 12 --peer-bytes 6 --peer-estimate None --repeats 1"
    for extra in ([], ["--json"]):
        monkeypatch.setattr(
            sys, "argv", ["isobyte", "bench", "sample", *arguments.split(), *extra, "--out", str(tmp_path)]
        )
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, _ = capsys.readouterr()
        assert exit_.value.code == 0
        if extra:
            assert json.loads(out)["command"].startswith("isobyte bench sample --lengths 6 24")
        else:
            assert all(word in out for word in ("share", "at_boundary", "transformers", "ceiling"))
    assert len(list(tmp_path.glob("bench-sample-*.json"))) == 1


def test_what_cannot_be_is_refused() -> None:
    for source, plan, said in (
        ("byte-ar", PLAN, "flat"),
        ("nothing", PLAN, "unknown recipe"),
        (None, Plan(lengths=()), "--lengths"),
        (None, Plan(batch=0), "--batch"),
        (None, Plan(drafts=(0,)), "--drafts"),
        (None, Plan(weights=("fp16",), bf16=True), "--weights"),
    ):
        with pytest.raises(UserError, match=said):
            bench_sample(source, plan, CPU)


def test_counters_tell_both_bandwidths_of_the_passes_made() -> None:
    model, prompt = blt(), texts(1, 12)[0].tolist()
    done = generate(model, [prompt], Settings(30, temperature=0, draft=4))
    found = counters([done], model, "never")
    read, passes = found["bytes_read"], done.output.passes
    per_byte = 4 * passes["decoder"] * weights(model.shape).decoder / 30
    assert read["full"]["decoder"] == pytest.approx(per_byte)
    assert read["published"] > read["published_weights_passes_counted"], "two latent passes a round, one made"
    assert found["nfe"]["output"]["latent"] == passes["latent"]
