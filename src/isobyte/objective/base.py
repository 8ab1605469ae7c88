"""What every objective shares: a view of a batch, and the cost of predicting from it."""

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from isobyte.backbone.mask import MaskSpec


@dataclass(frozen=True)
class View:
    """What the network is shown and what it is asked.

    `weights_BT` multiply each position's cost; zero where nothing is asked.
    """

    inputs_BT: Tensor
    targets_BT: Tensor
    weights_BT: Tensor | None
    mask: MaskSpec
    time_B: Tensor | None = None


class Network(Protocol):
    """Any backbone with a head."""

    vocab: int

    def __call__(self, inputs_BT: Tensor, mask: MaskSpec, *, time_B: Tensor | None = None) -> Tensor: ...
    def logits(self, h_BTD: Tensor) -> Tensor: ...


def cost_sum(network: Network, view: View) -> Tensor:
    """Weighted nats summed over the view. Softmax and sum in fp32."""
    logits = network.logits(network(view.inputs_BT, view.mask, time_B=view.time_B)).flatten(0, 1).float()
    targets = view.targets_BT.flatten()
    if view.weights_BT is None:
        return F.cross_entropy(logits, targets, reduction="sum")
    return (F.cross_entropy(logits, targets, reduction="none") * view.weights_BT.flatten()).sum()
