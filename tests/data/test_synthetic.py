"""Sources of known entropy: what is drawn has the entropy that is claimed."""

import math
from collections import Counter
from itertools import pairwise

import pytest
from pydantic import ValidationError

from isobyte.config.data import SyntheticCorpus
from isobyte.data.corpus import documents
from isobyte.data.synthetic import entropy_bits_per_byte, source


def texts(config: SyntheticCorpus) -> list[bytes]:
    return [b"".join(document.blocks) for document in documents(config)]


def test_entropies_by_hand() -> None:
    h = -(0.1 * math.log2(0.1) + 0.9 * math.log2(0.9))
    assert entropy_bits_per_byte(SyntheticCorpus(law="iid", weights=(1, 1, 2))) == pytest.approx(1.5)
    assert entropy_bits_per_byte(SyntheticCorpus(law="iid", weights=(0, 3))) == 0
    assert entropy_bits_per_byte(SyntheticCorpus(law="zipf", exponent=0)) == pytest.approx(8)
    assert entropy_bits_per_byte(SyntheticCorpus(law="zipf", alphabet=2)) == pytest.approx(math.log2(3) - 2 / 3)
    assert entropy_bits_per_byte(SyntheticCorpus(law="markov"), 256) == pytest.approx(0.47107, abs=1e-5)
    assert entropy_bits_per_byte(SyntheticCorpus(law="markov"), 10**9) == pytest.approx(h)
    assert entropy_bits_per_byte(SyntheticCorpus(law="equal", alphabet=16)) == 0.5
    assert entropy_bits_per_byte(SyntheticCorpus(law="parity")) == 7 / 8


@pytest.mark.parametrize("law", ["iid", "zipf", "markov", "equal", "parity"])
def test_drawn_text_has_the_entropy(law: str) -> None:
    """The empirical entropy of whole blocks, or of chain steps, comes out within sampling error."""
    config = SyntheticCorpus.model_validate(
        {"law": law, "weights": (1, 2, 5), "alphabet": 4, "block": 4, "document_bytes": 20_000, "documents": 2}
    )
    first, second = texts(config)
    assert len(first) == len(second) == 20_000
    assert first != second
    match law:
        case "iid" | "zipf":
            units, width = list(first), 1
        case "markov":
            units, width = [a ^ b for a, b in pairwise(first)], 1
        case _:
            units, width = [first[i : i + 4] for i in range(0, 20_000, 4)], 4
    counts = Counter(units).values()
    measured = -sum(c * math.log2(c / len(units)) for c in counts) / len(units) / width
    assert measured == pytest.approx(entropy_bits_per_byte(config), abs=0.02)
    assert entropy_bits_per_byte(config) == source(config)["entropy_bits_per_byte"]


def test_blocks_obey_their_law() -> None:
    for block in chunks(texts(SyntheticCorpus(law="equal", alphabet=3, documents=1))[0]):
        assert len(set(block)) == 1
        assert block[0] < 3
    for block in chunks(texts(SyntheticCorpus(law="parity", documents=1))[0]):
        assert sum(block) % 2 == 0
        assert max(block) <= 1


def chunks(text: bytes, size: int = 8) -> list[bytes]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def test_the_seed_decides() -> None:
    assert texts(SyntheticCorpus(documents=2)) == texts(SyntheticCorpus(documents=2))
    assert texts(SyntheticCorpus(documents=2)) == texts(SyntheticCorpus(documents=3))[:2]
    assert texts(SyntheticCorpus(documents=2)) != texts(SyntheticCorpus(documents=2, seed=1))


def test_impossible_sources() -> None:
    for wrong in ({"law": "iid"}, {"law": "parity", "document_bytes": 9}, {"law": "iid", "weights": (-1, 2)}):
        with pytest.raises(ValidationError):
            SyntheticCorpus.model_validate(wrong)
