"""How loose is the bound of a finished run? Its own bound, mixtures of orders, and decoders whose likelihood is exact.

Proven, of the windows measured and in expectation over the orders drawn:

- Each mixture of K orders is a bound of -log p(x) of the model whose bound the run reports, the one that reveals in
  random orders. It falls with K (`likelihood.mixture`).
- The bound's slack is what it lies above -log p(x); so it is at least what the bound lies above the largest mixture.
  How much more it is, nothing here says: the last doublings of K hint at it.
- A rule of unmasking (`duel:*`) is another decoder of the same network, and its likelihood is exact. What it lies below
  the bound is what that decoder gains. It is no slack of the bound, nor below or above it.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isobyte.data.window import EvalWindows
from isobyte.errors import UserError
from isobyte.evaluate.bpb import held_out_text, run_settings
from isobyte.evaluate.loaded import LoadedRun, load_run
from isobyte.likelihood.duel import NAMES as DUELS
from isobyte.likelihood.duel import PREFIX
from isobyte.likelihood.estimator import Estimator, Settings, build_estimator, estimators
from isobyte.likelihood.mixture import ask_network, draw_orders, mixture_nats, order_costs
from isobyte.likelihood.ratio import ratio_of
from isobyte.objective.digits import objective_log_probs
from isobyte.objective.permutation import HELD_OUT, carried
from isobyte.random import generator

ORDERS = 32
MAX_BYTES = 2048
"""Unless told otherwise. Little text, since most networks are asked ORDERS * T times about a window of T."""

Nats = NDArray[np.float64]
Windows = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Batches of windows of one length: symbols [W, T] and raw bytes [W]."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Rate:
    """Bits per byte, and how far other windows, with their own orders, would land (None of one window)."""

    bpb: float
    stderr: float | None

    @classmethod
    def of(cls, nats_W: Nats, bytes_W: NDArray[np.int64]) -> "Rate":
        rate, stderr = ratio_of(nats_W, bytes_W)
        assert rate is not None, "there are windows"
        return cls(rate / math.log(2), None if stderr is None else stderr / math.log(2))


@dataclass(frozen=True)
class Likelier:
    """A likelihood, and how far it lies below the bound, of the same windows."""

    rate: Rate
    below: Rate

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self.rate), "below": self.below.bpb, "below_stderr": self.below.stderr}


@dataclass(frozen=True)
class Slack:
    """What `measure_slack` finds. `bound` is as the objective's own estimator has it; what lies `below` it is counted
    from the same bound over the orders drawn, whose chance the mixtures share."""

    estimator: str
    bound: Rate
    duel: dict[str, Likelier]
    mixture: dict[int, Likelier]
    """By the number of orders."""
    windows: int
    bytes: int
    seed: int
    source: str
    """What these are likelihoods of, as `Likelihood.source`."""

    @property
    def at_least(self) -> Rate:
        """Of the largest mixture: a lower bound of the slack."""
        return self.mixture[max(self.mixture)].below

    def to_json(self) -> dict[str, Any]:
        return {
            "bound": {"estimator": self.estimator, **asdict(self.bound)},
            "duel": {name: each.to_json() for name, each in self.duel.items()},
            "mixture": [{"orders": orders, **each.to_json()} for orders, each in self.mixture.items()],
            "slack": {"at_least": self.at_least.bpb, "stderr": self.at_least.stderr},
            "windows": self.windows, "bytes": self.bytes, "seed": self.seed, "source": self.source,
        }  # fmt: skip


@torch.inference_mode()
def run_slack(
    path: Path,
    *,
    data: Path | None = None,
    column: str = "text",
    max_bytes: int | None = None,
    passes: int | None = None,
    seed: int | None = None,
    orders: int = ORDERS,
    device: str = "auto",
    say: Say = lambda _: None,
) -> Slack:
    """The slack of the run in `path` on `data`, or on its held-out text when None; `passes` are those of its own bound.

    Raises UserError for a run whose likelihood is exact, for an objective in whose orders the text has a say, for fewer
    than two orders, and for text that is missing or empty.
    """
    if orders < 2:
        raise UserError(f"{orders} orders make no mixture", where="orders", how="take at least 2")
    run = load_run(path, device)
    told = run_settings(run, passes=passes, seed=seed)
    own = build_estimator(run.config.objective, told)
    if own.kind == "exact":
        raise UserError("has an exact likelihood, and no slack", where=str(path), how="take a run whose BPB is a bound")
    draw_orders(run.config.objective, 1, 1, generator(0))  # refuses what it cannot draw before the text is read
    text = held_out_text(path, run, data, column)
    windows = list(EvalWindows(text, run.config.train.window, max_bytes or MAX_BYTES).batches(256))
    if not windows:
        raise UserError("there is no text to score", where=str(data or path), how="give a text")
    return _measure(run, told, own, windows, orders, say)


def _measure(run: LoadedRun, told: Settings, own: Estimator, windows: Windows, orders: int, say: Say) -> Slack:
    objective, log_probs = run.config.objective, objective_log_probs(run.config.objective, run.model)
    bytes_W = np.concatenate([bytes_N for _, bytes_N in windows])

    def nats_of(estimator: Estimator) -> Nats:
        say(f"measuring {estimator.name}")
        return _each(lambda x_WT, first: estimator.nats(log_probs, x_WT, first).mean(1), run, windows, estimator.rows)

    bound = nats_of(own)
    duels = {name: nats_of(build_estimator(objective, told, name)) for name in estimators(objective) if name in DUELS}
    mixed = told.passes // 2 if own.name == "k-order" else 1
    orders = max(orders, 2 * mixed)
    say(f"measuring {orders} orders of each window")
    sizes = (mixed, *(1 << power for power in range(orders.bit_length())))
    nats_WS = _each(lambda x_WT, first: _mixtures(run, told, x_WT, orders, sizes, first), run, windows, lambda _: 8)

    def likelier(nats_W: Nats) -> Likelier:
        return Likelier(Rate.of(nats_W, bytes_W), Rate.of(nats_WS[:, 0] - nats_W, bytes_W))

    return Slack(
        own.name,
        Rate.of(bound, bytes_W),
        {name.removeprefix(PREFIX): likelier(nats_W) for name, nats_W in duels.items()},
        {size: likelier(nats_WS[:, index]) for index, size in enumerate(sizes) if index},
        len(bytes_W), int(bytes_W.sum()), told.seed, own.source,
    )  # fmt: skip


def _each(nats: Callable[[Tensor, int], Tensor], run: LoadedRun, windows: Windows, rows: Callable[[int], int]) -> Nats:
    """[W, ...] of all windows, so many at once, each call told the number of its first."""
    found: list[Nats] = []
    for x_WT, _ in windows:
        for x in torch.from_numpy(x_WT).long().split(rows(x_WT.shape[1])):
            found.append(nats(x.to(run.device), sum(map(len, found))).cpu().numpy())
    return np.concatenate(found)


def _mixtures(run: LoadedRun, told: Settings, x_WT: Tensor, orders: int, sizes: tuple[int, ...], first: int) -> Tensor:
    """[W, S] nats of mixtures of so many of `orders` orders, of windows as the network reads them."""
    network, reading = run.model, told.reading
    if reading is not None:
        x_WT = reading.read(x_WT, HELD_OUT, first + np.arange(len(x_WT)))
        network = carried(network, reading, x_WT.shape[1])
    ask, objective = ask_network(network), run.config.objective
    costs_WUK = order_costs(ask, objective, x_WT, orders, seed=told.seed, first=first, vocab=told.vocab)
    nats_SW = np.stack([mixture_nats(costs_WUK.cpu().numpy(), size) for size in sizes])
    return torch.from_numpy(nats_SW.T.copy())
