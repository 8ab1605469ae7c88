"""What any backbone costs."""

from isobyte.config.backbone import Backbone, FlatConfig
from isobyte.config.objective import Objective, PatchMaskedConfig, PatchwiseConfig
from isobyte.cost.blt import (
    block_size,
    blt_flops,
    blt_parameters,
    expected_patches,
    expected_row,
    patchwise_flops,
    shown_bytes,
    window_patches,
)
from isobyte.cost.flops import Flops, Patches, flat_flops
from isobyte.cost.parameters import Parameters, flat_parameters

__all__ = [
    "Patches", "expected_patches", "expected_row", "network_flops", "network_parameters", "shown_bytes",
    "window_patches",
]  # fmt: skip


def network_flops(
    backbone: Backbone, objective: Objective, *, vocab: int, window: int, patches: Patches | None = None
) -> Flops:
    """Forward FLOPs of one window; `patches`, where a backbone makes them, are those expected if not given."""
    if isinstance(backbone, FlatConfig):
        return flat_flops(backbone, objective, vocab=vocab, window=window)
    if isinstance(objective, PatchwiseConfig):
        return patchwise_flops(backbone, objective, vocab=vocab, window=window, patches=patches)
    return blt_flops(backbone, vocab=vocab, window=window, patches=patches, block=block_size(objective))


def network_parameters(backbone: Backbone, objective: Objective, *, vocab: int) -> Parameters:
    """Parameters of a backbone over `vocab` symbols; one over bytes has its own 260 ids."""
    if isinstance(backbone, FlatConfig):
        return flat_parameters(backbone, objective, vocab=vocab)
    beside = 0
    if isinstance(objective, PatchwiseConfig):
        beside = backbone.decoder.width + backbone.latent.width * isinstance(objective, PatchMaskedConfig)
    return blt_parameters(backbone, cells=block_size(objective) > 0, beside=beside)
