"""What a run's patcher needs before the run itself is trained: its scorer, and the threshold its patches ask for.

All of it is a function of the config and the training text, kept beside the prepared text, and made once for all runs
that share that.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load, save

from isobyte.backbone.byte_ids import BOS, COUNT, OFFSET
from isobyte.backbone.flat import FlatModel
from isobyte.backbone.patching.calibrate import calibrate, decisive, patch_statistics, training_ids, warning
from isobyte.backbone.patching.corpus import patcher_hash
from isobyte.backbone.patching.ngram import fit_ngram
from isobyte.backbone.patching.patcher import NgramTable, Patcher
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.base import canonical_json
from isobyte.config.objective import ArConfig
from isobyte.config.patching import EntropyPatching, FlatScorer
from isobyte.config.representation import BytesConfig
from isobyte.config.run import RunConfig
from isobyte.data.prepared import Prepared
from isobyte.errors import UserError
from isobyte.files import read_json, write_atomic, write_json
from isobyte.train.checkpoint import load_weights
from isobyte.train.folder import RunFolder
from isobyte.train.parallel import Ranks
from isobyte.train.runtime import Runtime

CALIBRATION_WINDOWS = 256

_SHOWN = 32
"""Training windows whose patches are reported."""
_UNSEEN = 0xFF
"""A byte that UTF-8 never has."""


def fit_patcher(
    patcher: Patcher,
    config: RunConfig,
    prepared: Prepared,
    *,
    runtime: Runtime,
    report: Callable[[dict[str, Any]], None] = lambda _record: None,
    ranks: Ranks | None = None,
) -> None:
    """Give the patcher of a Byte Latent Transformer's run its scorer's weights and its open thresholds.

    A scorer to be trained is trained once for all runs on this prepared text, in `scorers/` beside it; other processes
    wait for it, and one that was stopped goes on from its checkpoint. What patches the first training windows have is
    reported, with a warning where they are all bytes or whole windows. Raises UserError for a scorer that is neither
    trained nor named, for a `path` that holds another kind of run, and for a mean length that no threshold gives.
    """
    assert isinstance(config.backbone, BltConfig)
    rule = config.backbone.patching
    if isinstance(rule, EntropyPatching):
        if isinstance(rule.scorer, FlatScorer):
            path = scorer_run(rule.scorer, config, prepared, runtime=runtime, report=report)
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


def scorer_run(
    scorer: FlatScorer,
    config: RunConfig,
    prepared: Prepared,
    *,
    runtime: Runtime,
    report: Callable[[dict[str, Any]], None],
) -> Path:
    """The folder of the scorer's finished run, trained where there is none yet."""
    if scorer.path is not None:
        return Path(scorer.path)
    if scorer.train is None:
        raise UserError(
            "the scorer has no weights: it is neither to be trained nor read from a run",
            where="backbone.patching.scorer",
            how="give `train`, or the `path` of a finished run; weights come by themselves only with an imported model",
        )
    _check_untied(scorer.shape, "backbone.patching.scorer.shape")
    from isobyte.train.loop import train

    own = RunConfig(
        representation=BytesConfig(),
        objective=ArConfig(),
        backbone=scorer.shape,
        data=config.data,
        train=scorer.train,
        evaluate=config.evaluate.model_copy(update={"estimator": None}),
    )
    name = own.content_hash()
    with alone(prepared, name):
        path = _folder(prepared) / name
        # every rank comes here, and the first trains alone: the scorer is small
        train(own, prepared, path, runtime=runtime, report=lambda record: report({**record, "phase": "scorer"}))
    return path


def load_scorer(patcher: Patcher, path: Path) -> None:
    """The weights of a finished run as the patcher's scorer. Raises UserError for a run that cannot be one."""
    assert isinstance(patcher.config, EntropyPatching)
    assert isinstance(patcher.config.scorer, FlatScorer)
    shape = scorer_shape(path)
    if shape != patcher.config.scorer.shape:
        raise UserError(
            f"holds a run of shape {shape.canonical_json()}, and the scorer is to be "
            f"{patcher.config.scorer.shape.canonical_json()}",
            where=str(path),
            how="give backbone.patching.scorer.shape what the run has",
        )
    trained = FlatModel(shape, 256)
    load_weights(RunFolder(path).weights, trained)
    assert isinstance(patcher.scorer, FlatModel)
    patcher.scorer.load_state_dict(in_ids(trained))


def scorer_shape(path: Path) -> FlatConfig:
    """The shape of the network that run `path` trained. Raises UserError where it cannot tell how unsure it is."""
    config = RunFolder(path).config()
    if not (
        config.representation.kind == "bytes"
        and config.objective.kind == "ar"
        and isinstance(config.backbone, FlatConfig)
        and config.permutation is None
    ):
        found = f"{config.representation.kind}, {config.objective.kind}, {config.backbone.kind}"
        found += "" if config.permutation is None else f", permutation {config.permutation.kind}"
        raise UserError(
            f"holds a run of {found}; a scorer is a run of bytes, ar, flat", where=str(path), how="name such a run"
        )
    _check_untied(config.backbone, str(path))
    return config.backbone


def in_ids(trained: FlatModel) -> dict[str, torch.Tensor]:
    """Weights of a network over 256 symbols (and 256, the beginning) for one over the ids of `backbone.byte_ids`.

    All four ids that are no bytes look like the beginning. Their logits are those of byte 0xFF, which UTF-8 never has,
    so they get next to no probability, and a program that knows nothing of this project computes the same. (In text
    that is not UTF-8 they get as much as that byte.)
    """
    weights = dict(trained.state_dict())
    embedding, head = weights["embedding.weight"], weights["head.weight"]
    assert BOS < OFFSET
    special = embedding[256:].expand(OFFSET, -1)
    weights["embedding.weight"] = torch.cat((special, embedding[:256], embedding[256:]))
    weights["head.weight"] = torch.cat((head[_UNSEEN:].expand(OFFSET, -1), head))
    assert len(weights["head.weight"]) == COUNT
    return weights


def _check_untied(shape: FlatConfig, where: str) -> None:
    if shape.tied:
        raise UserError(
            "a scorer with a tied head would predict what stands for the beginning",
            where=where,
            how="take one with tied = false",
        )


def _count(patcher: Patcher, prepared: Prepared) -> None:
    """The n-gram scorer's table, counted or as it was counted before."""
    assert isinstance(patcher.config, EntropyPatching)
    assert isinstance(patcher.scorer, NgramTable)
    scorer, stream = patcher.config.scorer, prepared.stream("train")
    assert not isinstance(scorer, FlatScorer)
    name = f"ngram-{scorer.content_hash()}"
    path = _folder(prepared) / f"{name}.safetensors"
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
    path = _folder(prepared) / f"{name}.json"
    with alone(prepared, name):
        if not path.exists():
            calibrate(patcher, training_ids(prepared.stream("train"), window, CALIBRATION_WINDOWS))
            write_json(path, {**told, "threshold": float(open_)})
    open_.fill_(read_json(path)["threshold"])


def _folder(prepared: Prepared) -> Path:
    return prepared.folder / "scorers"


@contextmanager
def alone(prepared: Prepared, name: str) -> Iterator[None]:
    """Processes that want the same of a prepared folder take turns; the second finds the work done."""
    import fcntl

    _folder(prepared).mkdir(exist_ok=True)
    with (_folder(prepared) / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
