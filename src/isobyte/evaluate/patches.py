"""Any rule's patches of a text: rules by name, patchers of trained runs, and a tokenizer's tokens beside them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from isobyte.backbone.patching.calibrate import (
    PatchStatistics,
    calibrate,
    patch_statistics,
    training_ids,
    uncapped_starts,
)
from isobyte.backbone.patching.document import document_entropies, document_ids
from isobyte.backbone.patching.ngram import fit_ngram
from isobyte.backbone.patching.patcher import NgramTable, Patcher
from isobyte.config.backbone import BltConfig
from isobyte.config.patching import BytePatching, EntropyPatching, NgramScorer, SpacePatching, StaticPatching
from isobyte.config.recipes import validate
from isobyte.config.representation import BpeConfig
from isobyte.data.prepared import Prepared
from isobyte.errors import UserError, nearest
from isobyte.representation import Representation, build
from isobyte.train.folder import RunFolder
from isobyte.train.scorer import load_scorer, scorer_shape

RULES = ("space", "static:4", "byte", "ngram:2", "bpe:TOKENIZER.json")
MEAN_LENGTH = 4.0
"""Bytes per patch where neither a threshold nor a mean is asked for."""
_WINDOW, _WINDOWS = 4096, 64
"""Of a training split, what thresholds are set on."""


@dataclass(frozen=True)
class Told:
    """What a rule by name is told; None where nothing was said."""

    rule: str | None = None
    threshold: float | None = None
    rise: float | None = None
    mean_length: float | None = None
    max_length: int | None = None

    def given(self) -> list[str]:
        return [name for name, value in vars(self).items() if value is not None]

    def refuse(self, names: list[str], why: str) -> None:
        """Raises UserError where one of `names` was said."""
        for name in names:
            if name in self.given():
                raise UserError(why, where=f"--{name.replace('_', '-')}", how="leave it out")


@dataclass(frozen=True)
class Patched:
    """A text, which of its bytes open a patch [n], and by a scorer the entropy of each given those before it (nats)."""

    text: bytes
    opens: NDArray[np.bool_]
    entropy: NDArray[np.float32] | None
    statistics: PatchStatistics

    def patches(self) -> list[tuple[int, int]]:
        """(start, stop) of each."""
        starts = np.flatnonzero(self.opens).tolist()
        return list(zip(starts, [*starts[1:], len(self.text)], strict=True))


def named(
    name: str, told: Told, text: bytes | None, learn_from: Prepared | None, device: torch.device
) -> Patcher | Representation:
    """The patcher called `space`, `static:4`, `byte`, `ngram:2`, or that of a run; a tokenizer for `bpe:FILE`.

    What is counted, and a threshold that is set for a mean length, comes from the training split of `learn_from`, else
    from `text` itself. Raises UserError for an unknown name and for settings that a rule cannot take.
    """
    kind, _, value = name.partition(":")
    entropic = ["rule", "threshold", "rise", "mean_length"]
    if kind in ("space", "static", "byte"):
        told.refuse(entropic, f"rule {kind} asks no scorer, and compares nothing")
    match kind:
        case "space" if not value:
            return Patcher(validate(SpacePatching, {"max_length": told.max_length}, where=name))
        case "static":
            size = _number(name, value, least=1)
            return Patcher(validate(StaticPatching, {"size": size, "max_length": told.max_length}, where=name))
        case "byte" if not value:
            told.refuse(["max_length"], "every byte is a patch already")
            return Patcher(BytePatching())
        case "bpe" if value:
            told.refuse([*entropic, "max_length"], "a tokenizer cuts as it was trained to")
            return build(BpeConfig(path=value))
        case "ngram":
            context = _number(name, value, least=0, most=2)
            patcher = _entropic({"kind": "ngram", "context": context}, told)
            _count(patcher, text, learn_from)
        case _ if Path(name).is_dir():
            config = RunFolder(Path(name)).config()
            if isinstance(config.backbone, BltConfig):
                told.refuse([*entropic, "max_length"], "the run is shown with the patches that it was trained on")
                return run_patcher(Path(name), config.backbone).to(device)
            shape = scorer_shape(Path(name))
            patcher = _entropic({"kind": "flat", "shape": shape.model_dump(), "path": name}, told)
            load_scorer(patcher, Path(name))
        case _:
            how = nearest(name, list(RULES)) + " (or name the folder of a run)"
            raise UserError(f"unknown rule {name!r}", how=how)
    patcher.to(device)
    _set_threshold(patcher, text, learn_from)
    return patcher


def run_patcher(path: Path, shape: BltConfig) -> Patcher:
    """The patcher of a finished run. Raises UserError where its weights are missing or do not fit."""
    patcher = Patcher(shape.patching, documents=shape.document_mask)
    wanted, weights = patcher.state_dict(), RunFolder(path).weights
    if not wanted:
        return patcher
    if not weights.exists():
        raise UserError("has no weights yet", where=str(path), how="finish the run with `isobyte train` first")
    try:
        with safe_open(weights, "pt") as file:
            names = [name for name in file.keys() if name.startswith("patcher.")]  # noqa: SIM118 - not a dict
            found = {name.removeprefix("patcher."): file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise UserError(f"is damaged ({error})", where=str(weights), how="train the run again") from None
    if {name: value.shape for name, value in wanted.items()} != {name: value.shape for name, value in found.items()}:
        raise UserError("its patcher does not fit its config", where=str(weights), how="train the run again")
    patcher.load_state_dict(found)
    return patcher


def patch_text(by: Patcher | Representation, text: bytes) -> Patched:
    """Patches of `text` as one document, the beginning before it. Raises UserError for an empty text."""
    if not text:
        raise UserError("it is empty", how="give a text")
    if not isinstance(by, Patcher):
        lengths = by.byte_lengths()[by.encode(text)]
        opens = np.zeros(len(text), np.bool_)
        opens[np.cumsum(lengths) - lengths] = True
        starts = torch.from_numpy(np.concatenate(([True], opens)))[None]
        return Patched(text, opens, None, patch_statistics(starts))
    ids = document_ids(text).to(by.device)
    entropy = document_entropies(by, ids)
    starts = by.starts_by(ids, entropy)
    statistics = patch_statistics(starts, uncapped_starts(by, ids, entropy))
    return Patched(text, starts[0, 1:].cpu().numpy(), None if entropy is None else entropy[0].cpu().numpy(), statistics)


def thresholds(by: Patcher | Representation) -> dict[str, float]:
    """Nats, by name: what the rule compares with."""
    if not isinstance(by, Patcher) or not isinstance(by.config, EntropyPatching):
        return {}
    used = {"global": ["threshold"], "monotonic": ["rise"], "both": ["threshold", "rise"]}[by.config.rule]
    return {name: float(getattr(by, name)) for name in used}


def _entropic(scorer: dict[str, Any], told: Told) -> Patcher:
    rule = told.rule or "global"
    if rule == "global":
        told.refuse(["rise"], "rule global compares entropies with --threshold alone")
    if rule == "monotonic":
        told.refuse(["threshold"], "rule monotonic compares rises of the entropy with --rise")
    if rule == "both" and told.rise is None:
        raise UserError("rule both needs it", where="--rise", how="give the nats by which the entropy is to rise")
    decisive = "rise" if rule == "monotonic" else "threshold"
    mean_length = told.mean_length
    if getattr(told, decisive) is None:
        mean_length = MEAN_LENGTH if mean_length is None else mean_length
    elif mean_length is not None:
        raise UserError(f"--{decisive} decides it already", where="--mean-length", how="give one of the two")
    told_rule = {"threshold": told.threshold, "rise": told.rise, "max_length": told.max_length}
    settings = {"scorer": scorer, "rule": rule, "mean_length": mean_length, **told_rule}
    return Patcher(validate(EntropyPatching, settings, where="data patches"))


def _count(patcher: Patcher, text: bytes | None, learn_from: Prepared | None) -> None:
    assert isinstance(patcher.scorer, NgramTable)
    most = NgramScorer(context=patcher.scorer.context).train_bytes
    if learn_from is not None:
        stream = learn_from.stream("train")
        fit_ngram(patcher.scorer, stream.read, min(most, len(stream)))
    elif text is not None:
        symbols = np.frombuffer(text, np.uint8)
        fit_ngram(patcher.scorer, lambda start, stop: symbols[start:stop], min(most, len(symbols)))


def _set_threshold(patcher: Patcher, text: bytes | None, learn_from: Prepared | None) -> None:
    if learn_from is not None:
        stream = learn_from.stream("train")
        calibrate(patcher, training_ids(stream, min(_WINDOW, len(stream)), _WINDOWS))
    elif text:
        ids = document_ids(text).to(patcher.device)
        calibrate(patcher, ids, document_entropies(patcher, ids))


def _number(name: str, value: str, least: int, most: int | None = None) -> int:
    between = f"from {least}" + ("" if most is None else f" to {most}")
    if not value.isascii() or not value.isdigit() or int(value) < least or (most is not None and int(value) > most):
        kind = name.partition(":")[0]
        raise UserError(f"{value!r} is no number {between}", where=name, how=f"write {kind}:{max(least, 2)}")
    return int(value)
