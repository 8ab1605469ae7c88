"""Texts of known law for tests of controls."""

import numpy as np

from isobyte.config.data import SyntheticCorpus
from isobyte.config.representation import BytesConfig
from isobyte.data.stream import Stream
from isobyte.data.synthetic import documents
from isobyte.representation import build

FLIP = 0.1


def stream(text: bytes) -> Stream:
    return Stream.of([text], build(BytesConfig()))


def chain(size: int, flip: float = FLIP, seed: int = 0) -> Stream:
    """The symmetric binary chain, one document."""
    law = SyntheticCorpus(law="markov", flip=flip, documents=1, document_bytes=size, seed=seed)
    return stream(b"".join(next(documents(law)).blocks))


def words(size: int, seed: int = 0) -> bytes:
    return bytes(np.random.default_rng(seed).choice(np.frombuffer(b"abcdefg   ", np.uint8), size))


def told_by_chain(flips: np.ndarray | float) -> float:
    """Bits that one end of pairs tells of the other, which differ with this probability on average; both are fair."""
    p = float(np.mean(flips))
    return 1.0 if p in (0, 1) else 1 + p * np.log2(p) + (1 - p) * np.log2(1 - p)


def flips(distance: np.ndarray, flip: float = FLIP) -> np.ndarray:
    """How often symbols of the chain differ at a distance."""
    return (1 - (1 - 2 * flip) ** np.abs(distance)) / 2
