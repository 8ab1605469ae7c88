"""Bits per byte of a network on held-out windows."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch

from isobyte.errors import UserError
from isobyte.likelihood.estimator import Estimator
from isobyte.likelihood.value import Likelihood
from isobyte.objective.base import LogProbs

PARTS = 32
Windows = Iterable[tuple[np.ndarray, np.ndarray]]
"""Batches of windows of one length: symbols [W, T] and raw bytes [W]."""


@torch.inference_mode()
def evaluate(
    log_probs: LogProbs,
    estimator: Estimator,
    windows: Windows,
    *,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Likelihood:
    """The likelihood of all `windows`.

    Every window is scored at its true length; the bytes are those of the raw text. Raises UserError for no windows.
    """
    halves, sizes, symbols, passes = [], [], 0, 0
    for x_WT, bytes_W in windows:
        rows = estimator.rows(x_WT.shape[1])
        for start in range(0, len(x_WT), rows):
            x = torch.from_numpy(np.ascontiguousarray(x_WT[start : start + rows])).long().to(device)
            nats_W2 = estimator.nats(log_probs, x, sum(map(len, halves)))
            halves.append(nats_W2.cpu().numpy())
            sizes.append(bytes_W[start : start + rows])
            symbols += x.numel()
            passes += len(x) * estimator.passes(x.shape[1])
            if progress is not None:
                progress(int(sizes[-1].sum()))
    if not halves:
        raise UserError("there is no text to score", where="evaluate", how="name a corpus with held-out text")
    return summarise(np.concatenate(halves), np.concatenate(sizes), symbols, estimator, passes)


def summarise(nats_W2: np.ndarray, bytes_W: np.ndarray, symbols: int, estimator: Estimator, passes: int) -> Likelihood:
    """Totals and standard errors. The estimator's comes from the two halves, the text's from the windows."""
    windows, total = len(bytes_W), int(bytes_W.sum())
    nats_W = nats_W2.mean(1)
    nats = float(nats_W.sum())
    per_bit = 1 / (math.log(2) * total)
    estimator_variance = float((np.diff(nats_W2, axis=1) ** 2).sum()) / 4
    residual = nats_W - nats / total * bytes_W
    text_variance = float((residual**2).sum()) * windows / (windows - 1) if windows > 1 else None
    return Likelihood(
        nats=nats,
        bytes=total,
        symbols=symbols,
        windows=windows,
        kind=estimator.kind,
        estimator=estimator.name,
        stderr=math.sqrt(estimator_variance) * per_bit if estimator.random else 0.0,
        stderr_text=None if text_variance is None else math.sqrt(text_variance) * per_bit,
        nfe=passes,
        seed=estimator.seed if estimator.random else None,
        nats_by_part=by_part(nats_W, bytes_W),
        source=estimator.source,
    )


def by_part(nats_W: np.ndarray, bytes_W: np.ndarray) -> tuple[float, ...]:
    """Nats of `PARTS` equal parts of the text, in order: what two representations of one text can be paired over.

    A window that reaches into two parts is shared out by its bytes.
    """
    ends = np.concatenate(([0], np.cumsum(bytes_W)))
    cuts = np.linspace(0, ends[-1], PARTS + 1)
    return tuple(np.diff(np.interp(cuts, ends, np.concatenate(([0.0], np.cumsum(nats_W))))).tolist())
