"""What reading does to the statistics of a text, against closed forms on sources of known law."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.controls_texts import chain, flips, stream, told_by_chain, words
from isobyte.config.objective import ArConfig
from isobyte.config.permutation import (
    Permutation,
    ShuffledBlocks,
    ShuffledInside,
    ShuffledNearby,
    ShuffledUnits,
    ShuffledWindow,
    Strided,
)
from isobyte.config.representation import BpeConfig, ByteDigitsConfig, BytesConfig
from isobyte.data.stream import Stream
from isobyte.errors import UserError
from isobyte.evaluate.controls import text as measures
from isobyte.evaluate.controls.measure import LAGS, Subject, permutation_controls
from isobyte.evaluate.controls.measured import ratio
from isobyte.objective.permutation import TRAINING, Reading
from isobyte.objective.span import span_starts
from isobyte.representation import build

BLIND = [
    ShuffledWindow(), ShuffledWindow(fresh=True), ShuffledNearby(width=4), ShuffledNearby(width=3, fresh=True),
    ShuffledBlocks(width=4), ShuffledBlocks(width=8, fresh=True), Strided(stride=4), Strided(stride=3),
]  # fmt: skip
ALL = [*BLIND, ShuffledInside(), ShuffledUnits()]


def of(permutation: Permutation | None, window: int, **changed: Any) -> Subject:
    settings = {"representation": BytesConfig(), "objective": ArConfig(), **changed}
    return Subject(permutation=permutation, window=window, **settings)


def name(permutation: Permutation | None) -> str:
    return "none" if permutation is None else "-".join(str(v) for v in permutation.model_dump().values())


def agrees(told: dict[str, float], expected: float, sigmas: float = 4.5, bias: float = 0.0) -> bool:
    return abs(told["bits"] - expected) < sigmas * told["stderr"] + bias


# what symbols tell of later ones


def test_independent_symbols_tell_nothing() -> None:
    """At every lag, within its error; and the plug-in estimate alone would be far outside of it."""
    drawn = np.random.default_rng(1).choice(64, 60_000, p=np.arange(1, 65) / 2080).astype(np.uint8)
    found = permutation_controls(of(None, 64), stream(drawn.tobytes()))["mutual_information"]["read"]
    assert set(found) == {str(lag) for lag in LAGS}
    for told in found.values():
        assert agrees(told, 0)
        assert told["plug_in"] > 20 * told["stderr"]


@pytest.mark.parametrize("seed", range(3))
def test_a_chain_tells_by_its_closed_form(seed: int) -> None:
    found = permutation_controls(of(None, 100), chain(100_000, seed=seed))["mutual_information"]
    assert found["read"] == found["text"]
    for lag in LAGS:
        assert agrees(found["read"][str(lag)], told_by_chain(flips(np.array(lag)))), lag
    assert found["read"]["1"]["bits"] == pytest.approx(1 + 0.1 * math.log2(0.1) + 0.9 * math.log2(0.9), abs=0.02)


@pytest.mark.parametrize("alphabet", [3, 5])
def test_a_chain_of_more_symbols(alphabet: int) -> None:
    """Steps of a fixed kernel whose law of rest is uniform: I(l) = log2 V - H(row of its l-th power)."""
    random = np.random.default_rng(7)
    step = random.dirichlet(np.ones(alphabet))
    drawn = (np.cumsum(random.choice(alphabet, 100_000, p=step)) % alphabet).astype(np.uint8)
    kernel = np.array([np.roll(step, row) for row in range(alphabet)])
    found = permutation_controls(of(None, 50), stream(drawn.tobytes()))["mutual_information"]["read"]
    for lag in (1, 2, 3, 4, 8):
        row = np.linalg.matrix_power(kernel, lag)[0]
        assert agrees(found[str(lag)], math.log2(alphabet) + float((row * np.log2(row)).sum())), lag


def test_a_cycle_tells_all_of_itself() -> None:
    text = stream(bytes(range(6)) * 5000)
    found = permutation_controls(of(None, 50), text)
    assert found["histogram"]["entropy"]["value"] == pytest.approx(math.log2(6), abs=1e-6)
    for told in found["mutual_information"]["read"].values():
        assert told["plug_in"] == pytest.approx(math.log2(6), abs=1e-3)
        assert told["shuffled"] < 0.01


def test_shuffles_take_off_the_bias() -> None:
    """Independent pairs of K symbols: (K - 1)^2 / (2 n ln 2) bits, to first order (Miller 1955)."""
    x = np.random.default_rng(3).integers(0, 16, (400, 51))
    told = measures.mutual_information(x, [1], seed=0)[1]
    expected = 15**2 / (2 * 400 * 50 * math.log(2))
    assert told.shuffled == pytest.approx(expected, rel=0.15)
    assert told.plug_in == pytest.approx(expected, rel=0.4)


@pytest.mark.parametrize(("flip", "least", "most"), [(0.2, 0.8, 1.25), (0.5, 0.4, 1.1)])
def test_errors_are_the_spread_over_texts(flip: float, least: float, most: float) -> None:
    """The spread of 100 texts of a chain over the mean error; of coins, where both of its parts say the same, less."""
    found = []
    for seed in range(100):
        random = np.random.default_rng(seed)
        x = np.bitwise_xor.accumulate(random.random((60, 40)) < flip, axis=1).astype(np.int64)
        found.append(measures.mutual_information(x ^ random.integers(0, 2, (60, 1)), [1], seed=seed)[1])
    bits, errors = np.array([told.bits for told in found]), [told.stderr for told in found]
    assert least < bits.std() / np.mean(errors) < most
    assert abs(bits.mean() - told_by_chain(flip)) < 4 * bits.std() / 10


@pytest.mark.parametrize("permutation", BLIND, ids=name)
def test_what_a_permuted_chain_tells(permutation: Permutation) -> None:
    """At every lag, from how far apart in the text stood what is now `lag` apart: pairs are a mixture of distances."""
    window, text = 48, chain(144_000)
    found = permutation_controls(of(permutation, window), text, max_bytes=200_000)["mutual_information"]["read"]
    places = Reading(permutation, window).places(np.zeros((3000, window), np.int64), TRAINING, np.arange(3000))
    for lag in LAGS:
        expected = told_by_chain(flips(places[:, lag:] - places[:, :-lag]))
        assert agrees(found[str(lag)], expected), lag


@pytest.mark.parametrize("width", [2, 4, 8])
def test_blocks_keep_neighbours_inside(width: int) -> None:
    """Of the pairs of neighbours (w - 1) / w stay, the others are far apart and as good as independent; at the edges
    of the window there is one pair of blocks less."""
    window, flip = 256, 0.25
    found = permutation_controls(
        of(ShuffledBlocks(width=width, fresh=True), window), chain(128_000, flip), max_bytes=200_000
    )  # fmt: skip
    kept = window // width * (width - 1) / (window - 1)
    expected = told_by_chain(np.array(kept * flip + (1 - kept) * 0.5))
    assert agrees(found["mutual_information"]["read"]["1"], expected, bias=0.003)
    other = told_by_chain(np.array((kept - 0.08) * flip + (1 - kept + 0.08) * 0.5))
    assert not agrees(found["mutual_information"]["read"]["1"], other, bias=0.003)


def test_strides_bring_lag_s_to_lag_1() -> None:
    """Coins that are repeated four places on: nothing at lag 1, all at lag 4; read by fours, the other way round."""
    coins = np.random.default_rng(0).integers(0, 2, (900, 4)).repeat(8, axis=0).reshape(900, 32)
    text = stream(coins.astype(np.uint8).tobytes())
    found = permutation_controls(of(Strided(stride=4), 32), text)["mutual_information"]
    assert found["text"]["4"]["bits"] == pytest.approx(1, abs=0.01)
    assert agrees(found["text"]["1"], 0)
    kept = 28 / 31
    assert agrees(found["read"]["1"], told_by_chain(np.array((1 - kept) / 2)), bias=0.01)
    assert agrees(found["read"]["8"], 0)


# what is left of the text


@pytest.mark.parametrize("permutation", [None, *ALL], ids=name)
def test_the_histogram_stays(permutation: Permutation | None) -> None:
    found = permutation_controls(of(permutation, 32), stream(words(4000)))
    assert found["histogram"]["total_variation"] == 0
    counts = np.bincount(np.frombuffer(words(4000), np.uint8)) / 4000
    counts = counts[counts > 0]
    assert found["histogram"]["entropy"]["value"] == pytest.approx(-(counts * np.log2(counts)).sum())


widths = st.integers(1, 12)
KINDS = st.one_of(
    st.builds(ShuffledWindow, fresh=st.booleans()), st.builds(ShuffledNearby, width=widths, fresh=st.booleans()),
    st.builds(ShuffledBlocks, width=widths, fresh=st.booleans()), st.builds(Strided, stride=widths),
    st.just(ShuffledInside()), st.just(ShuffledUnits()),
)  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True)
@given(permutation=KINDS, text=st.binary(min_size=20, max_size=60), window=st.integers(1, 20))
def test_the_histogram_stays_whatever_the_text(permutation: Permutation, text: bytes, window: int) -> None:
    found = permutation_controls(of(permutation, window), stream(text))
    assert found["histogram"]["total_variation"] == 0
    assert all(0 <= share["value"] <= 1 for share in found["ngram_overlap"].values())


def test_total_variation_tells_histograms_apart() -> None:
    one, other = np.array([[0, 0, 1, 2]]), np.array([[0, 1, 1, 3]])
    assert measures.total_variation(one, other, 4) == pytest.approx(0.5)
    assert measures.total_variation(one, one[:, ::-1], 4) == 0


def naive_overlap(read: list[bytes], text: list[bytes], n: int) -> float:
    grams = [Counter(w[i : i + n] for w in windows for i in range(len(w) - n + 1)) for windows in (read, text)]
    return (grams[0] & grams[1]).total() / grams[0].total()


@pytest.mark.parametrize("permutation", ALL, ids=name)
def test_ngrams_by_counting(permutation: Permutation) -> None:
    text = words(3000)
    x = np.frombuffer(text, np.uint8)[: 3000 // 24 * 24].reshape(-1, 24).astype(np.int64)
    places = Reading(permutation, 24).places(x, TRAINING, np.arange(len(x)))
    read = [bytes(row.astype(np.uint8)) for row in np.take_along_axis(x, places, 1)]
    found = permutation_controls(of(permutation, 24), stream(text))["ngram_overlap"]
    for n in (2, 3, 4):
        expected = naive_overlap(read, [bytes(row.astype(np.uint8)) for row in x], n)
        assert found[str(n)]["value"] == pytest.approx(expected)
        assert found[str(n)]["stderr"] > 0
        assert expected < 1


def test_all_ngrams_stay_where_nothing_moves() -> None:
    for still in (None, ShuffledNearby(width=1), ShuffledBlocks(width=24), Strided(stride=1)):
        found = permutation_controls(of(still, 24), stream(words(3000)))["ngram_overlap"]
        assert [found[n]["value"] for n in ("2", "3", "4")] == [1, 1, 1]


def test_ngrams_are_counted_with_multiplicity() -> None:
    """The text has `ab` once, what is read has it three times; high bytes are no sign."""
    found = measures.ngram_overlap(np.array([[97, 98, 97, 98, 97, 98]]), np.array([[255, 97, 98, 255, 255, 255]]), 2)
    assert found.value == pytest.approx(1 / 5)
    assert measures.ngram_overlap(np.array([[255, 254]]), np.array([[254, 255]]), 2).value == 0
    assert measures.ngram_overlap(np.array([[128, 0]]), np.array([[0, 1]]), 2).value == 0


def test_inside_keeps_the_symbols_of_each_word() -> None:
    """By what is measured: tokens that are single words' bytes in any order keep their counts; and by the words."""
    x = np.frombuffer(words(2400), np.uint8).reshape(-1, 24).astype(np.int64)
    read = np.take_along_axis(x, Reading(ShuffledInside(), 24).places(x, TRAINING, np.arange(100)), 1)
    starts = span_starts(ShuffledInside().units, x, np.zeros(x.shape))
    word = starts.cumsum(1) + 100 * np.arange(100)[:, None]
    pairs = [np.sort((word * 256 + each).ravel()) for each in (x, read)]
    assert (pairs[0] == pairs[1]).all()
    assert (x != read).any()


