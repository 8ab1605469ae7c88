"""Texts whose probabilities are known, and networks that know them."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isobyte.config.objective import (
    AnyOrderConfig,
    ArConfig,
    BlockConfig,
    EsoConfig,
    MaskedConfig,
    Objective,
    SpanConfig,
)
from isobyte.evaluate.probes.subject import Subject
from isobyte.likelihood.oracle import seen
from isobyte.objective.base import LogProbs, View
from isobyte.random import generator

OBJECTIVES: dict[str, Objective] = {
    "ar": ArConfig(),
    "masked": MaskedConfig(),
    "span": SpanConfig(),
    "any_order": AnyOrderConfig(),
    "any_order_within": AnyOrderConfig(within=4),
    "block": BlockConfig(block=5),
    "eso_left": EsoConfig(alpha0=0.0),
    "eso": EsoConfig(alpha0=0.5),
    "eso_open": EsoConfig(alpha0=0.5, cached=False),
    "eso_masked": EsoConfig(alpha0=1.0),
}
AROUND = ("masked", "span", "any_order", "eso", "eso_open", "eso_masked")


class Chain:
    """A stationary Markov chain over some byte values, with all transitions possible."""

    def __init__(self, values: bytes, transitions: NDArray[np.float64], vocab: int = 256) -> None:
        self.vocab = vocab
        self.values = np.frombuffer(values, np.uint8).astype(np.int64)
        self.P = transitions / transitions.sum(1, keepdims=True)
        powers = np.linalg.matrix_power(self.P, 2000)
        self.pi = powers[0]

    def text(self, length: int, seed: int) -> bytes:
        draw, cumulative = generator(seed, "chain").random(length), self.P.cumsum(1)
        state = int(np.searchsorted(self.pi.cumsum(), draw[0]).clip(max=len(self.pi) - 1))
        states = [state]
        for u in draw[1:]:
            state = int(np.searchsorted(cumulative[state], u).clip(max=len(self.pi) - 1))
            states.append(state)
        return self.values[states].astype(np.uint8).tobytes()

    def states(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self.values, x)

    def log_p(self, x_T: NDArray[np.int64], known_T: NDArray[np.bool_]) -> float:
        """Nats of the known symbols together, the others summed out from left to right."""
        forward, nats = self.pi, 0.0
        for place, (x, known) in enumerate(zip(self.states(x_T), known_T, strict=True)):
            forward = forward if place == 0 else forward @ self.P
            if known:
                forward = np.where(np.arange(len(self.pi)) == x, forward, 0.0)
            nats, forward = nats + np.log(forward.sum()), forward / forward.sum()
        return float(nats)

    def at(self, contexts_RT: Tensor, place_R: Tensor) -> Tensor:
        """[R, values] p(symbol | visible): only the nearest visible ones to its left and right matter."""
        length, states = contexts_RT.shape[1], len(self.pi)
        powers = torch.tensor(np.stack([np.linalg.matrix_power(self.P, d) for d in range(length + 1)]))
        place_T, visible = torch.arange(length), contexts_RT < self.vocab
        left = torch.where(visible & (place_T < place_R[:, None]), place_T, -1).amax(1)
        right = torch.where(visible & (place_T > place_R[:, None]), place_T, length).amin(1)
        index = torch.zeros(self.vocab + 1, dtype=torch.long)
        index[self.values] = torch.arange(states)
        shown = index[contexts_RT]
        l_R = shown.gather(1, left.clamp(min=0)[:, None]).squeeze(1)
        r_R = shown.gather(1, right.clamp(max=length - 1)[:, None]).squeeze(1)
        before = torch.where((left >= 0)[:, None], powers[place_R - left.clamp(min=0), l_R], torch.tensor(self.pi))
        distance = (right.clamp(max=length - 1) - place_R).clamp(min=0)
        after = torch.where((right < length)[:, None], powers[distance, :, r_R], 1.0)
        return before * after


class Mixture:
    """Independent bytes, by a law that is the same in all of a window: every visible byte says which."""

    vocab = 256

    def __init__(self, values: bytes, laws: NDArray[np.float64]) -> None:
        self.values = np.frombuffer(values, np.uint8).astype(np.int64)
        self.laws = laws / laws.sum(1, keepdims=True)

    def states(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self.values, x)

    def log_p(self, x_T: NDArray[np.int64], known_T: NDArray[np.bool_]) -> float:
        """Nats of the known bytes together."""
        return float(np.log(self.laws[:, self.states(x_T[known_T])].prod(1).mean()))

    def at(self, contexts_RT: Tensor, place_R: Tensor) -> Tensor:
        shown = torch.ones(len(self.laws), 257, dtype=torch.float64)
        shown[:, self.values] = torch.tensor(self.laws)
        contexts_RT = contexts_RT.scatter(1, place_R[:, None], 256)
        return shown[:, contexts_RT].prod(-1).T @ torch.tensor(self.laws)


def knowing(values: NDArray[np.int64], at: Callable[[Tensor, Tensor], Tensor], vocab: int = 256) -> LogProbs:
    """A network with these weights of `values`, of every place and what it is shown; what it sees, it is certain of."""

    def log_probs(view: View) -> Tensor:
        contexts_BAT, asked_BA = seen(view, vocab)
        contexts_RT, place_R = contexts_BAT.flatten(0, 1), asked_BA.flatten()
        own_R = contexts_RT.gather(1, place_R[:, None])
        weights = torch.zeros(len(place_R), vocab, dtype=torch.float64)
        weights[:, values] = at(contexts_RT, place_R)
        weights = torch.where(own_R < vocab, (own_R == torch.arange(vocab)).double(), weights)
        return (weights / weights.sum(1, keepdim=True)).log().view(*asked_BA.shape, vocab)

    return log_probs


def subject(name: str, source: Chain | Mixture, window: int) -> Subject:
    return Subject(
        OBJECTIVES[name], _few_at_once(knowing(source.values, source.at, source.vocab)), source.vocab, window
    )


def _few_at_once(log_probs: LogProbs, rows: int = 64) -> LogProbs:
    """Contexts of all cells of all rows take much memory."""

    def asked(view: View) -> Tensor:
        if len(view.inputs) <= rows:
            return log_probs(view)
        return torch.cat([asked(_rows(view, slice(at, at + rows))) for at in range(0, len(view.inputs), rows)])

    return asked


def _rows(view: View, rows: slice) -> View:
    def part(x: Tensor) -> Tensor:
        return x[rows] if x.ndim == 2 and len(x) > 1 else x

    mask, positions = view.mask, view.positions
    if mask.kind == "ranked":
        mask = type(mask)(part(mask.rank_BS), part(mask.noisy_BS))
    if positions is not None:
        positions = type(positions)(part(positions.asked), part(positions.held))
    return View(view.inputs[rows], mask, positions, view.time_B, view.asked)


def windows(source: Chain, count: int, window: int, seed: int) -> NDArray[np.int64]:
    """[count, window] independent ones."""
    rows = [np.frombuffer(source.text(window, seed * 100_003 + row), np.uint8) for row in range(count)]
    return np.stack(rows).astype(np.int64)
