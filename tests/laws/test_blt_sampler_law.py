"""Generation with a Byte Latent Transformer draws from the law of its next bytes, by chi-square."""

import itertools
from dataclasses import replace
from functools import cache

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from blt_models import blt
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.byte_ids import BOS, OFFSET
from isobyte.decode.blt import generate
from isobyte.decode.blt_settings import Refresh, Settings
from isobyte.decode.draw import adjusted
from isobyte.decode.noise import Noise
from isobyte.decode.speculative import Chooser

ALPHABET = b"a b"
LENGTH, TEXTS, AT_ONCE = 4, 4000, 1000
PROMPT = [BOS, 101, 102]
PLAIN, WARM, NUCLEUS = (1.0, 1.0), (1.5, 1.0), (1.0, 0.8)


@cache
def model() -> BltModel:
    """Over three bytes; patches of one to three."""
    found = blt(sharp=4.0)
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
def law(temperature: float, top_p: float) -> Tensor:
    """The probability of every text: a full pass for each of its bytes."""
    ids = torch.tensor([[*PROMPT, *(each + OFFSET for each in text)] for text in every_text()])
    log_p = torch.zeros(len(ids), dtype=torch.float64)
    for place in range(len(PROMPT), ids.shape[1]):
        logits = model().logits(model().hidden(ids[:, :place])[:, -1])
        log = adjusted(logits.double().log_softmax(-1), temperature, top_p)
        log_p += log.gather(-1, ids[:, place, None] - OFFSET)[:, 0]
    return log_p.exp()


def drawn(settings: Settings) -> tuple[Tensor, float]:
    """Counts of every text, and the share of drafts that was kept."""
    number = {text: n for n, text in enumerate(every_text())}
    counts, drafted, accepted = torch.zeros(len(number), dtype=torch.float64), 0, 0
    for first in range(0, TEXTS, AT_ONCE):
        done = generate(model(), [PROMPT] * AT_ONCE, replace(settings, first=first))
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


@pytest.mark.parametrize(
    ("way", "draft", "refresh"),
    [
        (NUCLEUS, None, "never"),
        (WARM, 1, "never"),
        (PLAIN, 3, "never"),
        (NUCLEUS, 3, "never"),
        (WARM, 3, "at_boundary"),
        (WARM, 3, "always"),
    ],
)
def test_texts_have_their_law(way: tuple[float, float], draft: int | None, refresh: Refresh) -> None:
    temperature, top_p = way
    expected = law(temperature, top_p)
    assert abs(float(expected.sum()) - 1) < 1e-9
    assert expected.max() < 0.7
    settings = Settings(LENGTH, seed=7, temperature=temperature, top_p=top_p, draft=draft, refresh=refresh)
    counts, kept = drawn(settings)
    assert counts[expected == 0].sum() == 0
    if draft is not None:
        assert 0.2 < kept < 0.98, "drafts are refused now and then, or nothing is tested"
    found, most = statistic(counts, expected)
    assert found < most, (counts / TEXTS, expected)


@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_whatever_drafts_are_drawn_from_what_is_kept_has_the_law_of_the_judge(top_p: float) -> None:
    """Two drafts from one law each, judged by laws of their own."""
    rows, V = 40_000, 6
    generator = torch.Generator().manual_seed(3)
    p_SV, q_KV = (torch.randn(n, V, generator=generator, dtype=torch.float64) for n in (3, 2))
    chooser = Chooser(Noise(11), top_p=top_p)
    p_SV, q_KV = chooser.law(p_SV), chooser.law(q_KV)
    rows_B, places_B = torch.arange(rows), torch.full((rows,), 5)
    q = [law_V.expand(rows, V) for law_V in q_KV]
    drafts_BK = torch.stack([chooser.choose(each, rows_B, places_B + n) for n, each in enumerate(q)], 1)
    kept, after = chooser.judge(p_SV.expand(rows, 3, V), q, drafts_BK, [2] * rows, places_B)
    texts = [[*drafts[:n], x] for drafts, n, x in zip(drafts_BK.tolist(), kept, after, strict=True)]
    assert min(kept.count(n) for n in (0, 1, 2)) > 1000
    for place in range(3):
        symbols = [text[place] for text in texts if len(text) > place]
        counts, expected = torch.bincount(torch.tensor(symbols), minlength=V), p_SV[place].exp() * len(symbols)
        assert counts[expected == 0].sum() == 0
        found = ((counts - expected) ** 2 / expected)[expected > 0].sum()
        assert found < chi2.ppf(0.999, int((expected > 0).sum()) - 1), (place, counts / len(symbols), p_SV[place].exp())


def test_the_test_tells_a_law_from_another() -> None:
    """Drafts taken as they are would be noticed."""
    counts, _ = drawn(Settings(LENGTH, seed=7, temperature=1.5))
    found, most = statistic(counts, law(1.0, 1.0))
    assert found > most
