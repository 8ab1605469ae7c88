"""What every objective shares: what a network is shown, what it is asked, and the cost of its answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from isobyte.backbone.layers import Positions
from isobyte.backbone.mask import Mask


@dataclass(frozen=True)
class View:
    """What the network is shown: S cells, of which the first `asked` are to predict a symbol (all, if None)."""

    inputs: Tensor
    """[B, S] ids, or [B, S, digits]."""
    mask: Mask
    positions: Positions | None = None
    """0..S-1 where left out, or -1..S-2 held and 0..S-1 asked where the mask is causal (BOS holds nothing)."""
    time_B: Tensor | None = None
    asked: int | None = None


@dataclass(frozen=True)
class Question:
    """A view, the symbols [B, T] that its asked cells are to predict, and the weights of their costs (1 if None).

    The cells after the first `scored` (all, if None) belong to a loss that is trained beside the objective's own.
    """

    view: View
    targets_BT: Tensor
    weights_BT: Tensor | None = None
    scored: int | None = None

    def cost(self, logits_BTV: Tensor) -> Tensor:
        """Weighted nats, summed. Softmax and sum in fp32."""
        logits, targets = logits_BTV.flatten(0, 1).float(), self.targets_BT.flatten()
        if self.weights_BT is None:
            return F.cross_entropy(logits, targets, reduction="sum")
        return (F.cross_entropy(logits, targets, reduction="none") * self.weights_BT.flatten()).sum()


class Network(Protocol):
    """Any backbone with a head."""

    vocab: int

    @property
    def codes(self) -> Tensor | None:
        """[vocab, digits] where symbols are shown as digits."""
        ...

    def __call__(
        self,
        inputs_BS: Tensor,
        mask: Mask,
        *,
        positions: Positions | None = None,
        time_B: Tensor | None = None,
        cache: Any = None,
        keep: int = 0,
    ) -> Tensor: ...
    def logits(self, h_BSD: Tensor) -> Tensor: ...
    def left_to_right(self, inputs_BS: Tensor) -> Mask:
        """The mask that autoregression trains with: causal; a network of patches says where in `inputs` they open."""
        ...

    def new_cache(self, batch: int, capacity: int) -> Any:
        """What `cache` takes: a memory of the network's own, empty, for `capacity` cells of `batch` rows."""
        ...


class Around:
    """A network around another one; what a subclass does not change is that one's."""

    def __init__(self, network: Network) -> None:
        self.network, self.vocab, self.codes = network, network.vocab, network.codes

    def logits(self, h_BSD: Tensor) -> Tensor:
        return self.network.logits(h_BSD)

    def left_to_right(self, inputs_BS: Tensor) -> Mask:
        return self.network.left_to_right(inputs_BS)

    def new_cache(self, batch: int, capacity: int) -> Any:
        return self.network.new_cache(batch, capacity)


LogProbs = Callable[[View], Tensor]
"""A view -> natural log-probabilities [B, asked, vocab] of the symbols that it asks for."""


def answer(network: Network, view: View) -> Tensor:
    """Logits [B, asked, vocab]."""
    h_BSD = network(view.inputs, view.mask, positions=view.positions, time_B=view.time_B)
    return network.logits(h_BSD if view.asked is None else h_BSD[:, : view.asked])


def normalised(logits: Tensor) -> Tensor:
    """Log-probabilities, in fp32 or better."""
    return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def network_log_probs(network: Network) -> LogProbs:
    """A network's log-probabilities."""
    return lambda view: normalised(answer(network, view))


def costs(network: Network, question: Question) -> tuple[Tensor, Tensor | None]:
    """Weighted nats summed over the question: the objective's own, and those of what is trained beside it."""
    logits = answer(network, question.view)
    if question.scored is None:
        return question.cost(logits), None
    assert question.weights_BT is not None
    at = [question.scored]
    parts = (x.tensor_split(at, 1) for x in (logits, question.targets_BT, question.weights_BT))
    own, beside = (Question(question.view, x, w).cost(y) for y, x, w in zip(*parts, strict=True))
    return own, beside


def cost_sum(network: Network, question: Question) -> Tensor:
    """Weighted nats summed over the question, all of them."""
    own, beside = costs(network, question)
    return own if beside is None else own + beside
