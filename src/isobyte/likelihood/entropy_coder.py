"""From probabilities to bytes and back: a range coder in words of 32 bits (constriction, arXiv 2201.01741).

A coder counts in steps of 2^-24, and must give each symbol one, or what the model thinks impossible could not be
written. So what is coded is not p but q = (1 - V 2^-24) p + 2^-24. The library turns float64 probabilities into whole
steps by sums and products in a fixed order: equal log-probabilities give equal steps.
"""

from typing import Any

import constriction
import numpy as np
import torch
from torch import Tensor

from isobyte.errors import UserError

STEP = 2.0**-24
_stream: Any = constriction.stream  # pyright: ignore[reportAttributeAccessIssue] - a module without types
_MODEL = _stream.model.Categorical(perfect=False)


def bits_of(log_p_N: Tensor, vocab: int) -> Tensor:
    """[N] float64: what the coder spends on symbols of natural log-probability `log_p_N` out of `vocab`."""
    return -((1 - vocab * STEP) * log_p_N.double().exp() + STEP).log2()


class Encoder:
    def __init__(self) -> None:
        self._coder = _stream.queue.RangeEncoder()

    def encode(self, symbols_N: Tensor, log_NV: Tensor) -> None:
        """Append symbols by their natural log-probabilities. Raises UserError where those are not finite."""
        try:
            self._coder.encode(symbols_N.cpu().numpy().astype(np.int32), _MODEL, _probabilities(log_NV))
        except ValueError:
            raise UserError("the model's probabilities are not finite", where="the run", how="train it again") from None

    def payload(self) -> bytes:
        return self._coder.get_compressed().astype("<u4").tobytes()


class Decoder:
    def __init__(self, payload: bytes) -> None:
        words = np.frombuffer(payload, "<u4").astype(np.uint32)
        self._coder = _stream.queue.RangeDecoder(words)

    def decode(self, log_NV: Tensor) -> Tensor:
        """The next symbols [N]; of a payload that is not what was written, any symbols, or a ValueError."""
        try:
            symbols = self._coder.decode(_MODEL, _probabilities(log_NV))
        except AssertionError as problem:
            raise ValueError(*problem.args) from None
        return torch.from_numpy(symbols).long().to(log_NV.device)


def _probabilities(log_NV: Tensor) -> np.ndarray:
    """[N, V] in float64, in which the library's sums cannot overrun."""
    return np.ascontiguousarray(log_NV.double().exp().cpu().numpy())
