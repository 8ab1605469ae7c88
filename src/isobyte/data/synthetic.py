"""Sources whose entropy is known exactly: the ground on which bounds and codes are tested."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from isobyte.config.data import SyntheticCorpus
from isobyte.data.document import Document, Source
from isobyte.random import generator


def source(config: SyntheticCorpus) -> Source:
    return config.model_dump(mode="json") | {
        "bytes": config.documents * config.document_bytes,
        "entropy_bits_per_byte": entropy_bits_per_byte(config),
    }


def documents(config: SyntheticCorpus) -> Iterator[Document]:
    """Independent documents; the i-th depends on the law, the seed and i alone."""
    for index in range(config.documents):
        random = generator(config.seed, "synthetic", index)
        yield Document(str(index), (_draw(config, random).tobytes(),))


def entropy_bits_per_byte(config: SyntheticCorpus, length: int | None = None) -> float:
    """Entropy of a document over its bytes; or of its first `length` bytes (`equal`, `parity`: whole blocks).

    A chain's first byte is a fair coin wherever one begins to look: for `markov` the start does not matter.
    """
    length = config.document_bytes if length is None else length
    match config.law:
        case "iid" | "zipf":
            return _entropy(_probabilities(config))
        case "markov":
            return (1 + (length - 1) * _entropy(np.array([config.flip, 1 - config.flip]))) / length
        case "equal":
            return math.log2(config.alphabet) / config.block
        case "parity":
            return (config.block - 1) / config.block


def _entropy(p: NDArray[np.float64]) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def _probabilities(config: SyntheticCorpus) -> NDArray[np.float64]:
    if config.law == "iid":
        weights = np.array(config.weights)
    else:
        weights = np.arange(1, config.alphabet + 1, dtype=float) ** -config.exponent
    return weights / weights.sum()


def _draw(config: SyntheticCorpus, random: np.random.Generator) -> NDArray[np.uint8]:
    size = config.document_bytes
    match config.law:
        case "iid" | "zipf":
            p = _probabilities(config)
            drawn = random.choice(len(p), size, p=p)
        case "markov":
            flips = random.random(size) < config.flip
            flips[0] = random.random() < 0.5
            drawn = np.bitwise_xor.accumulate(flips)
        case "equal":
            drawn = random.integers(config.alphabet, size=size // config.block).repeat(config.block)
        case "parity":
            bits = random.integers(2, size=(size // config.block, config.block))
            bits[:, -1] = bits[:, :-1].sum(1) % 2
            drawn = bits.ravel()
    return drawn.astype(np.uint8)
