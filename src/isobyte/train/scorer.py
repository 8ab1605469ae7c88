"""A network that tells a patcher how unsure it is: a run of its own, and its weights over the ids of a patcher."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from isobyte.backbone.byte_ids import BOS, COUNT, OFFSET
from isobyte.backbone.flat import FlatModel
from isobyte.backbone.patching.patcher import Patcher
from isobyte.config.backbone import FlatConfig
from isobyte.config.patching import EntropyPatching, FlatScorer
from isobyte.config.run import RunConfig, scorer_run_config
from isobyte.data.prepared import Prepared
from isobyte.errors import UserError
from isobyte.train.checkpoint import load_weights
from isobyte.train.folder import RunFolder
from isobyte.train.runtime import Runtime
from isobyte.train.shared import alone, shared_folder

Train = Callable[..., Any]
"""`train.loop.train`: a run that needs a scorer trains another run first."""

_UNSEEN = 0xFF
"""A byte that UTF-8 never has."""


def scorer_run(
    scorer: FlatScorer,
    config: RunConfig,
    prepared: Prepared,
    train: Train,
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
    own = scorer_run_config(config)
    assert own is not None
    name = own.content_hash()
    with alone(prepared, name):
        path = shared_folder(prepared) / name
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
