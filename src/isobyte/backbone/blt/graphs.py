"""Plain decoding with fixed shapes: on CUDA each part of a step is recorded once and replayed, so that it costs one
launch and not hundreds. On a CPU the same functions are called."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch

from isobyte.backbone.blt.parts import Choose, Parts, likeliest, too_long, too_many_patches
from isobyte.backbone.blt.state import State
from isobyte.config.patching import BytePatching, Patching, StaticPatching
from isobyte.errors import UserError

SHORTEST = 64
"""Patches that the latent transformer looks back over at least; from there on in powers of two."""


class Graphed:
    """A function over tensors that stay where they are. On CUDA the first call runs it and then records it; every later
    call replays the record. It must not ask a tensor for its value, nor do anything in Python that counts. `pool` is
    what `torch.cuda.graph_pool_handle` gives, for memory that is nobody's between calls; without one nothing is
    recorded."""

    def __init__(self, function: Callable[[], None], device: torch.device, pool: Any) -> None:
        self.function, self.device, self.pool = function, device, pool
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self.graph is not None:
            self.graph.replay()
        elif self.pool is None:
            self.function()
        else:
            self._record()

    def _record(self) -> None:
        with torch.cuda.device(self.device):
            # what libraries set up on their first call cannot be recorded
            side, here = torch.cuda.Stream(), torch.cuda.current_stream()
            side.wait_stream(here)
            with torch.cuda.stream(side):
                self.function()
            here.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool):
                self.function()
            self.graph = graph


class StaticStep:
    """Decoding from where `state` is, one byte of each row a step; `state` itself stays as it is.

    `start`, then `step` as often as wanted. Each step feeds the ids that the step before chose. The host waits for the
    device once a step, to learn which rows close a patch. `patches` is room in the latent transformer (that of `state`
    if left out), `open_bytes` the longest that a patch may be, where the rule of patching sets no limit. One of these
    serves any number of states of the same shape, by `load`.
    """

    @torch.inference_mode()
    def __init__(
        self,
        state: State,
        choose: Choose | None = None,
        *,
        patches: int | None = None,
        open_bytes: int = 512,
        graphs: bool = True,
    ) -> None:
        model, self.device = state.model, state.model.device
        self.limit = patches or state.latent.limit
        self.open_bytes = longest(model.shape.patching) or open_bytes
        self.parts = Parts(state, choose or likeliest(model), self.limit, self.open_bytes)
        # one pool serves all: none leaves anything in it that another reads
        pool = torch.cuda.graph_pool_handle() if graphs and self.device.type == "cuda" else None
        self._pool = pool
        self.encode = Graphed(self.parts.encode, self.device, pool)
        self.decode = Graphed(self.parts.decode, self.device, pool)
        self.close: dict[int, Graphed] = {}
        """By how many places of the cache the latent transformer looks at."""
        self.passes: Counter[str] = Counter()
        """Network function evaluations by module, as `State` counts them."""
        self.load(state)

    @torch.inference_mode()
    def load(self, state: State) -> None:
        """Go on from `state`. Raises UserError if it is of another shape, or holds more than there is room for."""
        self.parts.load(state)
        self.length, self.begin, self.patches = list(state.length), list(state.begin), list(state.patches)
        self.alive = [True] * state.batch

    @torch.inference_mode()
    def start(self, ids: Sequence[int]) -> None:
        """The ids [B] that the next step feeds."""
        self.parts.ids_B.copy_(torch.tensor(ids))

    @torch.inference_mode()
    def stop(self, row: int) -> None:
        """This row has ended. It goes through later steps all the same, but takes up no room; its ids mean nothing."""
        self.alive[row] = False
        self.parts.alive_B[row] = False

    def ids(self) -> list[int]:
        """What the last step chose; waits for it."""
        return self.parts.ids_B.tolist()

    @torch.inference_mode()
    def step(self) -> list[int]:
        """Feed each row its next id, and choose the one after; returns the ids that were fed.

        What was chosen may still be on its way when this returns: the next step returns it, and `ids` waits for it.
        Raises UserError where a row has outgrown a cache.
        """
        self._check_room()
        self.encode()
        fed, closes = self.parts.report_2B.tolist()
        closed = [row for row, yes in enumerate(closes) if yes]
        self.passes["encoder"] += 1
        self.passes["entropy"] += self.parts.scorer is not None
        if closed:
            if max(self.patches[row] for row in closed) >= self.limit:
                raise too_many_patches(self.limit)
            self._closing(reach(max(self.patches) + 1, self.limit + 1))()
            self.passes["latent"] += 1
            self.passes["patches"] += len(closed)
        self.decode()
        self.passes["decoder"] += 1
        for row in closed:
            self.patches[row] += 1
            self.begin[row] = self.length[row] + 1
        self.length = [n + alive for n, alive in zip(self.length, self.alive, strict=True)]
        return fed

    def _check_room(self) -> None:
        room = min((each.size for each in self.parts.windows if not each.endless), default=None)
        for place, begin, alive in zip(self.length, self.begin, self.alive, strict=True):
            if alive and room is not None and place >= room:
                raise UserError(f"{place + 1} bytes, room for {room}", where="cache", how="ask for a longer one")
            if alive and place + 1 - begin > self.open_bytes:
                raise too_long(self.open_bytes)
        if max(self.length) >= self.parts.places:
            self.parts.lay_out(max(self.length) + 1)
            self.encode.graph = self.decode.graph = None
            self.close.clear()

    def _closing(self, places: int) -> Graphed:
        if places not in self.close:
            self.close[places] = Graphed(lambda: self.parts.close(places), self.device, self._pool)
        return self.close[places]


def longest(rule: Patching) -> int | None:
    """The most bytes that a patch can have by this rule."""
    if isinstance(rule, BytePatching):
        return 1
    if isinstance(rule, StaticPatching):
        return min(rule.size, rule.max_length or rule.size)
    return rule.max_length


def reach(needed: int, most: int) -> int:
    """Places of the latent transformer's cache to look at where `needed` are taken."""
    return min(most, max(SHORTEST, 1 << (needed - 1).bit_length()))
