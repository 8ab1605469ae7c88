"""A run's patcher before the run: its scorer trained once, read from a run, or counted; one threshold for all."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from isobyte.backbone.byte_ids import BOS, OFFSET, ids_of
from isobyte.backbone.flat import FlatModel, initialise
from isobyte.backbone.mask import CAUSAL
from isobyte.backbone.patching.calibrate import training_ids
from isobyte.backbone.patching.corpus import patcher_hash
from isobyte.backbone.patching.patcher import NgramTable, Patcher, entropy_of
from isobyte.config.backbone_flat import FlatConfig
from isobyte.config.patching import EntropyPatching
from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.data.prepared import Prepared
from isobyte.errors import UserError
from isobyte.train.loop import train
from isobyte.train.patcher import fit_patcher
from isobyte.train.runtime import Runtime
from isobyte.train.scorer import in_ids
from tiny import run_config, run_data

SHAPE = {"kind": "flat", "layers": 1, "width": 8, "heads": 2}
SCORER = {"kind": "flat", "shape": SHAPE | {"attention_window": 6}, "train": run_data(steps=8)["train"]}
RUNTIME = Runtime(device="cpu", threads=1)


def blt(scorer: dict[str, Any], **patching: Any) -> RunConfig:
    rule = {"kind": "entropy", "scorer": scorer, **({"mean_length": 3.0} | patching)}
    parts = {"encoder": SHAPE, "latent": SHAPE, "decoder": SHAPE, "hash_sizes": ()}
    return RunConfig.model_validate(run_data() | {"backbone": {"kind": "blt", **parts, "patching": rule}})


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    config = run_config()
    return prepare(config.data, config.representation, tmp_path / "data")


def fitted(config: RunConfig, prepared: Prepared, **more: Any) -> Patcher:
    patcher = Patcher(config.backbone.patching)  # type: ignore[union-attr]
    fit_patcher(patcher, config, prepared, train, runtime=RUNTIME, **more)
    return patcher


def test_a_scorer_is_trained_once_and_patches_have_the_mean_length(prepared: Prepared) -> None:
    config, seen = blt(SCORER, mean_length=2.5), []
    first = fitted(config, prepared, report=seen.append)
    assert {record["phase"] for record in seen} == {"scorer", "patcher"}
    assert seen[-1]["mean_length"] == pytest.approx(2.5, rel=0.2)
    assert seen[-1]["warning"] is None
    ids = training_ids(prepared.stream("train"), config.train.window)
    bits = first.starts(ids)[:, 1:]
    assert bits.numel() / int(bits.sum()) == pytest.approx(2.5, rel=0.02)
    (run,) = [path for path in (prepared.folder / "scorers").iterdir() if path.is_dir()]
    assert json.loads((run / "result.json").read_text())["steps"] == 8
    weights, told = (run / "model.safetensors").stat().st_mtime_ns, []
    second = fitted(config, prepared, report=told.append)
    assert [record["phase"] for record in told] == ["patcher"], "nothing is trained again"
    assert (run / "model.safetensors").stat().st_mtime_ns == weights
    assert patcher_hash(second) == patcher_hash(first)
    assert Prepared.open(prepared.folder, verify=True).manifest == prepared.manifest


def test_a_threshold_in_the_cache_is_taken_as_it_is(prepared: Prepared) -> None:
    config = blt(SCORER)
    fitted(config, prepared)
    (path,) = (prepared.folder / "scorers").glob("threshold-*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"threshold": 1.75}))
    assert float(fitted(config, prepared).threshold) == 1.75
    for other in (blt(SCORER, mean_length=2.0), blt(SCORER, rule="monotonic"), blt(SCORER, max_length=5)):
        fitted(other, prepared)
    assert len(list((prepared.folder / "scorers").glob("threshold-*.json"))) == 4
    assert float(fitted(blt(SCORER, threshold=2.5), prepared).threshold) == 2.5


def test_the_scorer_thinks_what_the_run_thinks(prepared: Prepared, tmp_path: Path) -> None:
    shape = FlatConfig.model_validate(SCORER["shape"])
    config = RunConfig.model_validate(run_data(steps=8) | {"backbone": shape.model_dump()})
    train(config, prepared, tmp_path / "run", runtime=RUNTIME)
    patcher = fitted(blt({"kind": "flat", "shape": SCORER["shape"], "path": str(tmp_path / "run")}), prepared)
    trained = fitted(blt(SCORER), prepared)  # the same text, seed and steps: the same weights
    assert patcher_hash(patcher) == patcher_hash(trained)
    assert patcher.scorer is not None
    assert not patcher.threshold.isnan()


def test_ids_of_bytes_have_the_logits_of_bytes() -> None:
    shape = FlatConfig.model_validate(SCORER["shape"])
    trained, scorer = FlatModel(shape, 256), FlatModel(shape, 260)
    initialise(trained, 3)
    with torch.no_grad():
        trained.head.weight.copy_(torch.randn(256, 8, generator=torch.Generator().manual_seed(1)))  # type: ignore[union-attr]
        trained.head.weight[255] -= 40 * trained.head.weight[255].sign()  # type: ignore[union-attr]
    scorer.load_state_dict(in_ids(trained))
    x_BT = torch.randint(256, (3, 12), generator=torch.Generator().manual_seed(2))
    x_BT[:, 0] = 256
    with torch.no_grad():
        expected = trained.logits(trained(x_BT, CAUSAL))
        found = scorer.logits(scorer(ids_of(x_BT), CAUSAL))
        assert torch.equal(found[..., OFFSET:], expected)
        assert torch.equal(found[..., :OFFSET], expected[..., 255:].expand(-1, -1, OFFSET))
        for special in range(OFFSET):  # any of them at the beginning is the beginning
            ids = ids_of(x_BT)
            assert bool((ids[:, 0] == BOS).all())
            ids[:, 0] = special
            assert torch.equal(scorer.logits(scorer(ids, CAUSAL)), found)
        # where the unused byte is as unlikely as training makes it, entropies are the network's own
        unlikely = expected[..., 255] < expected.amax(-1) - 30
        assert unlikely.any()
        torch.testing.assert_close(entropy_of(found)[unlikely], entropy_of(expected)[unlikely], atol=1e-5, rtol=0)


def test_ngrams_are_counted_once(prepared: Prepared) -> None:
    config = blt({"kind": "ngram", "context": 1}, mean_length=2.0)
    first = fitted(config, prepared)
    (path,) = (prepared.folder / "scorers").glob("ngram-*.safetensors")
    before = path.stat().st_mtime_ns
    second = fitted(config, prepared)
    assert path.stat().st_mtime_ns == before
    assert patcher_hash(first) == patcher_hash(second)
    assert isinstance(first.scorer, NgramTable)
    assert first.scorer.entropy.unique().numel() > 10
    fitted(blt({"kind": "ngram", "context": 1, "train_bytes": 500}, mean_length=2.0), prepared)
    assert len(list((prepared.folder / "scorers").glob("ngram-*.safetensors"))) == 2


@pytest.mark.parametrize(("threshold", "says"), [(0.0, "nearly every byte"), (99.0, "nearly every window")])
def test_a_threshold_that_makes_no_patches_is_said_to(prepared: Prepared, threshold: float, says: str) -> None:
    seen: list[dict[str, Any]] = []
    fitted(blt({"kind": "ngram"}, threshold=threshold), prepared, report=seen.append)
    assert says in seen[-1]["warning"]
    assert f"{seen[-1]['mean_length']:.2f} bytes" in seen[-1]["warning"]


def test_rules_without_a_scorer_need_nothing(prepared: Prepared) -> None:
    data = blt(SCORER).model_dump()
    config = RunConfig.model_validate(data | {"backbone": data["backbone"] | {"patching": {"kind": "space"}}})
    fitted(config, prepared)
    assert not (prepared.folder / "scorers").exists()


def test_bad_scorers_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    for kind in ("masked", "ar"):
        config = run_config(kind, steps=1)
        train(config, prepared, tmp_path / kind, runtime=RUNTIME)
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    begun = RunConfig.model_validate(run_data() | {"backbone": SCORER["shape"]})
    (tmp_path / "begun" / "config.json").write_text(begun.model_dump_json())

    def named(name: str) -> dict[str, Any]:
        return {"kind": "flat", "shape": SCORER["shape"], "path": str(tmp_path / name)}

    tied = SCORER | {"shape": SCORER["shape"] | {"tied": True}}
    for scorer, says in (
        ({"kind": "flat", "shape": SHAPE}, "give `train`, or the `path`"),
        (named("empty"), "holds no run"),
        (named("masked"), "bytes, masked, flat; a scorer is a run of bytes, ar, flat"),
        (named("ar"), "and the scorer is to be"),
        (named("begun"), "has no weights yet"),
        (tied, "tied head"),
    ):
        with pytest.raises(UserError, match=says):
            fitted(blt(scorer), prepared)
    with pytest.raises(UserError, match="cannot be had"):
        fitted(blt(SCORER, mean_length=9.0, max_length=4), prepared)


def test_two_ranks_train_one_scorer(prepared: Prepared, tmp_path: Path) -> None:
    """Both ask at once; one trains, the other waits and has the very same patcher."""
    config = tmp_path / "blt.json"
    config.write_text(blt(SCORER).model_dump_json())
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from isobyte.backbone.patching.corpus import patcher_hash\n"
        "from isobyte.backbone.patching.patcher import Patcher\nfrom isobyte.config.run import RunConfig\n"
        "from isobyte.data.prepared import Prepared\nfrom isobyte.train.loop import train\n"
        "from isobyte.train.patcher import fit_patcher\n"
        "from isobyte.train.parallel import join\nfrom isobyte.train.runtime import Runtime\n"
        "ranks = join('gloo')\n"
        "config = RunConfig.model_validate_json(Path(sys.argv[1]).read_text())\n"
        "patcher, steps = Patcher(config.backbone.patching), []\n"
        "prepared, runtime = Prepared.open(Path(sys.argv[2])), Runtime(device='cpu', threads=1)\n"
        "fit_patcher(patcher, config, prepared, train, runtime=runtime, report=steps.append, ranks=ranks)\n"
        "print(patcher_hash(patcher), sum(step['phase'] == 'scorer' for step in steps))\n"
    )
    command = [sys.executable, "-c", program, str(config), str(prepared.folder)]
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(_free_port())}
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | group | {"RANK": str(rank)})
        for rank in range(2)
    ]
    found = [process.communicate(timeout=120)[0].split() for process in running]
    assert found[0][0] == found[1][0]
    assert sorted(steps == "0" for _, steps in found) == [False, True]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def test_a_scorer_that_was_stopped_goes_on(prepared: Prepared) -> None:
    config = blt(SCORER | {"train": SCORER["train"] | {"steps": 30}})

    def stop(record: dict[str, Any]) -> None:
        if record.get("step") == 10:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        fitted(config, prepared, report=stop)
    (run,) = [path for path in (prepared.folder / "scorers").iterdir() if path.is_dir()]
    assert not (run / "result.json").exists()
    steps: list[int] = []
    whole = fitted(config, prepared, report=lambda record: steps.append(record.get("step", 99)))
    assert steps[0] == 20  # reports come every ten steps
    assert isinstance(whole.config, EntropyPatching)
    own = RunConfig.model_validate_json((run / "config.json").read_text())
    train(own, prepared, prepared.folder.parent / "uninterrupted", runtime=RUNTIME)
    both = [path / "model.safetensors" for path in (run, prepared.folder.parent / "uninterrupted")]
    assert both[0].read_bytes() == both[1].read_bytes()
