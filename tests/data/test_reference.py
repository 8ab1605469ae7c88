"""Reference rates: by hand on small texts, and the stated ones on the bundled corpus."""

import lzma
import math

import numpy as np
import pytest
import zstandard

from isobyte.config.data import DataConfig, SyntheticCorpus
from isobyte.data import classical
from isobyte.data.corpus import read
from isobyte.data.reference import reference_rates
from isobyte.data.synthetic import entropy_bits_per_byte


def test_by_hand() -> None:
    rates = reference_rates([b"ab", b"abab", b"ab"])
    assert rates.bytes == 8
    assert rates.unigram == 1
    assert rates.bigram == 0
    mixed = reference_rates([b"aab", b"aba"])  # after a: a, b, b; after b: a, a
    assert mixed.bigram == pytest.approx(3 * (math.log2(3) - 2 / 3) / 5)


def test_the_joints_between_documents_do_not_show() -> None:
    text = np.random.default_rng(0).integers(0, 9, 5000, np.uint8).tobytes()
    one, many = reference_rates([text]), reference_rates([text[i : i + 7] for i in range(0, 5000, 7)])
    assert (one.unigram, one.bigram) == (many.unigram, many.bigram)


def test_known_sources() -> None:
    chain = SyntheticCorpus(law="markov", documents=1, document_bytes=200_000)
    rates = reference_rates(read(DataConfig(corpus=chain), 1 << 16))
    assert rates.unigram == pytest.approx(1, abs=0.01)
    assert rates.bigram == pytest.approx(entropy_bits_per_byte(chain), abs=0.01)
    assert rates.zstd > entropy_bits_per_byte(chain)
    assert rates.xz > entropy_bits_per_byte(chain)


def test_compressed_sizes_are_those_of_files() -> None:
    text = b"the same again, " * 1000 + bytes(range(256)) * 20
    rates = reference_rates([text[:5000], text[5000:]])
    assert rates.xz == len(lzma.compress(text, preset=9)) * 8 / len(text)
    whole = len(zstandard.ZstdCompressor(level=19).compress(text)) * 8 / len(text)
    assert rates.zstd == pytest.approx(whole, abs=0.05)


def test_nothing() -> None:
    assert reference_rates([]).bytes == 0
    assert math.isnan(reference_rates([]).unigram)


@pytest.mark.slow
def test_bundled_corpus() -> None:
    rates = reference_rates(read(DataConfig(), 1 << 20))
    found = [round(rate, 2) for rate in (rates.unigram, rates.bigram, rates.zstd, rates.xz)]
    assert found == [4.34, 3.41, 1.86, 1.84]


def test_ppmd_is_left_out_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"the same again, " * 1000
    assert 0 < reference_rates([text]).ppmd < 0.1
    monkeypatch.setattr(classical, "ppmd", lambda: None)
    rates = reference_rates([text])
    assert math.isnan(rates.ppmd)
    assert rates.xz > 0
