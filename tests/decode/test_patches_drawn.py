"""Whole patches are drawn from the law of their network: by chi-square against enumeration."""

import itertools
import math
from collections import Counter, defaultdict
from functools import cache

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from isobyte.backbone.blt.patchwise import END, PatchwiseNetwork
from isobyte.backbone.mask import PatchesHidden
from isobyte.config.objective import PatchArConfig, PatchMaskedConfig
from isobyte.config.patching import SpacePatching
from isobyte.decode.methods import Settings
from isobyte.decode.sample import sample
from patch_models import LETTERS, patch_net

RULE = SpacePatching(max_length=2)
LOG_COUNT = torch.tensor([0.4, 0.6, 0.0]).log()
"""One patch or two."""
DRAWS = 3000
Text = tuple[tuple[int, ...], ...]
PATCHES = [patch for size in (1, 2) for patch in itertools.product(LETTERS, repeat=size)]


class Letters(PatchwiseNetwork):
    """Says two letters and the end, and nothing else."""

    def logits(self, h_BSD: Tensor) -> Tensor:
        log = super().logits(h_BSD)
        others = torch.ones(log.shape[-1], dtype=torch.bool)
        others[[*LETTERS, END]] = False
        return log.masked_fill(others, -torch.inf)


@cache
def letters(both_ways: bool) -> PatchwiseNetwork:
    model = patch_net(RULE, both_ways=both_ways)
    model.__class__ = Letters
    return model


def patch_probability(model: PatchwiseNetwork, text: Text, number: int, shown: frozenset[int]) -> float:
    """Of patch `number` among the patches of `text`, of which those `shown` are shown; the end is drawn but at two."""
    own = text[number]
    x_1T = torch.tensor([[byte for patch in text for byte in patch]])
    starts = torch.tensor([[place == 0 for patch in text for place in range(len(patch))]])
    hidden = torch.tensor([[m not in shown for m in range(len(text))]]) if model.both_ways else None
    log_SV = model.logits(model(x_1T, PatchesHidden(starts, hidden))).squeeze(0)
    at = sum(map(len, text[:number]))
    log_SV[x_1T.shape[1] + number, END] = -torch.inf
    cells = [x_1T.shape[1] + number, *range(at, at + len(own))]
    asked = [*own, END][: len(own) + (len(own) < 2)]
    return math.exp(sum(float(log_SV[c].log_softmax(-1)[s]) for c, s in zip(cells, asked, strict=False)))


@torch.inference_mode()
@pytest.mark.parametrize("method", ["random", "left-to-right"])
def test_masked_patches_are_drawn_in_any_order(method: str) -> None:
    model, law = letters(True), defaultdict[bytes, float](float)
    for count in (1, 2):
        orders = list(itertools.permutations(range(count))) if method == "random" else [tuple(range(count))]
        for text in itertools.product(PATCHES, repeat=count):
            for order in orders:
                p = math.exp(float(LOG_COUNT[count - 1])) / len(orders)
                for step, number in enumerate(order):
                    p *= patch_probability(model, text, number, frozenset(order[:step]))
                law[bytes(b for patch in text for b in patch)] += p
    hidden_WT = torch.full((DRAWS, 3), 256)
    found = sample(PatchMaskedConfig(), model, hidden_WT, Settings(method), log_count_T=LOG_COUNT).x_WT
    follows(law, [bytes(b for b in row if b < 256) for row in found.tolist()])


@torch.inference_mode()
def test_patches_from_left_to_right() -> None:
    model, law = letters(False), defaultdict[bytes, float](float)
    for count in (2, 3):
        for text in itertools.product(PATCHES, repeat=count):
            if sum(map(len, text)) == 3:
                p = 1.0
                for number in range(count):
                    last = number == count - 1
                    p *= patch_probability(model, text, number, frozenset())
                    if last and len(text[number]) == 1:  # the window ends it
                        p /= end_probability(model, text)
                law[bytes(b for patch in text for b in patch)] += p
    found = sample(PatchArConfig(), model, torch.full((DRAWS, 3), 256), Settings()).x_WT
    follows(law, [bytes(row) for row in found.tolist()])


def end_probability(model: PatchwiseNetwork, text: Text) -> float:
    x_1T = torch.tensor([[byte for patch in text for byte in patch]])
    starts = torch.tensor([[place == 0 for patch in text for place in range(len(patch))]])
    log_SV = model.logits(model(x_1T, PatchesHidden(starts, None))).squeeze(0)
    return math.exp(float(log_SV[x_1T.shape[1] - 1].log_softmax(-1)[END]))


def follows(law: dict[bytes, float], drawn: list[bytes]) -> None:
    assert sum(law.values()) == pytest.approx(1)
    seen = Counter(drawn)
    assert set(seen) <= set(law)
    often = [text for text, p in law.items() if p * len(drawn) >= 5]
    expected = [law[text] * len(drawn) for text in often]
    observed = [seen[text] for text in often]
    expected.append(len(drawn) - sum(expected) + 1e-9)
    observed.append(len(drawn) - sum(observed))
    assert chisquare(observed, expected).pvalue > 1e-3
