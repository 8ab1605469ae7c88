"""A training-memory estimate in bytes: weights, gradients, optimiser state, and activations."""

from dataclasses import dataclass

from isobyte.config.backbone import FlatConfig
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


def flat_memory(
    shape: FlatConfig,
    parameters: Parameters,
    *,
    vocab: int,
    window: int,
    micro_batch: int,
    activation_bytes: int = 4,
) -> Memory:
    """fp32 weights and AdamW moments; activations as autograd keeps them, within about 15 %.

    Per symbol and block: two norm inputs, two norm outputs, q, k, v, rotated q and k, the attention's output
    (8 d + 3 d_kv in all, rounded up) and gate, up, SiLU and their product (4 x ffn); the last norm's input and
    output; and the logits in fp32 with their gradient. Time conditioning is left out.
    """
    kv = shape.n_kv_heads * shape.head_dim
    kept = shape.layers * (8 * shape.width + 3 * kv + 4 * shape.ffn_width) + 2 * shape.width
    per_symbol = kept * activation_bytes + 2 * 4 * vocab
    return Memory(
        weights=4 * parameters.N_total,
        gradients=4 * parameters.N_total,
        optimizer=8 * parameters.N_total,
        activations=micro_batch * window * per_symbol,
    )
