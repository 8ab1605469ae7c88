"""The network that an objective asks for."""

import torch

from isobyte.backbone import flat
from isobyte.backbone.blt import initial
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.network import BltNetwork
from isobyte.backbone.blt.patchwise import PatchwiseNetwork
from isobyte.backbone.digits import DigitEmbedding
from isobyte.backbone.flat import FlatModel
from isobyte.config.backbone import Backbone, BltConfig
from isobyte.config.objective import BltDiffusionConfig, DigitsConfig, Objective, PatchMaskedConfig, PatchwiseConfig
from isobyte.representation.digits import code_table

Model = FlatModel | BltNetwork | PatchwiseNetwork


def build_network(shape: Backbone, objective: Objective, vocab: int, attention: str = "sdpa") -> Model:
    """A network of `shape` over `vocab` symbols with what `objective` shows it: symbols or digits, the time or not.

    Its weights are PyTorch's own until it is initialised or loaded.
    """
    if isinstance(shape, BltConfig):
        if isinstance(objective, PatchwiseConfig):
            both_ways = isinstance(objective, PatchMaskedConfig)
            return PatchwiseNetwork(shape, attention=attention, both_ways=both_ways)
        return BltNetwork(shape, attention=attention, cells=isinstance(objective, BltDiffusionConfig))
    embedding = None
    if isinstance(objective, DigitsConfig):
        codes = code_table(vocab, objective.digits, shuffle=objective.shuffle, seed=objective.shuffle_seed)
        embedding = DigitEmbedding(torch.from_numpy(codes), shape.width, objective.merge)
    return FlatModel(
        shape, vocab, time_conditioning=objective.time_conditioning, attention=attention, embedding=embedding
    )


def initialise(model: Model, seed: int) -> None:
    """Initial weights, deterministic in `seed` on any device; a patcher's are left as they are."""
    if isinstance(model, BltModel):
        initial.initialise(model, seed)
    else:
        flat.initialise(model, seed)
