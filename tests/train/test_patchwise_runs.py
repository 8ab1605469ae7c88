"""Runs of whole patches, from the first step to their number; stopped and resumed, they are the same."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.data.prepared import Prepared
from isobyte.errors import UserError
from isobyte.evaluate.bpb import evaluate_run, run_settings
from isobyte.evaluate.interchange import export_run
from isobyte.evaluate.loaded import check_writes_text, load_run
from isobyte.likelihood.patch_counts import PatchCounts
from isobyte.train.boundaries import fit_patch_counts
from isobyte.train.loop import build_model, train
from isobyte.train.runtime import Runtime
from tiny import run_data

LOCAL = {"layers": 1, "width": 16, "heads": 2, "attention_window": 4}
WEIGHTS = [2.0 if byte == 32 else float(97 <= byte < 103) for byte in range(128)]
TEXT = {"corpus": {"kind": "synthetic", "law": "iid", "weights": WEIGHTS, "documents": 40, "document_bytes": 2000}}
"""Letters and spaces: words of different lengths."""
PATCHINGS: dict[str, dict[str, Any]] = {
    "space": {"kind": "space", "max_length": 5},
    "static": {"kind": "static", "size": 3},
    "entropy": {"kind": "entropy", "scorer": {"kind": "ngram", "context": 1}, "mean_length": 3},
}
DESIGNS = [(objective, patching) for objective in ("patch_masked", "patch_ar") for patching in PATCHINGS]
EVERY_DESIGN = pytest.mark.parametrize(("objective", "patching"), DESIGNS)


def config_of(objective: str, patching: str, steps: int = 8, **fields: Any) -> RunConfig:
    backbone = {
        "kind": "blt", "encoder": LOCAL, "latent": {"layers": 1, "width": 24, "heads": 2}, "decoder": LOCAL,
        "hash_sizes": [], "patching": PATCHINGS[patching],
    }  # fmt: skip
    data = run_data(objective, steps, micro_batch=2) | {"backbone": backbone, "data": TEXT}
    return RunConfig.model_validate(data | {"evaluate": {"max_bytes": 800, "passes": 4}} | fields)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    config = config_of("patch_ar", "static")
    return prepare(config.data, config.representation, tmp_path_factory.mktemp("patchwise") / "data")


@EVERY_DESIGN
def test_stopped_and_resumed_is_the_same_run_and_eval_says_its_number_again(
    prepared: Prepared, tmp_path: Path, objective: str, patching: str
) -> None:
    config = config_of(objective, patching)

    def stop(record: dict[str, Any]) -> None:
        if record.get("step") == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    whole = train(config, prepared, tmp_path / "whole", runtime=Runtime(threads=1))
    every = Runtime(threads=1, checkpoint_seconds=0.0, log_every=1)
    with pytest.raises(KeyboardInterrupt):
        train(config, prepared, tmp_path / "halved", runtime=every, report=stop)
    halved = train(config, prepared, tmp_path / "halved", runtime=Runtime(threads=1))
    for name in ("model.safetensors", *(["boundaries.safetensors"] if _paid(objective, patching) else [])):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "halved" / name).read_bytes()
    same = ("likelihood", "flops", "symbols", "bytes_per_patch", "breakdown")
    assert {key: halved[key] for key in same} == {key: whole[key] for key in same}
    assert whole["likelihood"]["kind"] == ("exact" if objective == "patch_ar" else "bound")
    scored = evaluate_run(tmp_path / "whole", data=None, device="cpu")
    assert scored.nats == whole["likelihood"]["nats"]
    other = evaluate_run(tmp_path / "whole", data=None, device="cpu", seed=11)
    assert (other.nats == scored.nats) == (objective == "patch_ar")


def _paid(objective: str, patching: str) -> bool:
    return objective == "patch_masked" and patching != "static"


@EVERY_DESIGN
def test_the_number_of_patches_is_paid_where_it_must_be(
    prepared: Prepared, tmp_path: Path, objective: str, patching: str
) -> None:
    config = config_of(objective, patching, steps=1)
    train(config, prepared, tmp_path, runtime=Runtime(threads=1))
    run = load_run(tmp_path, "cpu", 1)
    told = run_settings(run)
    assert run.folder.boundaries.exists() == (told.counts is not None) == _paid(objective, patching)
    if told.counts is not None:
        symbols = torch.from_numpy(prepared.stream("train").read(0, 1 << 30).astype("int64"))
        windows = symbols[: len(symbols) // 16 * 16].view(-1, 16)
        assert told.grouping is not None
        assert torch.equal(told.counts.counts_T, PatchCounts.fit(told.grouping.starts(windows)).counts_T)
        assert torch.equal(fit_patch_counts(config, prepared, run.model).counts_T, told.counts.counts_T)  # pyright: ignore[reportOptionalMemberAccess]
        assert int((told.counts.counts_T > 0).sum()) > 1


@pytest.mark.parametrize("objective", ["patch_masked", "patch_ar"])
def test_learning_beats_not_learning(prepared: Prepared, tmp_path: Path, objective: str) -> None:
    """From a little above 8 bits, ends included, to near the 2.8 bits of these letters."""
    found = [
        train(config_of(objective, "space", steps=steps), prepared, tmp_path / str(steps), runtime=Runtime(threads=1))
        for steps in (1, 60)
    ]
    before, after = (result["likelihood"]["bpb"] for result in found)
    assert 8 < before < 11
    assert after < before - 2.5


def test_another_order_of_reading_pays_for_the_patches_of_what_is_read(prepared: Prepared, tmp_path: Path) -> None:
    fresh: dict[str, Any] = {"permutation": {"kind": "nearby", "width": 3, "fresh": True}}
    plain, shuffled = config_of("patch_masked", "space"), config_of("patch_masked", "space", **fresh)
    counts = [fit_patch_counts(config, prepared, build_model(config, 256)) for config in (plain, shuffled)]
    assert counts[0] is not None
    assert counts[1] is not None
    assert not torch.equal(counts[0].counts_T, counts[1].counts_T)
    whole = train(shuffled, prepared, tmp_path, runtime=Runtime(threads=1))
    assert evaluate_run(tmp_path, data=None, device="cpu").nats == whole["likelihood"]["nats"]


@pytest.mark.parametrize("objective", ["patch_masked", "patch_ar"])
def test_what_writes_byte_by_byte_refuses_a_network_of_whole_patches(
    prepared: Prepared, tmp_path: Path, objective: str
) -> None:
    config = config_of(objective, "space", steps=1)
    train(config, prepared, tmp_path / "run", runtime=Runtime(threads=1))
    with pytest.raises(UserError, match="writes whole patches"):
        check_writes_text(config, tmp_path)
    with pytest.raises(UserError, match="writes whole patches"):
        export_run(tmp_path / "run", tmp_path / "out", "transformers")
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "done"
