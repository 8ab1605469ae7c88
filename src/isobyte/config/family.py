"""Families of backbones for studies: what a design fixes whatever its size."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from isobyte.config.base import Config
from isobyte.config.patching import Patching


class FlatFamily(Config):
    """Flat transformers."""

    kind: Literal["flat"] = "flat"


class BltFamily(Config):
    """Byte Latent Transformers. A size names the latent transformer, or a published model (`config.sizes`)."""

    kind: Literal["blt"] = "blt"
    patching: Patching
    latents: PositiveInt | None = None
    """Vectors per patch; None means 2, or the published model's own."""
    local_window: PositiveInt | None = None
    """Bytes that encoder and decoder look back on; None means all, or the published model's own."""
    encoder_cross_layers: Literal["last", "all"] = "last"
    decoder_cross_layers: Literal["first", "all"] = "all"
    hash_sizes: tuple[PositiveInt, ...] = (3, 4, 5, 6, 7, 8)
    hash_vocab: PositiveInt = 500_002
    decoder_input: Literal["encoder_hidden", "embedding"] = "encoder_hidden"


Family = Annotated[FlatFamily | BltFamily, Field(discriminator="kind")]
