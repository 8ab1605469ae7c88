"""What a part of a trained Byte Latent Transformer is worth: the same weights, but for that part's, which are zero.

What is left is a model like any other, and its bits per byte are exact. A part that costs little to lose was not used:
at small scale the decoder and n-gram tables may say all that the model says, and the latents nothing.
"""

from typing import Literal, get_args

import torch

from isobyte.backbone.blt.model import BltModel
from isobyte.errors import UserError
from isobyte.objective.network import Model

Part = Literal["latents", "ngrams"]


@torch.no_grad()
def take_out(model: Model, part: str) -> None:
    """Silence `part` in place: `latents`, which the decoder then reads as zeros, or `ngrams`, the encoder's tables.

    Raises UserError for a model that has no such part.
    """
    if part not in get_args(Part):
        raise UserError(f"no part is called {part!r}", where="--without", how=f"take {' or '.join(get_args(Part))}")
    if not isinstance(model, BltModel):
        raise UserError("is for runs of backbone blt", where="--without", how="leave it out")
    if part == "latents":
        model.decoder.enter.weight.zero_()
    elif model.encoder.hashes is None:
        raise UserError("the run has no n-gram tables", where="--without", how="take latents")
    else:
        model.encoder.hashes.weight.zero_()
