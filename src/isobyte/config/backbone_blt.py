"""The Byte Latent Transformer's shape."""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from isobyte.config.backbone_flat import FlatConfig
from isobyte.config.base import Config
from isobyte.config.patching import Patching


class BltConfig(Config):
    """A local encoder over bytes, a latent transformer over patches, a local decoder over bytes (arXiv 2412.09871).

    Where paper and released code part, `cross_residual` is the paper's by default, `hashing` and `decoder_input` are
    the code's; released checkpoints need all three as in the code.
    """

    kind: Literal["blt"] = "blt"
    encoder: FlatConfig
    latent: FlatConfig
    decoder: FlatConfig
    patching: Patching
    latents: PositiveInt = 2
    """Vectors of the local width that make up a patch: queries of the encoder's pooling, keys of the decoder's."""
    encoder_cross_heads: PositiveInt | None = None
    """Heads of cross-attention; None means those of self-attention."""
    decoder_cross_heads: PositiveInt | None = None
    encoder_cross_layers: Literal["last", "all"] = "last"
    """After which layers of the encoder patches are pooled: the paper's best is after all, released models have one."""
    decoder_cross_layers: Literal["first", "all"] = "all"
    """Before which layers of the decoder the latent is read."""
    hash_sizes: tuple[PositiveInt, ...] = (3, 4, 5, 6, 7, 8)
    """Lengths of the n-grams that are hashed; none for an encoder without them."""
    hash_vocab: PositiveInt = 500_002
    """Rows of each n-gram table."""
    hash_functions: int = Field(default=1, ge=1, le=11)
    hashing: Literal["released", "paper"] = "released"
    """`released`: the oldest byte has power 0, what is before the start counts as 0, tables are summed. `paper`: the
    newest has power 0, n-grams that would begin before the start are left out, the sum is divided by the number of
    sizes plus one."""
    cross_residual: Literal["single", "doubled"] = "single"
    """`doubled`: cross-attention's output is added to twice its input, as in the released code."""
    decoder_input: Literal["encoder_hidden", "embedding"] = "encoder_hidden"
    """What the decoder starts from: the encoder's states, or the bytes' own embedding (Fast BLT, arXiv 2605.08044)."""
    document_mask: bool = True
    """Nothing is seen across an end-of-sequence id."""

    @property
    def tied(self) -> bool:
        """The head never reuses a table."""
        return False

    @property
    def width(self) -> int:
        """Width of the latent transformer."""
        return self.latent.width

    @model_validator(mode="after")
    def _fit(self) -> Self:
        for name, heads, local in (
            ("encoder", self.encoder_cross_heads, self.encoder),
            ("decoder", self.decoder_cross_heads, self.decoder),
        ):
            if heads and local.width % heads:
                raise ValueError(f"{name} width {local.width} does not divide into {heads} heads of cross-attention")
        if self.decoder_input == "encoder_hidden" and self.encoder.width != self.decoder.width:
            raise ValueError(
                f"the decoder (width {self.decoder.width}) starts from the encoder's states (width "
                f"{self.encoder.width}); make them equal, or take decoder_input = 'embedding'"
            )
        if len(set(self.hash_sizes)) < len(self.hash_sizes):
            raise ValueError(f"hash_sizes has an entry twice: {self.hash_sizes}")
        if any(part.tied for part in (self.encoder, self.latent, self.decoder)):
            raise ValueError("encoder, latent and decoder have no head of their own; leave tied false")
        return self
