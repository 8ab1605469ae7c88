"""Blocks of hidden bytes beside a text: by full passes, as references of what goes through caches; and their models."""

from typing import Any, get_args

import torch
from torch import Tensor

from blt_models import blt, entropy_patching
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.patches import Patches
from isobyte.backbone.byte_ids import BOS, EOS, MASK
from isobyte.backbone.mask import PatchBlocks
from isobyte.decode.blt_settings import Fill

LETTERS = [ord(c) + 4 for c in "abcde"]
D = LETTERS[3]


@torch.no_grad()
def cells_of(model: BltModel, ids_T: Tensor, begin: int, cells_K: Tensor, *, cut: bool) -> Tensor:
    """Hidden states [K, D] of a block at place `begin` of a text; neither it nor its latent knows a byte from there on.

    It reads the latent of the last patch that is complete there; with `cut` that of the open one, as far as it goes.
    The bytes before it read what they read anyway.
    """
    ids_1T = ids_T[None, :begin]
    own = model.patcher.starts(ids_1T)
    starts = own.clone()
    starts[:, begin] |= cut
    patches = Patches.of(starts)
    encoded, vectors = model.encoder(ids_1T, patches, None)
    # block j reads latent j; but for the last there is none
    begins = torch.full((1, patches.per_row), -1)
    begins[0, -1] = begin
    cells = torch.full((patches.per_row, len(cells_K)), MASK)
    cells[-1] = cells_K
    x = torch.cat((model.decoder.start(ids_1T, encoded), model.decoder.start_cells(cells.view(1, -1))), 1)
    read = Patches(patches.per_row, patches.count_B, patches.of_byte_N, Patches.of(own).read_N)
    hidden = model.decoder(x, model.latent(vectors, None), read, None, PatchBlocks(begins, len(cells_K)))
    return hidden[0, -len(cells_K) :]


def opened(model: BltModel, ids_T: Tensor) -> int:
    """Where the patch begins that the byte after a text belongs to."""
    return int(model.patcher.starts(ids_T[None])[0].nonzero()[-1])


@torch.no_grad()
def speaking(*, ends: bool = False, seed: int = 6, told: float = 20.0, **shape: Any) -> BltModel:
    """A model with blocks, of five letters. The more is `told` by latents the more do bytes and cells agree that read
    the same one: so drafts are kept and refused. With `ends` the fourth letter is the end of a sequence."""
    model = blt(entropy_patching(6), seed=seed, cells=True, **{"document_mask": False, **shape})
    for cross in model.decoder.cross:
        cross.get_submodule("out").get_parameter("weight").mul_(told)
    texts = torch.tensor(LETTERS)[torch.randint(5, (4, 64), generator=torch.Generator().manual_seed(1))]
    texts[:, 0] = BOS
    entropies = model.patcher.entropies(texts)
    assert entropies is not None
    model.patcher.threshold.copy_(entropies.flatten().sort().values[entropies.numel() * 2 // 3 :][:2].mean())
    bias = torch.full((260,), -torch.inf)
    bias[LETTERS] = torch.tensor([0.6, 0.5, 0.4, -0.2, 0.2])
    if ends:
        bias[[EOS, D]] = bias[[D, EOS]]
        model.head.weight[[EOS, D]] = model.head.weight[[D, EOS]]
    every, of_bytes = model.id_logits, model.logits
    model.id_logits = lambda h: every(h) + bias  # type: ignore[method-assign]
    model.logits = lambda h: of_bytes(h) + bias[4:]  # type: ignore[method-assign]
    return model


def _prompt(length: int, seed: int) -> list[int]:
    letters = torch.tensor([each for each in LETTERS if each != D])
    return [BOS, *letters[torch.randint(4, (length,), generator=torch.Generator().manual_seed(seed))].tolist()]


PROMPTS = [_prompt(length, length) for length in (0, 4, 12, 29)] + [_prompt(4, 104)]
"""Of many lengths, for `speaking`."""
FILLS: tuple[Fill, ...] = get_args(Fill)


class Told:
    """A `Watch` that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, list[tuple[int, int, float]]]] = []
        self.verdicts: list[tuple[int, list[int], int, int]] = []

    def filled(self, step: int, cells: list[tuple[int, int, float]]) -> None:
        self.steps.append((step, cells))

    def judged(self, place: int, drafts: list[int], kept: int, after: int) -> None:
        self.verdicts.append((place, drafts, kept, after))

    @property
    def cells(self) -> list[tuple[int, int]]:
        """Places and ids, in the order of filling."""
        return [(place, each) for _, cells in self.steps for place, each, _ in cells]
