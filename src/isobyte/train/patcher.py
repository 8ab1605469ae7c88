"""What a run's patcher needs before the run itself is trained: its scorer, and the threshold its patches ask for.

All of it is a function of the config and the training text, kept beside the prepared text, and made once for all runs
that share that.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import torch.distributed as dist
from safetensors.torch import load, save

from isobyte.backbone.patching.calibrate import calibrate, decisive, patch_statistics, training_ids, warning
from isobyte.backbone.patching.corpus import patcher_hash
from isobyte.backbone.patching.ngram import fit_ngram
from isobyte.backbone.patching.patcher import NgramTable, Patcher
from isobyte.config.backbone import BltConfig
from isobyte.config.base import canonical_json
from isobyte.config.patching import EntropyPatching, FlatScorer
from isobyte.config.run import RunConfig
from isobyte.data.prepared import Prepared
from isobyte.files import read_json, write_atomic, write_json
from isobyte.train.parallel import Ranks
from isobyte.train.runtime import Runtime
from isobyte.train.scorer import Train, load_scorer, scorer_run
from isobyte.train.shared import alone, shared_folder

CALIBRATION_WINDOWS = 256

_SHOWN = 32
"""Training windows whose patches are reported."""


def fit_patcher(
    patcher: Patcher,
    config: RunConfig,
    prepared: Prepared,
    train: Train,
    *,
    runtime: Runtime,
    report: Callable[[dict[str, Any]], None] = lambda _record: None,
    ranks: Ranks | None = None,
) -> None:
    """Give the patcher of a Byte Latent Transformer's run its scorer's weights and its open thresholds.

    `train` is `train.loop.train`, asked for a scorer. One to be trained is trained once for all runs on this prepared
    text, in `scorers/` beside it; other processes wait for it, and one that was stopped goes on from its checkpoint.
    What patches the first training windows have is reported, with a warning where they are all bytes or whole windows.
    Raises UserError for a scorer that is neither trained nor named, for a `path` that holds another kind of run, and
    for a mean length that no threshold gives.
    """
    assert isinstance(config.backbone, BltConfig)
    rule = config.backbone.patching
    if isinstance(rule, EntropyPatching):
        if isinstance(rule.scorer, FlatScorer):
            path = scorer_run(rule.scorer, config, prepared, train, runtime=runtime, report=report)
            load_scorer(patcher, path)
        else:
            _count(patcher, prepared)
        _set_threshold(patcher, config, prepared)
    shown = training_ids(prepared.stream("train"), config.train.window, _SHOWN)
    found = patch_statistics(patcher.starts(shown.to(patcher.device)))
    report({"phase": "patcher", "mean_length": found.mean_length, "warning": warning(found)})
    if ranks is not None and ranks.world > 1:  # machines may round differently
        for value in patcher.state_dict().values():
            dist.broadcast(value, 0)


def _count(patcher: Patcher, prepared: Prepared) -> None:
    """The n-gram scorer's table, counted or as it was counted before."""
    assert isinstance(patcher.config, EntropyPatching)
    assert isinstance(patcher.scorer, NgramTable)
    scorer, stream = patcher.config.scorer, prepared.stream("train")
    assert not isinstance(scorer, FlatScorer)
    name = f"ngram-{scorer.content_hash()}"
    path = shared_folder(prepared) / f"{name}.safetensors"
    with alone(prepared, name):
        if not path.exists():
            fit_ngram(patcher.scorer, stream.read, min(scorer.train_bytes, len(stream)))
            write_atomic(path, save({"entropy": patcher.scorer.entropy.cpu()}))
    patcher.scorer.entropy.copy_(load(path.read_bytes())["entropy"])


def _set_threshold(patcher: Patcher, config: RunConfig, prepared: Prepared) -> None:
    """Open thresholds, from the first training windows or as they were set before."""
    open_ = decisive(patcher)
    if open_ is None or not bool(open_.isnan()):
        return
    rule, window = patcher.config, config.train.window
    told = {"rule": rule.model_dump(mode="json"), "patcher": patcher_hash(patcher), "window": window}
    name = f"threshold-{hashlib.sha256(canonical_json(told).encode()).hexdigest()[:16]}"
    path = shared_folder(prepared) / f"{name}.json"
    with alone(prepared, name):
        if not path.exists():
            calibrate(patcher, training_ids(prepared.stream("train"), window, CALIBRATION_WINDOWS))
            write_json(path, {**told, "threshold": float(open_)})
    open_.fill_(read_json(path)["threshold"])
