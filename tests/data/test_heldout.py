"""The split: by document, all over the corpus, both sides never empty."""

from itertools import count, islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobyte.config.data import DataConfig, FilesCorpus, SyntheticCorpus
from isobyte.data.corpus import read
from isobyte.data.heldout import piece_bytes, split_of, spread, training_sample
from isobyte.errors import UserError


def data(documents: int, size: int, **changes: int) -> DataConfig:
    return DataConfig(corpus=SyntheticCorpus(documents=documents, document_bytes=size), **changes)


def test_every_nth_document() -> None:
    assert [i for i in range(25) if split_of(i, 10) == "heldout"] == [9, 19]


def test_enough_documents_are_left_whole() -> None:
    config = data(10, 500)
    assert piece_bytes(config) == config.piece_bytes


@given(documents=st.integers(1, 9), size=st.integers(2, 3000), every=st.integers(2, 10))
def test_few_documents_are_cut_until_both_splits_have_some(documents: int, size: int, every: int) -> None:
    config = data(documents, size, heldout_every=every)
    if documents * size < every:
        with pytest.raises(UserError, match=f"corpus has {documents * size} bytes; give at least {every}"):
            piece_bytes(config)
        return
    pieces = list(read(config, piece_bytes(config)))
    assert {split_of(i, every) for i in range(len(pieces))} == {"train", "heldout"}
    assert b"".join(pieces) == b"".join(read(config, config.piece_bytes))


def test_an_empty_corpus(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.touch()
    with pytest.raises(UserError, match=r"files .*empty\.txt: the corpus is empty"):
        piece_bytes(DataConfig(corpus=FilesCorpus(paths=(str(path),))))


@given(sizes=st.lists(st.integers(1, 20), max_size=100), budget=st.integers(1, 200))
def test_the_sample_is_spread_and_bounded(sizes: list[int], budget: int) -> None:
    documents = [bytes([i]) * size for i, size in enumerate(sizes)]
    kept = spread(documents, budget)
    assert sum(map(len, kept)) <= budget
    if sum(sizes) <= budget:
        assert kept == documents
    places = [text[0] for text in kept]
    assert len({b - a for a, b in pairwise(places)}) <= 1
    assert bool(kept) == bool(sizes)


def test_the_sample_reads_no_more_than_it_must() -> None:
    source = (b"x" * 10 for _ in count())
    assert sum(map(len, spread(source, 100))) > 50
    assert len(list(islice(source, 5))) == 5


def test_merges_are_learned_from_the_training_split_alone() -> None:
    config = data(30, 50)
    pieces = list(read(config, 1000))
    kept = training_sample(config, 1000, 10_000)
    assert kept == [piece for i, piece in enumerate(pieces) if split_of(i, 10) == "train"]
