"""A finished run, ready to be asked."""

from dataclasses import dataclass
from pathlib import Path

import torch

from isobyte.backbone import half
from isobyte.config.objective import PatchwiseConfig
from isobyte.config.run import RunConfig
from isobyte.errors import UserError
from isobyte.objective.network import Model
from isobyte.representation import Representation, load
from isobyte.train.checkpoint import load_weights
from isobyte.train.folder import RunFolder
from isobyte.train.loop import build_model
from isobyte.train.runtime import Runtime


@dataclass(frozen=True)
class LoadedRun:
    folder: RunFolder
    config: RunConfig
    representation: Representation
    model: Model
    device: torch.device


def check_writes_text(config: RunConfig, path: Path) -> None:
    """As `check_reads_text`, and for one that writes whole patches, which `sample` alone asks for. Raises UserError."""
    if isinstance(config.objective, PatchwiseConfig):
        raise UserError(
            f"objective {config.objective.kind} writes whole patches, and only `isobyte sample` knows how",
            where=str(path),
            how="take a run of another objective",
        )
    check_reads_text(config, path)


def check_reads_text(config: RunConfig, path: Path) -> None:
    """Raises UserError for a run whose network reads, and so would write, text in another order."""
    if config.permutation is not None:
        raise UserError(
            f"reads text shuffled by {config.permutation.kind!r}, and would write it so",
            where=str(path),
            how="take a run without permutation",
        )


def load_run(path: Path, device: str = "auto", threads: int | None = None, weights: half.Weights = "fp32") -> LoadedRun:
    """The run in `path` with its trained weights in fp32, rounded to fp16 numbers if asked. Raises UserError for a
    folder without a finished run, and for weights that are too large for that."""
    folder = RunFolder(path)
    config = folder.config()
    if not folder.weights.exists():
        raise UserError("has no weights yet", where=str(path), how="finish the run with `isobyte train` first")
    representation = load(path / "representation")
    where = Runtime(device=device, threads=threads).apply()
    model = build_model(config, representation.vocab_size).to(where)
    load_weights(folder.weights, model)
    if weights == "fp16":
        half.round_to_half(model)
    return LoadedRun(folder, config, representation, model, where)
