"""Symbols to bytes and back along a walk: a likelihood that decodes.

Encoder and decoder walk the same windows with calls of the network of the same shapes, the one told what is there, the
other what it has just decoded. No pass over a whole text replaces the walk: a parallel pass and a step through a cache
differ in the last bits, and one differing bit loses what follows.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isobyte.config import objective as kinds
from isobyte.errors import UserError
from isobyte.likelihood.entropy_coder import Decoder, Encoder, bits_of
from isobyte.likelihood.patch_counts import PatchCounts
from isobyte.likelihood.patch_order import counted_by
from isobyte.likelihood.route import Route
from isobyte.objective.base import Network
from isobyte.objective.patchwise import Grouping, grouping_of
from isobyte.objective.permutation import HELD_OUT, Reading, carried
from isobyte.objective.walk import Reveal, Walk, drive, symbol_walk
from isobyte.objective.walk_digits import consistent_log_probs, digit_by_digit
from isobyte.objective.walk_patches import patch_symbols, patch_walk

Progress = Callable[[float], None]
"""Is told the share that is done."""
Tell = Callable[[Tensor, Tensor], None]
"""Symbols [N] and the log-probabilities [N, V] of their places."""


@dataclass(frozen=True)
class CodeLength:
    """`bits` as the coder spends them, and `model_bits` at the model's own probabilities.

    They part by a few 2^-24 per symbol, but where the model thinks what comes next all but impossible: no symbol
    costs the coder more than 24 bits.
    """

    bits: float
    model_bits: float


@dataclass(frozen=True)
class Codec:
    """A model, and the way through its windows."""

    objective: kinds.Objective
    network: Network
    route: Route
    device: torch.device | str = "cpu"
    reading: Reading | None = None
    """In which order the network reads a window, if not as it stands."""
    counts: PatchCounts | None = None
    """What the number of a window's patches is coded by."""

    @torch.inference_mode()
    def code_length(
        self, symbols: np.ndarray, *, progress: Progress | None = None, tell: Tell | None = None
    ) -> CodeLength:
        """Of symbols [n], by the walk alone; `tell` hears all that an encoder needs. Exact, with no estimate in it.

        Raises UserError where the model's probabilities are not finite.
        """
        bits, model_bits, done = 0.0, 0.0, _Share(progress, self._cells(len(symbols)))
        for start, rows, length in groups(len(symbols), self.route):
            x_WT = torch.from_numpy(symbols[start : start + rows * length].astype(np.int64)).view(rows, length)
            if self.reading is not None:
                x_WT = self.reading.read(x_WT, HELD_OUT, start // self.route.window + np.arange(rows))
            cells = self._as_cells(x_WT.to(self.device))

            def truth(reveal: Reveal, cells: Tensor = cells) -> Tensor:
                nonlocal bits, model_bits
                found_N = cells[reveal.rows, reveal.places]
                log_p_N = reveal.log_NV.gather(-1, found_N[:, None])[:, 0]
                bits += float(bits_of(log_p_N, reveal.log_NV.shape[-1]).sum())
                model_bits -= float(log_p_N.double().sum()) / math.log(2)
                if tell is not None:
                    tell(found_N, reveal.log_NV)
                done.add(self._told(found_N))
                return found_N

            drive(self._walk(rows, length), truth)
        if not math.isfinite(bits):
            raise UserError("the model's probabilities are not finite", where="the run", how="train it again")
        return CodeLength(bits, model_bits)

    def encode(self, symbols: np.ndarray, *, progress: Progress | None = None) -> tuple[bytes, CodeLength]:
        """A payload of whole 32-bit words, and the code length that it stands for."""
        encoder = Encoder()
        length = self.code_length(symbols, progress=progress, tell=encoder.encode)
        return encoder.payload(), length

    @torch.inference_mode()
    def decode(self, payload: bytes, count: int, *, progress: Progress | None = None) -> np.ndarray:
        """The `count` symbols that were encoded.

        Of another model's payload: any others, even ids that are none, or a ValueError.
        """
        decoder, parts, done = Decoder(payload), [np.empty(0, np.int64)], _Share(progress, self._cells(count))

        def decoded(reveal: Reveal) -> Tensor:
            found_N = decoder.decode(reveal.log_NV)
            done.add(self._told(found_N))
            return found_N

        for start, rows, length in groups(count, self.route):
            x_WT = drive(self._walk(rows, length), decoded).cpu()
            if self.reading is not None:
                x_WT = self.reading.unread(x_WT, HELD_OUT, start // self.route.window + np.arange(rows))
            parts.append(x_WT.flatten().numpy())
        return np.concatenate(parts)

    def _walk(self, rows: int, length: int) -> Walk:
        hidden_WT = torch.full((rows, length), self.network.vocab, device=self.device)
        if isinstance(self.objective, kinds.PatchwiseConfig):
            both_ways, log_count_T = isinstance(self.objective, kinds.PatchMaskedConfig), self._log_counts(length)
            return patch_walk(self.network, self._grouping, hidden_WT, both_ways=both_ways, log_count_T=log_count_T)
        if self.route.unit == "symbol":
            network = carried(self.network, self.reading, length)
            return symbol_walk(self.objective, network, hidden_WT, self.route.order)
        codes_VL = self.network.codes
        assert codes_VL is not None
        return digit_by_digit(consistent_log_probs(self.network), codes_VL, hidden_WT, self.route.order.choose)

    def _as_cells(self, x_WT: Tensor) -> Tensor:
        """[W, cells]: what the walk asks for: symbols, or digits, or bytes and the ends of patches."""
        if isinstance(self.objective, kinds.PatchwiseConfig):
            counted = self._log_counts(x_WT.shape[1]) is not None
            return patch_symbols(x_WT, self._grouping.starts(x_WT), self._grouping.rule, counted=counted)
        codes_VL = self.network.codes
        return x_WT if self.route.unit == "symbol" or codes_VL is None else codes_VL[x_WT].flatten(1)

    @property
    def _grouping(self) -> Grouping:
        found = grouping_of(self.network)
        assert found is not None, "a network of patches says how windows fall into them"
        return found

    def _log_counts(self, length: int) -> Tensor | None:
        assert isinstance(self.objective, kinds.PatchwiseConfig)
        return counted_by(self.objective, self._grouping.rule, self.counts, length)

    def _told(self, found_N: Tensor) -> int:
        """How many of what a walk was told are cells of the text, for the share that is done: no ends of patches."""
        return int((found_N < self.network.vocab).sum())

    def _cells(self, count: int) -> int:
        codes_VL = self.network.codes
        return count if self.route.unit == "symbol" or codes_VL is None else count * codes_VL.shape[1]


def groups(count: int, route: Route) -> Iterator[tuple[int, int, int]]:
    """Start, windows and length of what walks in lockstep: whole windows by groups, then the rest at its own length."""
    whole = count // route.window
    for first in range(0, whole, route.group):
        yield first * route.window, min(route.group, whole - first), route.window
    if count % route.window:
        yield whole * route.window, 1, count % route.window


class _Share:
    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def add(self, cells: int) -> None:
        self.done += cells
        if self.progress is not None:
            self.progress(min(1.0, self.done / self.total))  # numbers of patches come on top
