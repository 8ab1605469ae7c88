"""Hidden words: their bits are those of the source, whatever is visible."""

import math

import numpy as np
import pytest
import torch
from probe_sources import AROUND, OBJECTIVES, Chain, Mixture, subject

from isobyte.config.objective import ArConfig, MaskedConfig
from isobyte.config.representation import BpeConfig
from isobyte.data.stream import Stream
from isobyte.errors import UserError
from isobyte.evaluate.probes.subject import Subject
from isobyte.evaluate.probes.words import Word, choose_words, grid, lacks_words, measure_words
from isobyte.objective.base import View
from isobyte.random import generator
from isobyte.representation import build
from isobyte.representation.bytes_ import Bytes
from tiny import run_config

TEXT = Chain(b" abc", np.array([[0.1, 9, 1, 1], [0.5, 0.3, 6, 0.3], [0.5, 0.3, 0.3, 6], [2, 5, 0.3, 0.3]]))
SOURCES = {"near": TEXT, "all": Mixture(b" abc", np.array([[1.0, 5, 1, 1], [1, 1, 5, 2], [1, 1, 2, 6]]))}
"""In the one the nearest visible bytes alone matter, in the other all of them."""


def stream(seed: int, length: int = 3000) -> Stream:
    return Stream.of([TEXT.text(length, seed)], Bytes())


def enumerated(source: Chain | Mixture, word: Word, visible_T: np.ndarray) -> tuple[float, bool]:
    """(nats, all likeliest) of a word: p(visible, word) / p(visible), each byte against others in its place."""
    inside = np.zeros(len(word.x_T), bool)
    inside[word.begin : word.end] = True
    nats = source.log_p(word.x_T, visible_T) - source.log_p(word.x_T, visible_T | inside)
    exact, known = True, visible_T.copy()
    for place in range(word.begin, word.end):
        known[place] = True
        there = []
        for value in source.values:
            other = word.x_T.copy()
            other[place] = value
            there.append(source.log_p(other, known))
        exact &= int(np.argmax(there)) == int(source.states(word.x_T[place : place + 1])[0])
    return nats, exact


def by_cell(found: dict) -> dict[tuple[str, int, int], dict]:
    return {(cell["layout"], cell["n"], cell["gap"]): cell for cell in found["cells"]}


@pytest.mark.parametrize("name", SOURCES)
def test_every_cell_has_the_bits_of_the_source(name: str) -> None:
    source, chosen = SOURCES[name], choose_words(stream(0), 40, 6)
    cells = by_cell(measure_words(subject("masked", source, 40), chosen))
    sizes = np.array([word.letters for word in chosen])
    assert len(cells) > 20
    for (layout, n, gap), cell in cells.items():
        expected = []
        for word in chosen:
            place, end = np.arange(40) - word.begin, word.letters + gap
            visible = (place >= -gap - (2 * n if layout == "left" else n)) & (place < -gap)
            if layout == "both":
                visible |= (place >= end) & (place < end + n)
            expected.append(enumerated(source, word, visible))
        nats, exact = np.array(expected).T
        assert cell["bits_per_byte"]["mean"] == pytest.approx(nats.sum() / math.log(2) / sizes.sum(), abs=1e-9)
        assert cell["exact"]["mean"] == pytest.approx(exact.mean())
        assert cell["visible_bytes"] == 2 * n
    assert len({round(cell["bits_per_byte"]["mean"], 6) for cell in cells.values()}) > 8
    assert 0 < max(cell["exact"]["mean"] for cell in cells.values()) < 1 or name == "all"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_at_matched_information_all_objectives_agree(name: str, source: str) -> None:
    chosen = choose_words(stream(1), 24, 5)
    one, other = (by_cell(measure_words(subject(each, SOURCES[source], 24), chosen)) for each in ("ar", name))
    assert set(one) == {("left", 2, 0), ("left", 4, 0)}
    assert set(one) <= set(other)
    assert (len(other) > 2) == (name in AROUND)
    for cell in one:
        assert other[cell]["bits_per_byte"] == pytest.approx(one[cell]["bits_per_byte"], abs=1e-9)
        assert other[cell]["exact"] == one[cell]["exact"]


def test_what_comes_before_the_visible_bytes_does_not_matter() -> None:
    """Autoregression is shown nothing before the 2n bytes, and masked diffusion nothing beyond what is visible."""
    chosen = choose_words(stream(2), 40, 4)
    for name in ("ar", "masked"):
        seen: list[View] = []
        asked = subject(name, TEXT, 40)

        def noted(view: View, asked: Subject = asked, seen: list[View] = seen) -> torch.Tensor:
            seen.append(view)
            return asked.log_probs(view)

        measure_words(Subject(asked.objective, noted, 256, 40), chosen)
        if name == "masked":
            assert all(view.inputs.shape[1] == 40 for view in seen)
            shown = max(int((view.inputs < 256).sum(1).max()) for view in seen)
            assert shown == 2 * 8 + max(word.letters for word in chosen) - 1
        else:
            assert max(view.inputs.shape[1] for view in seen) <= 40
            assert all((view.inputs[:, 0] == 256).all() for view in seen)


