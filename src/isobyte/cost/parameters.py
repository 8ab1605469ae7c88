"""Exact parameter counts from configs alone."""

from dataclasses import dataclass

from isobyte.config.backbone import FlatConfig
from isobyte.config.objective import DigitsConfig, Objective, digit_shape


@dataclass(frozen=True)
class Parameters:
    """Named counts. `N` leaves out embeddings and head; `N_total` is everything the optimiser holds."""

    attention: int
    ffn: int
    norms: int
    conditioning: int
    embedding: int
    head: int

    @property
    def N(self) -> int:
        return self.attention + self.ffn + self.norms + self.conditioning

    @property
    def N_total(self) -> int:
        return self.N + self.embedding + self.head


def flat_parameters(shape: FlatConfig, objective: Objective, *, vocab: int) -> Parameters:
    """Parameters of a flat backbone over `vocab` symbols and one input-only id (BOS or MASK), or over digits."""
    d, kv = shape.width, shape.n_kv_heads * shape.head_dim
    layers = shape.layers
    return Parameters(
        attention=layers * (2 * d * d + 2 * d * kv),
        ffn=layers * 3 * d * shape.ffn_width,
        norms=(2 * layers + 1) * d,
        conditioning=(2 * d * d + (2 * layers + 1) * 2 * d * d) if objective.time_conditioning else 0,
        embedding=_embedding(objective, vocab, d),
        head=0 if shape.tied else vocab * d,
    )


def _embedding(objective: Objective, vocab: int, width: int) -> int:
    if not isinstance(objective, DigitsConfig):
        return (vocab + 1) * width
    digits, base = digit_shape(vocab, objective.digits)
    return (base + 1) * {"sum": digits * width, "cat": width, "cat-share": width // digits}[objective.merge]
