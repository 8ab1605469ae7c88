"""Generation with a Byte Latent Transformer draws from the law of its next bytes, by chi-square."""

from functools import cache

import pytest
import torch
from scipy.stats import chi2
from text_laws import LENGTH, TEXTS, drawn, law, limited, statistic

from isobyte.backbone.blt.model import BltModel
from isobyte.decode.blt_settings import Refresh, Settings
from isobyte.decode.noise import Noise
from isobyte.decode.speculative import Chooser

PLAIN, WARM, NUCLEUS = (1.0, 1.0), (1.5, 1.0), (1.0, 0.8)


@cache
def model() -> BltModel:
    return limited()


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
    expected = law(model(), temperature, top_p)
    assert abs(float(expected.sum()) - 1) < 1e-9
    assert expected.max() < 0.7
    settings = Settings(LENGTH, seed=7, temperature=temperature, top_p=top_p, draft=draft, refresh=refresh)
    counts, kept = drawn(model(), settings)
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
    counts, _ = drawn(model(), Settings(LENGTH, seed=7, temperature=1.5))
    found, most = statistic(counts, law(model(), 1.0, 1.0))
    assert found > most