def test_tokens_by_counting() -> None:
    """Windows one by one; as the text stands what a tokenizer makes of it, and no more bytes a token when shuffled."""
    text = b"the cat and the dog and the cow " * 100
    tokens = build(BpeConfig(vocab_size=268), [text])
    found = permutation_controls(of(ShuffledWindow(), 40), stream(text), tokens)["bytes_per_token"]
    windows = [text[i : i + 40] for i in range(0, 3200, 40)]
    assert found["text"]["value"] == pytest.approx(3200 / sum(len(tokens.encode(w)) for w in windows))
    order = Reading(ShuffledWindow(), 40).places(np.zeros((1, 40), np.int64), TRAINING, np.zeros(1, np.int64))[0]
    read = [bytes(np.frombuffer(w, np.uint8)[order]) for w in windows]
    assert found["read"]["value"] == pytest.approx(3200 / sum(len(tokens.encode(w)) for w in read))
    assert found["read"]["value"] < 0.6 * found["text"]["value"]
    assert found["vocab_size"] == 268


# other representations, and the record


def test_tokens_and_digits() -> None:
    text = b"the cat and the dog and the cow " * 100
    tokens = build(BpeConfig(vocab_size=268), [text])
    found = permutation_controls(
        of(None, 8, representation=BpeConfig(vocab_size=268)), Stream.of([text], tokens), tokens
    )  # fmt: skip
    assert set(found["left_out"]) == {"mutual_information", "information", "ngram_overlap"}
    assert all(found[name] is None for name in found["left_out"])
    assert found["histogram"]["total_variation"] == 0
    assert found["bytes"] > 8 * found["windows"]
    bits = ByteDigitsConfig(base=2)
    found = permutation_controls(of(None, 64, representation=bits), Stream.of([text], build(bits)))
    assert set(found["left_out"]) == {"ngram_overlap", "bytes_per_token"}
    assert found["bytes"] == 3200
    assert 0 < found["mutual_information"]["read"]["8"]["bits"] < 1


