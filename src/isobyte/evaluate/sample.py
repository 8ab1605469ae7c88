"""Text from a finished run: what is given, which cells are hidden, and the windows that come of it."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from isobyte.config import objective as kinds
from isobyte.config.backbone import BltConfig
from isobyte.decode.methods import Settings
from isobyte.decode.sample import Samples, Watch, sample
from isobyte.errors import UserError
from isobyte.evaluate.bpb import run_settings
from isobyte.evaluate.loaded import LoadedRun, check_reads_text, load_run
from isobyte.likelihood.patch_order import counted_by
from isobyte.representation import Representation

AT_ONCE = 64
"""Windows that are sampled together."""

_GAP = re.compile(rb"\{\{(\d+)\}\}")


@dataclass(frozen=True)
class Ask:
    """What to sample: after a prompt, in a template's gaps, or freely; `length` symbols in all."""

    prompt: bytes = b""
    template: bytes | None = None
    length: int | None = None
    count: int = 1


@dataclass(frozen=True)
class Sampled:
    """Windows [count, T] of a run, the network's calls for each, and what they were sampled by."""

    run: LoadedRun
    method: str
    given_T: Tensor
    x_WT: Tensor
    nfe_W: Tensor
    seconds: float

    def symbols(self) -> list[int]:
        """Of each window; those of `patch_masked` differ."""
        return (self.x_WT < self.run.model.vocab).sum(1).tolist()

    def texts(self) -> list[bytes]:
        rows = zip(self.x_WT.cpu(), self.symbols(), strict=True)
        return [self.run.representation.decode(row[:count].numpy()) for row, count in rows]


def sample_run(
    path: Path,
    ask: Ask,
    settings: Settings,
    *,
    device: str = "auto",
    threads: int | None = None,
    watch: Callable[[LoadedRun, Tensor], Watch] | None = None,
) -> Sampled:
    """Windows of the run in `path`. `watch`, told the run and what is given [T], watches the first of them come about.

    Raises UserError for a folder without a finished run, for what does not fit into the run's window, and for
    methods, settings and gaps that the run's objective cannot take.
    """
    run = load_run(path, device, threads)
    check_reads_text(run.config, path)
    objective = run.config.objective
    log_count_T = None
    if isinstance(objective, kinds.PatchwiseConfig):
        if watch is not None:
            raise UserError(f"{objective.kind!r} has no page", where="--trace", how="leave it out")
        assert isinstance(run.config.backbone, BltConfig)
        length = ask.length or run.config.train.window
        log_count_T = counted_by(objective, run.config.backbone.patching, run_settings(run).counts, length)
    method = settings.checked(objective)
    if ask.count < 1:
        raise UserError(f"{ask.count} samples", where="--count", how="take at least 1")
    given_T = _given(run, ask)
    _check_gaps(objective, given_T == run.model.vocab)
    seen = watch(run, given_T) if watch is not None else None
    parts: list[Samples] = []
    begun = time.perf_counter()
    for first in range(0, ask.count, AT_ONCE):
        x_WT = given_T.expand(min(AT_ONCE, ask.count - first), -1).to(run.device)
        parts.append(
            sample(
                objective, run.model, x_WT, settings, first=first, watch=None if first else seen,
                log_count_T=log_count_T,
            )
        )  # fmt: skip
    seconds = time.perf_counter() - begun
    longest = max(part.x_WT.shape[1] for part in parts)
    x_WT = torch.cat([F.pad(part.x_WT, (0, longest - part.x_WT.shape[1]), value=run.model.vocab) for part in parts])
    nfe_W = torch.cat([part.nfe_W for part in parts])
    return Sampled(run, method, given_T, x_WT, nfe_W, seconds)


def _given(run: LoadedRun, ask: Ask) -> Tensor:
    """[T] the symbols that are given, id `vocab` for the hidden ones."""
    window, hidden = run.config.train.window, run.model.vocab
    if ask.template is not None:
        if ask.prompt or ask.length is not None:
            wrong = "--prompt" if ask.prompt else "--length"
            raise UserError(
                "a template already says what is given and how long all is", where=wrong, how="leave it out"
            )
        cells = template_cells(ask.template, run.representation, hidden)
        where, how = "--template", "shorten it"
    else:
        prompt = _symbols(ask.prompt, run.representation)
        length = window if ask.length is None else ask.length
        if length < 1:
            raise UserError(f"{length} symbols", where="--length", how="take at least 1")
        _check_whole(length, run.representation, "--length")
        if len(prompt) >= length <= window:
            raise UserError(
                f"takes all of the {length} symbols", where="--prompt", how="give less, or a greater --length"
            )
        cells = [*prompt, *[hidden] * (length - len(prompt))]
        where, how = "--length", "take no more than that"
    if len(cells) > window:
        raise UserError(f"{len(cells)} symbols, and the run was trained on windows of {window}", where=where, how=how)
    return torch.tensor(cells)


def template_cells(template: bytes, representation: Representation, hidden: int) -> list[int]:
    """The symbols of a text in which {{12}} stands for 12 hidden ones. Text between gaps is encoded piece by piece."""
    parts = _GAP.split(template)
    cells: list[int] = []
    for place, part in enumerate(parts):
        if place % 2:
            _check_whole(int(part), representation, "--template")
        cells += [hidden] * int(part) if place % 2 else _symbols(part, representation)
    if hidden not in cells:
        raise UserError("has no gap", where="--template", how="write {{12}} where 12 symbols are to be filled in")
    return cells


def _check_whole(count: int, representation: Representation, where: str) -> None:
    digits = representation.digits_per_byte
    if count % digits:
        raise UserError(f"{count} digits end inside a byte", where=where, how=f"take a multiple of {digits}")


def _symbols(text: bytes, representation: Representation) -> list[int]:
    return np.asarray(representation.encode(text)).astype(np.int64).tolist()


def _check_gaps(objective: kinds.Objective, hidden_T: Tensor) -> None:
    """What is given after a gap must be visible to whoever fills it."""
    unit = {"ar": 1, "patch_ar": 1, "block": getattr(objective, "block", 1)}.get(objective.kind)
    if unit is None:
        return
    first_gap, last_given = int(hidden_T.int().argmax()), int((~hidden_T).nonzero().max()) if (~hidden_T).any() else -1
    if last_given // unit > first_gap // unit:
        raise UserError(
            f"{objective.kind!r} fills no gap before text that it has not read yet",
            where="--template",
            how="put the gap last, or take a run of masked, span, any_order, eso or digits",
        )
