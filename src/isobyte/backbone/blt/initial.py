"""Initial weights of a Byte Latent Transformer."""

import math

import torch
from torch import Tensor

from isobyte.backbone.blt.model import BltModel


@torch.no_grad()
def initialise(model: BltModel, seed: int) -> None:
    """Normal weights with deviation 1/sqrt(fan-in), outputs that are added to a residual shrunk by the root of their
    number, head at zero. The patcher is left alone. Deterministic in `seed` on any device.

    The tables of n-grams start at 1/sqrt(width) / sqrt(tables), so that at first all of them together weigh as little
    as one row of one table, and a byte is known by its own embedding (deviation 1).
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    depth = {"encoder": 2 * model.shape.encoder.layers, "latent": 2 * model.shape.latent.layers}
    depth["decoder"] = 2 * model.shape.decoder.layers + len(model.decoder.cross)
    for name, weight in model.named_parameters():
        part = name.split(".")[0]
        if part == "patcher":
            continue
        if name in ("decoder.mask", "unseen", "first"):
            weight.copy_(normal(*weight.shape))
        elif weight.ndim == 1:
            weight.fill_(1.0)
        elif name == "head.weight":
            weight.zero_()
        elif name.endswith("embedding.weight"):
            weight.copy_(normal(*weight.shape))
        elif name == "encoder.hashes.weight":
            assert model.encoder.hashes is not None
            weight.copy_(normal(*weight.shape) * (weight.shape[1] * len(model.encoder.hashes.sizes)) ** -0.5)
        else:
            scale = weight.shape[1] ** -0.5
            if name.endswith((".out.weight", "ffn.down.weight")):
                scale /= math.sqrt(depth[part])
            weight.copy_(normal(*weight.shape) * scale)
