"""Steps of fixed shapes beside `State`: what tests on a CPU and on a GPU share."""

from typing import Any

import torch
from torch import Tensor

from blt_models import WINDOW, blt, entropy_patching, texts
from isobyte.backbone.blt.graphs import StaticStep
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.state import State
from isobyte.backbone.patching.patcher import NgramTable
from isobyte.config.backbone_flat import FlatConfig
from isobyte.config.patching import (
    BytePatching,
    EntropyPatching,
    FlatScorer,
    NgramScorer,
    Patching,
    SpacePatching,
    StaticPatching,
)

STEPS = 5 * WINDOW
CAPACITY = 128
PATCHING: dict[str, Patching] = {
    "global": entropy_patching(),
    "global-cap4": entropy_patching(4),
    "monotonic": EntropyPatching(
        scorer=FlatScorer(shape=FlatConfig(layers=2, width=16, heads=2, attention_window=WINDOW)),
        rule="monotonic",
        rise=0.1,
    ),
    "both": EntropyPatching(
        scorer=FlatScorer(shape=FlatConfig(layers=1, width=16, heads=2)), rule="both", threshold=1.0, rise=0.0
    ),
    "ngram": EntropyPatching(scorer=NgramScorer(), threshold=1.0),
    "space": SpacePatching(),
    "space-cap3": SpacePatching(max_length=3),
    "static": StaticPatching(size=4),
    "byte": BytePatching(),
}


@torch.no_grad()
def model_of(patching: str, **shape: Any) -> BltModel:
    """Where the rule is one of entropies, with a patch every three bytes or so of random text."""
    model = blt(PATCHING[patching], **shape)
    table = model.patcher.scorer
    if isinstance(table, NgramTable):
        table.entropy.uniform_(0, 1.5, generator=torch.Generator().manual_seed(3))
    entropies = model.patcher.entropies(texts(4, 64))
    if entropies is not None:
        both = patching == "both"
        model.patcher.threshold.copy_(entropies.quantile(0.4 if both else 2 / 3))
        model.patcher.rise.copy_((entropies[:, 1:] - entropies[:, :-1]).quantile(0.4 if both else 2 / 3))
    return model


def prefilled(model: BltModel, lengths: list[int], capacity: int = CAPACITY) -> State:
    """A state that was shown the beginning of random texts, of so many ids each."""
    state, ids = State(model, len(lengths), capacity), texts(len(lengths), max(lengths)).to(model.device)
    state.feed(ids, None if len(set(lengths)) == 1 else lengths)
    return state


def spaced(rows: int, steps: int, seed: int = 5) -> Tensor:
    """Ids [rows, steps] of letters and spaces, so that words end."""
    choices = torch.tensor([ord(c) + 4 for c in "abcde  "])
    return choices[torch.randint(0, len(choices), (rows, steps), generator=torch.Generator().manual_seed(seed))]


def assert_follows(state: State, static: StaticStep, ids_BT: Tensor, tolerance: float = 1e-5) -> None:
    """Both are shown the same bytes, and say the same of each."""
    for ids_B1 in ids_BT.split(1, 1):
        static.start(ids_B1[:, 0].tolist())
        assert static.step() == ids_B1[:, 0].tolist()
        wanted = state.feed(ids_B1)[:, 0]
        torch.testing.assert_close(static.parts.hidden_BD, wanted, atol=tolerance, rtol=tolerance)
    assert (static.length, static.begin, static.patches) == (state.length, state.begin, state.patches)
    for ours, theirs in (
        (static.parts.place_B, state.length),
        (static.parts.begin_B, state.begin),
        (static.parts.patches_B, state.patches),
        (static.parts.document_B, state.document),
        (static.parts.document_patch_B, state.document_patch),
    ):
        assert ours.tolist() == theirs