def test_words_are_whole_and_chosen_by_the_text_alone() -> None:
    text = stream(3)
    raw, chosen = text.document(0), choose_words(text, 48, 20)
    assert len(chosen) > 15
    assert len({word.letters for word in chosen}) > 3
    for one, other in zip(chosen, choose_words(text, 96, 20), strict=True):
        letters = bytes(one.x_T[one.begin : one.end].astype(np.uint8))
        assert bytes(other.x_T[other.begin : other.end].astype(np.uint8)) == letters
        assert 3 <= len(letters) == one.letters == one.n_bytes <= 12
        assert b" " not in letters
        assert one.x_T[one.begin - 1] == one.x_T[one.end] == 32
        assert (one.begin, len(one.x_T)) == (24, 48)
        assert bytes(one.x_T.astype(np.uint8)) in raw


def test_the_grid_fits_into_the_window() -> None:
    for window in (24, 40, 64, 128):
        asked = Subject(MaskedConfig(), lambda _: torch.zeros(0), 256, window)
        for layout, n, gap in grid(asked):
            left, right = (2 * n, 0) if layout == "left" else (n, n)
            assert left + gap <= window // 2
            assert not right or 12 + right + gap <= window - window // 2
    assert len(grid(asked)) == 40
    assert grid(Subject(ArConfig(), lambda _: torch.zeros(0), 256, 64)) == [("left", n, 0) for n in (2, 4, 8, 16)]


def test_words_of_several_tokens_are_scored_whole_and_given_no_more_bytes() -> None:
    words = [b"the", b"there", b"other", b"thereof", b"mother", b"hermes", b"theorem"]
    order = generator(0, "words").integers(len(words), size=900)
    text = b" ".join(words[at] for at in order)
    tokenizer = build(BpeConfig(vocab_size=266), [text])
    chosen = choose_words(Stream.of([text], tokenizer), 32, 30)
    weights = torch.from_numpy(generator(1, "weights").random(266)).log_softmax(0)
    for objective in (ArConfig(), MaskedConfig()):
        asked = Subject(objective, lambda view: weights.expand(*view.inputs.shape, 266), 266, 32)
        nats = 0.0
        for word in chosen:
            symbols = word.x_T[word.begin : word.end]
            piece = tokenizer.decode(symbols)
            assert piece.strip() in words
            assert len(piece) == word.n_bytes
            assert len(piece) - len(piece.lstrip()) == word.n_bytes - word.letters <= 1
            assert word.end <= len(word.x_T) <= 32
            nats -= float(weights[symbols].sum())
            for layout, n, gap in grid(Subject(MaskedConfig(), asked.log_probs, 266, 32)):
                seen, bounds = word.visible(layout, n, gap), word.bounds
                assert not seen[word.begin : word.end].any()
                before, after = (2 * n, 0) if layout == "left" else (n, n)
                for at in seen.nonzero()[0]:
                    inside = bounds[at] >= -gap - before and bounds[at + 1] <= -gap
                    beyond = bounds[at] >= word.letters + gap and bounds[at + 1] <= word.letters + gap + after
                    assert inside or beyond
        found = by_cell(measure_words(asked, chosen))
        assert found["left", 8, 0]["bits_per_byte"]["mean"] == pytest.approx(
            nats / math.log(2) / sum(word.n_bytes for word in chosen)
        )
        assert 6 < found["left", 8, 0]["visible_bytes"] <= 16


def test_standard_errors_are_the_spread_over_texts() -> None:
    weights, found = torch.from_numpy(generator(2, "weights").random(256)).log_softmax(0), []
    asked = Subject(ArConfig(), lambda view: weights.expand(*view.inputs.shape, 256), 256, 24)
    for seed in range(60):
        cell = by_cell(measure_words(asked, choose_words(stream(100 + seed, 1500), 24, 12)))["left", 2, 0]
        found.append([cell["bits_per_byte"]["mean"], cell["bits_per_byte"]["stderr"]])
    means, errors = np.array(found).T
    assert 0.75 < means.std(ddof=1) / np.sqrt((errors**2).mean()) < 1.33


@pytest.mark.parametrize("text", [b"ab", b"a " * 2000, b"x" * 2000])
def test_a_text_without_words_is_refused(text: bytes) -> None:
    with pytest.raises(UserError, match="no words"):
        choose_words(Stream.of([text], Bytes()), 64, 10)


def test_which_runs_have_it() -> None:
    assert lacks_words(run_config("masked", window=24)) is None
    assert "no room" in str(lacks_words(run_config("masked", window=22)))
