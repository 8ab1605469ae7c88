"""Masked diffusion whose unit is a span: a coin per span, and each of its symbols asked for.

Where the text decides about the boundaries, the mask gives them away: unpaid, the cost is no bound
(`likelihood.boundaries`).
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isobyte.config.objective import SpanConfig
from isobyte.config.representation import BpeConfig
from isobyte.config.spans import BpeSpans, FixedSpans, GeometricSpans, Spans, WordSpans
from isobyte.objective.base import Question
from isobyte.objective.draw import Draw
from isobyte.objective.masked import masked_view, rates
from isobyte.representation.base import Representation

_SPACE = np.isin(np.arange(256), list(b" \t\n\r\v\f"))


def span_starts(spans: Spans, x_BT: NDArray[np.int64], uniform_BT: NDArray[np.floating]) -> NDArray[np.bool_]:
    """[B, T] bool: where a span begins; the first symbol always does. Only `uniform_BT` [0, 1) is random."""
    length = x_BT.shape[1]
    match spans:
        case FixedSpans():
            offset_B = (uniform_BT[:, 0] * spans.length).astype(np.int64)
            starts = (np.arange(length) + offset_B[:, None]) % spans.length == 0
        case GeometricSpans():
            starts = uniform_BT < 1 / spans.mean
        case WordSpans():
            space = _SPACE[x_BT]
            starts = np.zeros(x_BT.shape, bool)
            starts[:, 1:] = space[:, 1:] & ~space[:, :-1]
        case BpeSpans():
            starts = np.stack([_token_starts(_tokenizer(spans.path), row) for row in x_BT])
    starts[:, :1] = True
    return starts


def span_question(config: SpanConfig, x_BT: Tensor, vocab: int, draw: Draw) -> Question:
    """Each span is masked with its row's p(t), and its symbols asked for at the weight of t."""
    p_B, weight_B = rates(config.schedule, draw)
    length = x_BT.shape[1]
    starts = span_starts(config.spans, x_BT.cpu().numpy(), draw.uniform("span", length))
    index = np.maximum.accumulate(np.where(starts, np.arange(length), 0), axis=1)
    coins = np.take_along_axis(draw.uniform("mask", length), index, axis=1)
    masked_BT = torch.from_numpy(coins) < p_B[:, None]
    device = x_BT.device
    weights_BT = (masked_BT * weight_B[:, None]).to(device)
    return Question(masked_view(x_BT, masked_BT.to(device), vocab), x_BT, weights_BT)


def _token_starts(tokenizer: Representation, row: NDArray[np.int64]) -> NDArray[np.bool_]:
    starts = np.zeros(len(row), bool)
    lengths = tokenizer.byte_lengths()[tokenizer.encode(row.astype(np.uint8).tobytes())]
    starts[np.cumsum(lengths) - lengths] = True
    return starts


@lru_cache(maxsize=4)
def _tokenizer(path: str) -> Representation:
    from isobyte.representation.bpe_file import read

    return read(BpeConfig(path=path))
