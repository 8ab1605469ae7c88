"""The number of network function evaluations (NFE), and answers that need not be asked for again."""

from typing import Any

import torch
from torch import Tensor

from isobyte.backbone.layers import Positions
from isobyte.backbone.mask import Mask
from isobyte.objective.base import Around, LogProbs, Network, View


class Counted(Around):
    """A network that counts its calls. With `reuse` one that would repeat the last is answered from memory."""

    def __init__(self, network: Network, *, reuse: bool = False) -> None:
        super().__init__(network)
        self.reuse, self.calls = reuse, 0
        self._last: tuple[Tensor, Positions | None, Tensor] | None = None

    def __call__(
        self, inputs_BS: Tensor, mask: Mask, *, positions: Positions | None = None, keep: int = 0, **named: Any
    ) -> Tensor:
        if self.reuse and keep == 0 and self._last is not None:
            inputs, at, answer = self._last
            if at is positions and torch.equal(inputs, inputs_BS):
                return answer
        self.calls += 1
        h_BSD = self.network(inputs_BS, mask, positions=positions, keep=keep, **named)
        self._last = (inputs_BS.clone(), positions, h_BSD) if self.reuse else None
        return h_BSD


class Asked:
    """Log-probabilities of whole windows; rows where nothing is `hidden` are not computed.

    With `reuse`, nor are those that did not change since the last call: a network that is not told the time, or
    told it by what is hidden, would say the same (MDLM's cached sampler, arXiv 2406.07524).
    """

    def __init__(self, log_probs: LogProbs, vocab: int, hidden: int, windows: int, *, reuse: bool = False) -> None:
        self.log_probs, self.vocab, self.hidden, self.reuse = log_probs, vocab, hidden, reuse
        self.nfe_W = torch.zeros(windows, dtype=torch.int64)
        self._seen: Tensor | None = None
        self._log_WTV = torch.empty(0)

    def __call__(self, view: View) -> Tensor:
        x = view.inputs
        needed_W = (x == self.hidden).flatten(1).any(-1)
        if self.reuse and self._seen is not None:
            needed_W &= (x != self._seen).flatten(1).any(-1)
        self._seen = x.clone()
        self.nfe_W += needed_W.cpu()
        if needed_W.all():
            self._log_WTV = self.log_probs(view)
        elif needed_W.any():
            time_W = None if view.time_B is None else view.time_B[needed_W]
            found = self.log_probs(View(x[needed_W], view.mask, time_B=time_W))
            if not len(self._log_WTV):
                self._log_WTV = found.new_zeros((*x.shape[:2], self.vocab))
            self._log_WTV = self._log_WTV.index_put((needed_W,), found)
        elif not len(self._log_WTV):
            self._log_WTV = torch.zeros((*x.shape[:2], self.vocab), device=x.device)
        return self._log_WTV
