"""What a Byte Latent Transformer reads from memory while it generates: by the published rule, and in full.

At few rows a pass takes as long as its weights take to be read. The published rule (arXiv 2605.08044, 5.1) counts
weights of decoder, encoder and latent transformer; in full come the scorer, the head, the keys and values that are
held, and the rows of the n-gram tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.objective import ArConfig
from isobyte.cost.blt import IDS, cross_layers, scorer_shape
from isobyte.cost.parameters import flat_parameters, stack_parameters

PUBLISHED = {"1B": (0.1594e9, 1.3039e9), "3B": (0.1594e9, 2.8532e9)}
"""Parameters of the decoder, and of encoder and latent transformer together, that give the published gigabytes."""

HALF = 2
"""Bytes of a bf16 number."""


def published_bandwidth(
    decoder_calls: float, latent_calls: float, parameters: tuple[float, float], width: int = HALF
) -> float:
    """Bytes read: each call of the decoder its weights, each of encoder and latent transformer theirs."""
    return width * (decoder_calls * parameters[0] + latent_calls * parameters[1])


def published_calls(
    bytes_out: float, latent: float, drafted: float, rounds: float, fills: float = 0
) -> tuple[float, float]:
    """Calls of the decoder and of encoder and latent transformer that the publication counts for a text.

    A draft takes a call of the decoder a byte (BLT-S), or one for each of the `fills` of its block (BLT-DV), and one to
    judge it; and two of the latent transformer a round: to encode what was settled, and to judge. Blocks that are kept
    unjudged (BLT-D: nothing is drafted) take their fills, and one of the latent transformer each.
    """
    if not rounds:
        return bytes_out, latent
    if fills and not drafted:
        return fills, rounds
    return (fills or drafted) + rounds, 2 * rounds


def published_parameters(shape: BltConfig) -> tuple[float, float]:
    """As in `PUBLISHED`, of any shape: without embeddings, n-gram tables, head and scorer."""
    E, D, G, k = shape.encoder.width, shape.decoder.width, shape.latent.width, shape.latents
    pools, reads = cross_layers(shape)
    decoder = stack_parameters(shape.decoder) + D + reads * (4 * D * D + 2 * D) + k * G * D
    encoder = stack_parameters(shape.encoder) + pools * (4 * E * E + 2 * E) + k * E * E
    return decoder, encoder + stack_parameters(shape.latent) + (0 if k * E == G else k * E * G)


@dataclass(frozen=True)
class Weights:
    """Parameters that one pass of each module reads. With `latent` counts all that is done once a patch."""

    entropy: int
    encoder: int
    latent: int
    decoder: int


def weights(shape: BltConfig) -> Weights:
    """Everything but embeddings and n-gram tables, of which a pass reads a few rows."""
    E, D, G, k = shape.encoder.width, shape.decoder.width, shape.latent.width, shape.latents
    pools, reads = cross_layers(shape)
    scorer = scorer_shape(shape.patching)
    asked = flat_parameters(scorer, ArConfig(), vocab=IDS) if scorer else None
    to_patches = k * E * E + pools * (4 * E * E + 2 * E) + (0 if k * E == G else k * E * G)
    to_bytes = k * G * D + reads * (2 * D * D + D)
    return Weights(
        entropy=asked.N + asked.head if asked else 0,
        encoder=stack_parameters(shape.encoder),
        latent=to_patches + stack_parameters(shape.latent) + to_bytes,
        decoder=stack_parameters(shape.decoder) + reads * (2 * D * D + D) + D + IDS * D,
    )


@dataclass(frozen=True)
class Work:
    """What generating took, for a batch of `texts`: passes of each module, and what they saw."""

    passes: Mapping[str, float]
    """entropy, encoder, latent, decoder."""
    rows: float
    """Bytes that went through the encoder, of all texts."""
    texts: int
    place: float
    """Mean place of the bytes: how many came before in their text."""
    patch: float
    """Mean number of patches before."""


def bytes_read(shape: BltConfig, work: Work, width: int, weight_width: int) -> dict[str, float]:
    """Bytes read in all, by what they are of: weights at `weight_width` bytes a number, held keys and values and hashed
    rows at `width`."""
    read = weights(shape)
    modules: dict[str, FlatConfig | None] = {
        "entropy": scorer_shape(shape.patching), "encoder": shape.encoder, "latent": shape.latent,
        "decoder": shape.decoder,
    }  # fmt: skip
    found: dict[str, float] = {name: weight_width * work.passes.get(name, 0) * getattr(read, name) for name in modules}
    held = 0.0
    for name, part in modules.items():
        if part is not None:
            seen = 1 + (work.patch if name == "latent" else work.place)
            seen = min(seen, part.attention_window or seen)
            held += work.passes.get(name, 0) * work.texts * seen * 2 * part.layers * part.n_kv_heads * part.head_dim
    tables = shape.hash_functions * len(shape.hash_sizes)
    found |= {"held": width * held, "hashed": width * work.rows * tables * shape.encoder.width}
    return found | {"all": sum(found.values())}
