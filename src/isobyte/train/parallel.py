"""Data parallelism: every rank holds the weights, rows of the global batch are shared out, gradients are summed.

The loss is a local sum over the global count, so the gradients' sum is the gradient whatever the number of ranks.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from isobyte.errors import UserError


@dataclass(frozen=True)
class Ranks:
    """This process among its peers; alone unless torchrun started it."""

    rank: int = 0
    world: int = 1

    def rows(self, batch: int) -> range:
        """This rank's rows of a global batch. Raises UserError when the ranks cannot share it evenly."""
        if batch % self.world:
            raise UserError(
                f"a batch of {batch} windows cannot be shared by {self.world} ranks",
                where="train.batch",
                how=f"take a multiple of {self.world} or start fewer ranks",
            )
        share = batch // self.world
        return range(self.rank * share, (self.rank + 1) * share)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum gradients over ranks, one message per parameter."""
        for parameter in parameters if self.world > 1 else ():
            dist.all_reduce(parameter.grad)

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        if self.world > 1:
            dist.all_reduce(value)
        return value


def join(backend: str | None = None) -> Ranks:
    """Join the group that torchrun's environment names, or stand alone."""
    if "RANK" not in os.environ:
        return Ranks()
    if not dist.is_initialized():
        dist.init_process_group(backend or ("nccl" if torch.cuda.is_available() else "gloo"))
    return Ranks(dist.get_rank(), dist.get_world_size())
