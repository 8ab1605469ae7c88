"""Windows: every one once an epoch, any of them at once; in evaluation every byte once and none twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_stream import BITS, BYTES, NIBBLES, sharded

from isobyte.config.data import DataConfig, SotuCorpus
from isobyte.config.representation import BpeConfig
from isobyte.data.corpus import read
from isobyte.data.permutation import ROUNDS, permute
from isobyte.data.stream import Stream
from isobyte.data.window import EvalWindows, TrainWindows, excerpt
from isobyte.errors import UserError
from isobyte.representation import Representation, build

TEXTS = list(read(DataConfig(corpus=SotuCorpus(), max_bytes=300_000), 1 << 18))
BPE = build(BpeConfig(vocab_size=600), TEXTS)


def numbers(length: int) -> Stream:
    """A stream in which place i holds symbol i."""
    return Stream(BYTES, [np.arange(length, dtype=np.uint32)], np.zeros((1, 2), np.uint64), length)


@given(size=st.integers(1, 2000), seed=st.integers(0, 2**32))
def test_permutation(size: int, seed: int) -> None:
    keys = np.random.default_rng(seed).integers(2**64, size=ROUNDS, dtype=np.uint64)
    places = permute(np.arange(size, dtype=np.uint64), size, keys)
    assert sorted(places.tolist()) == list(range(size))


def test_permutation_shuffles() -> None:
    """Neighbours part, and one key's order says nothing of another's."""
    keys = np.random.default_rng(0).integers(2**64, size=(2, ROUNDS), dtype=np.uint64)
    a, b = (permute(np.arange(10_000, dtype=np.uint64), 10_000, k).astype(float) for k in keys)
    for x, y in ((a[:-1], a[1:]), (a, b), (a, np.arange(10_000.0))):
        assert abs(np.corrcoef(x, y)[0, 1]) < 0.04


@given(length=st.integers(1, 400), window=st.integers(1, 40), seed=st.integers(0, 9), epoch=st.integers(0, 99))
def test_every_window_once_an_epoch(length: int, window: int, seed: int, epoch: int) -> None:
    if length < window:
        return
    windows = TrainWindows(numbers(length), window, seed)
    starts = np.sort(windows.starts(epoch * windows.per_epoch, windows.per_epoch))
    assert (np.diff(starts) == window).all()
    assert starts[0] >= 0
    assert starts[-1] + window <= length
    assert windows.per_epoch * window > length - 2 * window


@pytest.mark.parametrize("part", [10**6, 1000, 77])
def test_any_place_at_once(part: int) -> None:
    """Seeking is the same as going there, across epochs, blocks and shards."""
    stream = sharded(numbers(20_000), part)
    windows = TrainWindows(stream, 7, seed=3)
    whole = windows.batch(0, 9000)
    assert whole.dtype == np.int64
    assert (np.diff(whole, axis=1) == 1).all()
    for first, count in ((0, 1), (1000, 100), (2855, 4), (5000, 4000), (8999, 1)):
        np.testing.assert_array_equal(TrainWindows(stream, 7, seed=3).batch(first, count), whole[first : first + count])


def test_epochs_and_seeds_differ() -> None:
    windows = TrainWindows(numbers(50_000), 10, seed=0)
    first, second = windows.starts(0, windows.per_epoch), windows.starts(windows.per_epoch, windows.per_epoch)
    assert (np.sort(first) // 10 == np.sort(second) // 10).all()
    assert (first != second).mean() > 0.9
    assert len({int(windows.starts(e * windows.per_epoch, 1)[0]) % 10 for e in range(50)}) == 10
    other = TrainWindows(numbers(50_000), 10, seed=1).starts(0, 100)
    assert (other != first[:100]).any()


def test_a_corpus_shorter_than_a_window() -> None:
    with pytest.raises(UserError, match="training split has 9 symbols, a window has 10"):
        TrainWindows(numbers(9), 10, seed=0)
    np.testing.assert_array_equal(TrainWindows(numbers(10), 10, 0).batch(5, 2), [list(range(10))] * 2)


@given(
    texts=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=8),
    window=st.integers(1, 30),
    size=st.integers(1, 5),
)
@pytest.mark.parametrize("representation", [BYTES, BPE], ids=["bytes", "bpe"])
def test_evaluation_covers_every_byte_once(representation: object, texts: list[bytes], window: int, size: int) -> None:
    stream = Stream.of(texts, representation)  # type: ignore[arg-type]
    windows = EvalWindows(stream, window)
    batches = list(windows.batches(size))
    found = np.concatenate([symbols.ravel() for symbols, _ in batches])
    assert stream.representation.decode(found) == b"".join(texts)
    assert sum(len(symbols) for symbols, _ in batches) == len(windows) == len(windows.bytes_W)
    assert windows.bytes_W.sum() == windows.n_bytes == stream.n_bytes
    for symbols, n_bytes in batches:
        assert len(symbols) == len(n_bytes) <= size
        assert symbols.shape[1] == window or len(symbols) == 1
        for row, n in zip(symbols, n_bytes, strict=True):
            assert len(stream.representation.decode(row)) == n
    assert all(symbols.shape[1] == window for symbols, _ in batches[:-1])


@given(
    texts=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=8),
    window=st.integers(1, 130),
    size=st.integers(1, 5),
    part=st.integers(1, 200),
)
@pytest.mark.parametrize("representation", [BITS, NIBBLES], ids=["bits", "nibbles"])
def test_windows_of_digits_are_windows_of_bytes(
    representation: Representation, texts: list[bytes], window: int, size: int, part: int
) -> None:
    """Of any length of text, and wherever its shards end; windows that end inside a byte are none."""
    digits, stream = representation.digits_per_byte, sharded(Stream.of(texts, representation), part)
    if window % digits:
        with pytest.raises(ValueError, match="ends inside a byte"):
            EvalWindows(stream, window)
        return
    ours, plain = EvalWindows(stream, window), EvalWindows(Stream.of(texts, BYTES), window // digits)
    assert ours.bytes_W.tolist() == plain.bytes_W.tolist()
    assert ours.bytes_W.sum() == ours.n_bytes == len(b"".join(texts)) == len(stream) // digits
    for (x, n_bytes), (x_bytes, n) in zip(ours.batches(size), plain.batches(size), strict=True):
        assert n_bytes.tolist() == n.tolist()
        assert [representation.decode(row) for row in x] == [BYTES.decode(row) for row in x_bytes]


@given(text=st.binary(min_size=1, max_size=300), window=st.integers(1, 20), seed=st.integers(0, 9))
@pytest.mark.parametrize("representation", [BITS, NIBBLES], ids=["bits", "nibbles"])
def test_training_on_digits_sees_the_windows_of_training_on_bytes(
    representation: Representation, text: bytes, window: int, seed: int
) -> None:
    """The same text in the same order, for a seed; no window begins or ends inside a byte."""
    if len(text) < window:
        return
    digits = representation.digits_per_byte
    plain = TrainWindows(Stream.of([text], BYTES), window, seed)
    ours = TrainWindows(Stream.of([text], representation), window * digits, seed)
    assert ours.per_epoch == plain.per_epoch
    count = 3 * plain.per_epoch + 1
    assert [representation.decode(row) for row in ours.batch(1, count)] == [
        BYTES.decode(r) for r in plain.batch(1, count)
    ]
    with pytest.raises(ValueError, match="ends inside a byte"):
        TrainWindows(Stream.of([text], representation), window * digits - 1, seed)


@pytest.mark.parametrize("max_bytes", [1, 500, 10_000, 60_000, 299_000])
def test_an_excerpt_is_the_same_text_for_every_representation(max_bytes: int) -> None:
    plain, bpe, bits = (Stream.of(TEXTS, kind) for kind in (BYTES, BPE, BITS))
    chosen = excerpt(plain, max_bytes)
    assert chosen == excerpt(bpe, max_bytes) == excerpt(bits, max_bytes)
    assert 0.85 * max_bytes < sum(map(len, chosen)) <= max_bytes
    for stream, window in ((plain, 256), (bpe, 64), (bits, 1024)):
        windows = EvalWindows(stream, window, max_bytes)
        found = np.concatenate([symbols.ravel() for symbols, _ in windows.batches(64)])
        assert stream.representation.decode(found) == b"".join(chosen)
        assert windows.n_bytes == windows.bytes_W.sum() == sum(map(len, chosen))


def test_an_excerpt_is_spread_over_the_stream_and_never_overlaps() -> None:
    stream = Stream.of(TEXTS, BYTES)
    whole = b"".join(TEXTS)
    for max_bytes in (60_000, 295_000):
        places = []
        for segment in excerpt(stream, max_bytes):
            places.append(whole.index(segment, places[-1] if places else 0))
            assert not places[1:] or places[-1] >= places[-2] + 6000
        gaps = np.diff([0, *places, len(whole)])
        assert gaps.max() < 1.7 * len(whole) / len(places)


def test_all_of_a_short_text() -> None:
    stream = Stream.of([b"short"], BYTES)
    assert EvalWindows(stream, 4, max_bytes=100).bytes_W.tolist() == [4, 1]
