"""Byte Latent Transformers small enough for a test, with random weights and patches of a few bytes."""

from typing import Any

import torch

from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.network import BltNetwork
from isobyte.backbone.byte_ids import BOS, COUNT
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.patching import EntropyPatching, FlatScorer, Patching

WINDOW = 8


def local(layers: int, width: int = 32) -> FlatConfig:
    return FlatConfig(layers=layers, width=width, heads=2, ffn=48, attention_window=WINDOW)


def entropy_patching(cap: int | None = None) -> EntropyPatching:
    scorer = FlatScorer(shape=FlatConfig(layers=1, width=16, heads=2, attention_window=WINDOW))
    return EntropyPatching(scorer=scorer, threshold=1.0, max_length=cap)


def blt(
    patching: Patching | None = None, *, seed: int = 0, sharp: float = 6.0, cells: bool = False, **shape: Any
) -> BltNetwork:
    """A model whose next byte depends on what came before: norms and head are made to speak up. The threshold of an
    entropy rule is set for patches of about three bytes of random text. With `cells` it can be shown blocks."""
    torch.manual_seed(seed)
    config = BltConfig(
        encoder=local(1),
        latent=FlatConfig(layers=2, width=48, heads=4, ffn=64),
        decoder=local(2),
        patching=patching or entropy_patching(),
        hash_vocab=97,
        **shape,
    )
    model = BltNetwork(config, cells=cells).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
        model.head.weight.mul_(sharp)
        if isinstance(config.patching, EntropyPatching):
            entropies = model.patcher.entropies(texts(4, 64))
            assert entropies is not None
            # between two of them: at one, the last bit of a sum would decide
            low, high = entropies.flatten().sort().values[entropies.numel() * 2 // 3 :][:2]
            model.patcher.threshold.copy_((low + high) / 2)
    return model


def texts(rows: int, length: int, seed: int = 1) -> torch.Tensor:
    """Ids [rows, length] of random bytes after BOS."""
    ids = torch.randint(4, COUNT, (rows, length), generator=torch.Generator().manual_seed(seed))
    ids[:, 0] = BOS
    return ids


@torch.no_grad()
def recomputed(model: BltModel, prompt: list[int], length: int, *, every_id: bool = False) -> list[int]:
    """The likeliest ids after `prompt`, each from a full pass over all that comes before it."""
    ids = list(prompt)
    for _ in range(length):
        h_D = model.hidden(torch.tensor([ids]))[0, -1]
        ids.append(int(model.id_logits(h_D).argmax()) if every_id else int(model.logits(h_D).argmax()) + 4)
        if every_id and ids[-1] == 2:
            break
    return ids[len(prompt) :]