def test_the_key_is_of_what_is_read_and_asked_alone() -> None:
    keys = {of(p, w).content_hash() for p in (None, *ALL) for w in (8, 16)}
    assert len(keys) == 2 * (1 + len(ALL))
    found = permutation_controls(of(None, 8), stream(words(100)))
    assert found["key"] == of(None, 8).content_hash()


def test_the_same_again_and_nothing_shared() -> None:
    text = stream(words(1000))
    first = permutation_controls(of(ShuffledWindow(fresh=True), 16), text, seed=3)
    kept = repr(first)
    first["histogram"]["entropy"]["value"] = None
    assert repr(permutation_controls(of(ShuffledWindow(fresh=True), 16), text, seed=3)) == kept
    assert repr(permutation_controls(of(ShuffledWindow(fresh=True), 16), stream(words(1000)), seed=3)) == kept
    assert repr(permutation_controls(of(ShuffledWindow(fresh=True), 16), text, seed=4)) != kept


def test_a_text_shorter_than_a_window() -> None:
    with pytest.raises(UserError, match="7 symbols, a window has 8"):
        permutation_controls(of(None, 8), stream(b"1234567"))
    found = permutation_controls(of(None, 8), stream(b"12345678"))
    assert found["histogram"]["entropy"] == {"value": 3.0, "stderr": None}
    assert permutation_controls(of(None, 1), stream(b"12345678"))["mutual_information"] == {"text": {}, "read": {}}


def test_ratio_and_its_error() -> None:
    """With equal counts, the mean and its usual standard error."""
    sums = np.array([1.0, 2.0, 4.0, 5.0])
    found = ratio(sums * 3, np.full(4, 3.0))
    assert (found.value, found.stderr) == (pytest.approx(3), pytest.approx(sums.std(ddof=1) / 2))
    assert ratio([0.0], [0]).value is None
    assert ratio([1.0, 3.0], [1, 3]).stderr == 0
