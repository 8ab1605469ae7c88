"""The network that an objective asks for."""

import torch

from isobyte.backbone.digits import DigitEmbedding
from isobyte.backbone.flat import FlatModel
from isobyte.config.backbone import FlatConfig
from isobyte.config.objective import DigitsConfig, Objective
from isobyte.representation.digits import code_table


def build_network(shape: FlatConfig, objective: Objective, vocab: int, attention: str = "sdpa") -> FlatModel:
    """A network of `shape` over `vocab` symbols with what `objective` shows it: symbols or digits, the time or not.

    Its weights are PyTorch's own until it is initialised or loaded.
    """
    embedding = None
    if isinstance(objective, DigitsConfig):
        codes = code_table(vocab, objective.digits, shuffle=objective.shuffle, seed=objective.shuffle_seed)
        embedding = DigitEmbedding(torch.from_numpy(codes), shape.width, objective.merge)
    return FlatModel(
        shape, vocab, time_conditioning=objective.time_conditioning, attention=attention, embedding=embedding
    )
