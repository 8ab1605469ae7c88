"""Windows in the order that a network reads them: a permutation of places, known from a window's number.

What is read is scored like any text. Where the order does not look at the text, undoing it is free, and the code length
of what is read is one of the text. Otherwise (`inside`, `units`) it is the code length of another source.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isobyte.backbone.layers import Positions
from isobyte.backbone.mask import Mask, MaskSpec
from isobyte.config.permutation import (
    Permutation,
    ShuffledBlocks,
    ShuffledInside,
    ShuffledNearby,
    ShuffledUnits,
    ShuffledWindow,
    Strided,
)
from isobyte.config.run import RunConfig
from isobyte.objective.base import Around, LogProbs, Network
from isobyte.objective.span import span_starts
from isobyte.random import generator

Places = NDArray[np.int64]
"""[N, T]: place i of what is read holds the symbol that stood at place p_i of the text."""


TRAINING, HELD_OUT = "training", "held-out"
"""Whose windows are numbered: orders that are fresh for each window do not repeat from the one to the other."""


@dataclass(frozen=True)
class Reading:
    """How windows of at most `window` symbols are read. Shorter ones keep the order of the places they have."""

    permutation: Permutation
    window: int

    def places(self, x_NT: Places, name: str, numbers: NDArray[np.int64]) -> Places:
        """Of windows x, the `numbers` of those called `name`."""
        length = x_NT.shape[1]
        kind = self.permutation
        if kind.one_for_all:
            keys = generator(kind.seed, "permutation").random((1, self.window))
            if isinstance(kind, Strided):
                keys = (np.arange(self.window) % kind.stride)[None]
            row_T = self._by_keys(np.zeros((1, self.window), np.int64), keys)[0]
            return np.tile(row_T[row_T < length], (len(x_NT), 1))
        keys = np.stack([generator(kind.seed, "permutation", name, int(n)).random(self.window) for n in numbers])
        return self._by_keys(x_NT, keys[:, :length])

    def read(self, x_NT: Tensor, name: str, numbers: NDArray[np.int64]) -> Tensor:
        """The windows as the network reads them."""
        places = self.places(x_NT.cpu().numpy(), name, numbers)
        return x_NT.gather(1, torch.from_numpy(places).to(x_NT.device))

    def unread(self, read_NT: Tensor, name: str, numbers: NDArray[np.int64]) -> Tensor:
        """The windows again. For invertible permutations alone."""
        assert self.permutation.invertible
        places = self.places(np.zeros(read_NT.shape, np.int64), name, numbers)
        return torch.empty_like(read_NT).scatter(1, torch.from_numpy(places).to(read_NT.device), read_NT)

    def stood(self, length: int) -> Tensor:
        """[1 + length] where in the text the symbol at each position of what is read stood; first that of BOS, -1."""
        row = self.places(np.zeros((1, length), np.int64), HELD_OUT, np.zeros(1, np.int64))[0]
        return torch.from_numpy(np.concatenate(([-1], row)))

    def _by_keys(self, x_NT: Places, keys_NT: NDArray[Any]) -> Places:
        """Places sorted by key, each by its own or by its unit's."""
        kind, place_T = self.permutation, np.arange(x_NT.shape[1])
        match kind:
            case ShuffledWindow() | Strided():
                return keys_NT.argsort(1, kind="stable")
            case ShuffledNearby() | ShuffledBlocks():
                first = np.broadcast_to(place_T // kind.width * kind.width, x_NT.shape)
            case ShuffledInside() | ShuffledUnits():
                starts = span_starts(kind.units, x_NT, keys_NT)
                first = np.maximum.accumulate(np.where(starts, place_T, 0), axis=1)
        if isinstance(kind, ShuffledNearby | ShuffledInside):
            return (first + keys_NT).argsort(1, kind="stable")
        # all of a unit have the key of its first symbol, and a stable sort leaves them in their order
        return np.take_along_axis(keys_NT, first, 1).argsort(1, kind="stable")


def reading_of(config: RunConfig) -> Reading | None:
    """How a run's network reads, if not a window as it stands."""
    return None if config.permutation is None else Reading(config.permutation, config.train.window)


class Carried(Around):
    """A network that is told of each cell where in the text its symbol stood (`_carried`); of windows of `length`."""

    def __init__(self, network: Network, reading: Reading, length: int) -> None:
        super().__init__(network)
        self.stood = reading.stood(length)

    def __call__(self, inputs_BS: Tensor, mask: Mask, *, positions: Positions | None = None, **named: Any) -> Tensor:
        return self.network(inputs_BS, mask, positions=_carried(self.stood, inputs_BS, mask, positions), **named)


def carried(network: Network, reading: Reading | None, length: int) -> Network:
    """The network as it is to be asked about windows of `length` that were read."""
    if reading is None or not reading.permutation.carries:
        return network
    return Carried(network, reading, length)


def carried_log_probs(log_probs: LogProbs, reading: Reading, length: int) -> LogProbs:
    """As `carried`, of what a network's log-probabilities are had by."""
    if not reading.permutation.carries:
        return log_probs
    stood = reading.stood(length)
    return lambda view: log_probs(replace(view, positions=_carried(stood, view.inputs, view.mask, view.positions)))


def _carried(stood: Tensor, inputs_BS: Tensor, mask: Mask, positions: Positions | None) -> Positions:
    """Positions in the text for those in what was read, which are the cells' own numbers if left out.

    From left to right a cell asks for the symbol at its position, and holds the one before.
    """
    if positions is None:
        at = torch.arange(inputs_BS.shape[1], device=inputs_BS.device)
        positions = Positions(at, at)
    stood, behind = stood.to(inputs_BS.device), int(isinstance(mask, MaskSpec) and mask.kind == "causal")
    return Positions(stood[positions.asked + 1], stood[positions.held + 1 - behind])
