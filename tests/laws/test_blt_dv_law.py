"""BLT-DV draws from the law of the model's next bytes, by chi-square."""

from functools import cache

import pytest
from text_laws import LENGTH, drawn, law, limited, statistic

from isobyte.backbone.blt.model import BltModel
from isobyte.decode.blt_settings import Align, Blocks, Fill, Refresh, Settings

PLAIN, WARM, NUCLEUS = (1.0, 1.0), (1.5, 1.0), (1.0, 0.8)


@cache
def model() -> BltModel:
    return limited(cells=True)


@pytest.mark.parametrize(
    ("way", "size", "fill", "refresh", "align"),
    [
        (PLAIN, 3, "one-step", "never", "none"),
        (WARM, 4, "one-step", "at_boundary", "resume"),
        (NUCLEUS, 4, "one-step", "always", "none"),
        (NUCLEUS, 4, "confidence", "never", "resume"),
        (WARM, 4, "entropy", "at_boundary", "none"),
        (PLAIN, 4, "entropy-max", "always", "resume"),
    ],
)
def test_texts_have_their_law(way: tuple[float, float], size: int, fill: Fill, refresh: Refresh, align: Align) -> None:
    temperature, top_p = way
    expected = law(model(), temperature, top_p)
    assert abs(float(expected.sum()) - 1) < 1e-9
    assert expected.max() < 0.7
    blocks = Blocks(size, True, fill, alpha=0.6, gamma=1.2, align=align)
    settings = Settings(LENGTH, seed=7, temperature=temperature, top_p=top_p, refresh=refresh, blocks=blocks)
    counts, kept = drawn(model(), settings)
    assert counts[expected == 0].sum() == 0
    assert 0.2 < kept < 0.98, "drafts are refused now and then, or nothing is tested"
    found, most = statistic(counts, expected)
    assert found < most
