"""A training-memory estimate in bytes: weights, gradients, optimiser state, and activations."""

from dataclasses import dataclass

from isobyte.config.backbone import Backbone, BltConfig, FlatConfig
from isobyte.cost.blt import cross_layers, expected_patches
from isobyte.cost.flops import Patches
from isobyte.cost.parameters import Parameters


@dataclass(frozen=True)
class Memory:
    """Bytes on one device that trains alone."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations


def network_memory(
    backbone: Backbone,
    parameters: Parameters,
    *,
    vocab: int,
    window: int,
    micro_batch: int,
    patches: Patches | None = None,
    activation_bytes: int = 4,
    block: int = 0,
) -> Memory:
    """fp32 weights and AdamW moments, and a frozen patcher's weights; activations as autograd keeps them, within 15 %.

    Logits are in fp32, with their gradient. Time conditioning is left out. With `block` the decoder is shown that many
    cells more per patch, by FlexAttention; the form for CPUs keeps their scores beside, and keys that it gathers.
    """
    cells = 0.0
    if isinstance(backbone, FlatConfig):
        kept = window * (_kept_by_blocks(backbone) + 2 * backbone.width)
    else:
        count = (patches or expected_patches(backbone.patching, window)).count
        cells = count * block
        kept = _kept_by_parts(backbone, window, count, cells)
    return Memory(
        weights=4 * (parameters.N_total + parameters.patcher),
        gradients=4 * parameters.N_total,
        optimizer=8 * parameters.N_total,
        activations=round(micro_batch * (kept * activation_bytes + (window + cells) * 2 * 4 * vocab)),
    )


def _kept_by_blocks(shape: FlatConfig) -> int:
    """Numbers per symbol: of each block two norm inputs, two norm outputs, q, k, v, rotated q and k, the attention's
    output (8 d + 3 d_kv in all, rounded up) and gate, up, SiLU and their product (4 x ffn)."""
    kv = shape.n_kv_heads * shape.head_dim
    return shape.layers * (8 * shape.width + 3 * kv + 4 * shape.ffn_width)


def _kept_by_parts(shape: BltConfig, window: int, count: float, cells: float) -> float:
    """Numbers per window; every byte meets copies of the k queries, or keys and values, of its patch."""
    k, E, D = shape.latents, shape.encoder.width, shape.decoder.width
    pools, reads = cross_layers(shape)
    blocks = window * _kept_by_blocks(shape.encoder) + (window + cells) * _kept_by_blocks(shape.decoder)
    blocks += count * _kept_by_blocks(shape.latent)
    pooling = window * (5 + k) * E + count * 6 * k * E
    reading = (window + cells) * (4 + 2 * k) * D + count * 3 * k * D
    return blocks + pools * pooling + reads * reading + window * (E + 2 * D)
