"""Exact parameter counts from configs alone."""

from dataclasses import dataclass

from isobyte.config.backbone import FlatConfig
from isobyte.config.objective import DigitsConfig, Objective, digit_shape


@dataclass(frozen=True)
class Parameters:
    """Named counts. `N` leaves out embeddings, n-gram tables and head; `N_total` is everything the optimiser holds.

    `attention`, `ffn` and `norms` are those of a flat network. A Byte Latent Transformer has the blocks and norms of
    its `encoder`, `latent` and `decoder` in their place, with `cross`-attention and `projections` between bytes and
    patches. `patcher` is frozen, and part of neither total.
    """

    attention: int
    ffn: int
    norms: int
    conditioning: int
    embedding: int
    head: int
    encoder: int = 0
    latent: int = 0
    decoder: int = 0
    cross: int = 0
    projections: int = 0
    hash_tables: int = 0
    patcher: int = 0

    @property
    def N(self) -> int:
        flat = self.attention + self.ffn + self.norms + self.conditioning
        return flat + self.encoder + self.latent + self.decoder + self.cross + self.projections

    @property
    def N_total(self) -> int:
        return self.N + self.embedding + self.hash_tables + self.head


def flat_parameters(shape: FlatConfig, objective: Objective, *, vocab: int) -> Parameters:
    """Parameters of a flat backbone over `vocab` symbols and one input-only id (BOS or MASK), or over digits."""
    d, layers = shape.width, shape.layers
    return Parameters(
        attention=attention_weights(shape),
        ffn=ffn_weights(shape),
        norms=(2 * layers + 1) * d,
        conditioning=(2 * d * d + (2 * layers + 1) * 2 * d * d) if objective.time_conditioning else 0,
        embedding=_embedding(objective, vocab, d),
        head=0 if shape.tied else vocab * d,
    )


def stack_parameters(shape: FlatConfig) -> int:
    """Weights and gains of blocks in a row, without a last norm."""
    return attention_weights(shape) + ffn_weights(shape) + 2 * shape.layers * shape.width


def attention_weights(shape: FlatConfig) -> int:
    """Of all blocks."""
    return shape.layers * (2 * shape.width**2 + 2 * shape.width * shape.n_kv_heads * shape.head_dim)


def ffn_weights(shape: FlatConfig) -> int:
    """Of all blocks."""
    return shape.layers * 3 * shape.width * shape.ffn_width


def _embedding(objective: Objective, vocab: int, width: int) -> int:
    if not isinstance(objective, DigitsConfig):
        return (vocab + 1) * width
    digits, base = digit_shape(vocab, objective.digits)
    return (base + 1) * {"sum": digits * width, "cat": width, "cat-share": width // digits}[objective.merge]
