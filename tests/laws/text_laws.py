"""How often a generator says each of all short texts over three bytes, beside the law of a model's next bytes."""

import itertools
from dataclasses import replace

import torch
from scipy.stats import chi2
from torch import Tensor

from blt_models import blt
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.byte_ids import BOS, OFFSET
from isobyte.decode.blt import generate
from isobyte.decode.blt_settings import Settings
from isobyte.decode.draw import adjusted

ALPHABET = b"a b"
LENGTH, TEXTS, AT_ONCE = 4, 4000, 1000
PROMPT = [BOS, 101, 102]


def limited(*, cells: bool = False) -> BltModel:
    """A model of three bytes; patches of one to three."""
    found = blt(sharp=4.0, cells=cells)
    whole, kept = found.logits, torch.full((256,), -torch.inf)
    kept[list(ALPHABET)] = 0.0
    found.logits = lambda h: whole(h) + kept  # type: ignore[method-assign]
    texts = torch.tensor([[*PROMPT, *(each + OFFSET for each in text)] for text in every_text()])
    entropies = found.patcher.entropies(texts)
    assert entropies is not None
    found.patcher.threshold.copy_(entropies[:, 2:].quantile(0.5))
    return found


def every_text() -> list[bytes]:
    return [bytes(text) for text in itertools.product(ALPHABET, repeat=LENGTH)]


@torch.no_grad()
def law(model: BltModel, temperature: float, top_p: float) -> Tensor:
    """The probability of every text: a full pass for each of its bytes."""
    ids = torch.tensor([[*PROMPT, *(each + OFFSET for each in text)] for text in every_text()])
    log_p = torch.zeros(len(ids), dtype=torch.float64)
    for place in range(len(PROMPT), ids.shape[1]):
        logits = model.logits(model.hidden(ids[:, :place])[:, -1])
        log = adjusted(logits.double().log_softmax(-1), temperature, top_p)
        log_p += log.gather(-1, ids[:, place, None] - OFFSET)[:, 0]
    return log_p.exp()


def drawn(model: BltModel, settings: Settings) -> tuple[Tensor, float]:
    """Counts of every text, and the share of drafts that was kept."""
    number = {text: n for n, text in enumerate(every_text())}
    counts, drafted, accepted = torch.zeros(len(number), dtype=torch.float64), 0, 0
    for first in range(0, TEXTS, AT_ONCE):
        done = generate(model, [PROMPT] * AT_ONCE, replace(settings, first=first))
        drafted, accepted = drafted + sum(done.drafted), accepted + sum(done.accepted)
        for text in done.texts:
            counts[number[text]] += 1
    return counts, accepted / max(1, drafted)


def statistic(counts: Tensor, law: Tensor) -> tuple[float, float]:
    """Chi-square with rare texts taken together, and its 0.999 quantile."""
    rare = law * TEXTS < 5
    expected = torch.cat((law[~rare], law[rare].sum()[None])) * TEXTS
    found = torch.cat((counts[~rare], counts[rare].sum()[None]))
    expected, found = expected[expected > 0], found[expected > 0]
    return float(((found - expected) ** 2 / expected).sum()), float(chi2.ppf(0.999, len(expected) - 1))
