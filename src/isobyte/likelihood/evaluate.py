"""Bits per byte of a network on held-out windows."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from isobyte.backbone.mask import MaskSpec
from isobyte.config.objective import ArConfig, Objective
from isobyte.errors import UserError
from isobyte.likelihood.count_stratified import masked_nats
from isobyte.likelihood.exact import LogProbs, ar_nats
from isobyte.likelihood.value import Likelihood
from isobyte.objective.base import Network

Windows = Iterable[tuple[np.ndarray, np.ndarray]]
"""Batches of windows of one length: symbols [W, T] and raw bytes [W]."""


def network_log_probs(network: Network) -> LogProbs:
    """A network's log-probabilities, normalised in fp32 or better."""

    def log_probs(inputs_BT: Tensor, mask: MaskSpec, time_B: Tensor | None) -> Tensor:
        logits = network.logits(network(inputs_BT, mask, time_B=time_B))
        return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))

    return log_probs


@torch.inference_mode()
def evaluate(
    log_probs: LogProbs,
    objective: Objective,
    windows: Windows,
    vocab: int,
    *,
    passes: int,
    seed: int,
    device: torch.device | str = "cpu",
    logits_per_call: int = 1 << 23,
    progress: Callable[[int], None] | None = None,
) -> Likelihood:
    """The likelihood of all `windows`: exact for `ar`, a bound by `passes` passes a window for `masked`.

    Every window is scored at its true length; the bytes are those of the raw text. Raises UserError for no windows.
    """
    exact = isinstance(objective, ArConfig)
    symbols_per_call = max(1, logits_per_call // vocab)
    halves, sizes, symbols = [], [], 0
    for x_WT, bytes_W in windows:
        rows = max(1, symbols_per_call // (x_WT.shape[1] * (1 if exact else passes)))
        for start in range(0, len(x_WT), rows):
            x = torch.from_numpy(np.ascontiguousarray(x_WT[start : start + rows])).long().to(device)
            if isinstance(objective, ArConfig):
                nats = ar_nats(log_probs, x, vocab)[:, None].expand(-1, 2)
            else:
                nats = masked_nats(
                    log_probs,
                    x,
                    vocab,
                    passes=passes,
                    seed=seed,
                    first_window=sum(map(len, halves)),
                    told_rate=objective.time_conditioning,
                    symbols_per_call=symbols_per_call,
                )
            halves.append(nats.cpu().numpy())
            sizes.append(bytes_W[start : start + rows])
            symbols += x.numel()
            if progress is not None:
                progress(int(sizes[-1].sum()))
    if not halves:
        raise UserError("there is no text to score", where="evaluate", how="name a corpus with held-out text")
    return summarise(
        np.concatenate(halves),
        np.concatenate(sizes),
        symbols,
        exact=exact,
        passes=1 if exact else passes,
        seed=seed,
    )


def summarise(
    nats_W2: np.ndarray, bytes_W: np.ndarray, symbols: int, *, exact: bool, passes: int, seed: int
) -> Likelihood:
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
        kind="exact" if exact else "bound",
        estimator="exact" if exact else "count-stratified",
        stderr=0.0 if exact else math.sqrt(estimator_variance) * per_bit,
        stderr_text=None if text_variance is None else math.sqrt(text_variance) * per_bit,
        nfe=windows * passes,
        seed=None if exact else seed,
    )
