"""Which part of a corpus is held out, and which part merges are learned from."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal

from isobyte.config.data import DataConfig
from isobyte.data.corpus import read
from isobyte.errors import UserError

SplitName = Literal["train", "heldout"]
SPLITS: tuple[SplitName, ...] = ("train", "heldout")
_SCAN = 64
"""The sample is spread over this many times its size: a bound on reading a corpus twice."""


def split_of(index: int, every: int) -> SplitName:
    """The last of every `every` documents is held out: all of the corpus is represented, not its tail."""
    return "heldout" if index % every == every - 1 else "train"


def piece_bytes(config: DataConfig) -> int:
    """How long a document may be before it is cut; less than configured where the corpus has few documents.

    Raises UserError where there are fewer bytes than a split needs.
    """
    every = config.heldout_every
    sizes = [len(piece) for piece in islice(read(config, config.piece_bytes), every)]
    if len(sizes) == every:
        return config.piece_bytes
    if sum(sizes) < every:
        what = f"the corpus has {sum(sizes)} bytes" if sizes else "the corpus is empty"
        raise UserError(what, where=describe(config), how=f"give at least {every} bytes of text")
    return max(1, sum(sizes) // (4 * every))


def describe(config: DataConfig) -> str:
    corpus = config.corpus
    named = getattr(corpus, "paths", None) or [getattr(corpus, "name", "")]
    return f"{corpus.kind} {' '.join(named)}".strip()


def training_sample(config: DataConfig, limit: int, budget: int) -> list[bytes]:
    """Training documents of at most `budget` bytes, evenly spaced over the first 64 x `budget` bytes."""
    every = config.heldout_every
    pieces = enumerate(read(config, limit))
    return spread((piece for i, piece in pieces if split_of(i, every) == "train"), budget)


def spread(documents: Iterable[bytes], budget: int) -> list[bytes]:
    """Every stride-th document; the stride doubles whenever they outgrow `budget` bytes."""
    kept: list[bytes] = []
    size, stride = 0, 1
    for index, text in enumerate(_within(documents, _SCAN * budget)):
        if index % stride == 0:
            kept.append(text)
            size += len(text)
            while size > budget and len(kept) > 1:
                kept, stride = kept[::2], stride * 2
                size = sum(map(len, kept))
    return [text[:budget] for text in kept]


def _within(documents: Iterable[bytes], limit: int) -> Iterator[bytes]:
    for text in documents:
        yield text
        limit -= len(text)
        if limit <= 0:
            return
