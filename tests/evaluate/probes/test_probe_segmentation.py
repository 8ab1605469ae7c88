"""Where entropy peaks: a planted segmentation is found, and in shuffled text nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from probe_sources import AROUND, OBJECTIVES, Chain, knowing, subject, windows
from torch import Tensor

from isobyte.config.representation import BpeConfig
from isobyte.errors import UserError
from isobyte.evaluate.probes import segmentation
from isobyte.evaluate.probes.common import ProbeSettings
from isobyte.evaluate.probes.segmentation import (
    Truth,
    agreement,
    contrast,
    entropies,
    lacks_segmentation,
    measure_segmentation,
    past_spaces,
    peaks,
    token_starts,
    truths,
    word_starts,
)
from isobyte.evaluate.probes.subject import Subject
from isobyte.random import generator
from isobyte.representation import build
from tiny import run_config

LETTERS = b"abcdef"
STAY = np.full((7, 7), 0.002)
STAY[0] = [0.0001, 1, 1, 1, 1, 1, 1]  # after a space any letter
for _letter in range(1, 7):  # a letter is followed by its successor, and f by a space
    STAY[_letter, (_letter + 1) % 7] = 1.0
WORDS = Chain(b" " + LETTERS, STAY)


def word_truth(x_WT: np.ndarray) -> dict[str, Truth]:
    return {"word": Truth(word_starts(x_WT), np.ones(x_WT.shape, bool))}


@pytest.mark.parametrize("name", ["ar", "masked", "any_order", "eso_left"])
def test_a_planted_segmentation_is_found(name: str) -> None:
    x_WT = windows(WORDS, 8, 40, 0)
    found = measure_segmentation(subject(name, WORDS, 40), x_WT, word_truth(x_WT), 0)
    left = found["contexts"]["left"]["word"]
    for rule in ("entropy", "rise"):
        assert left[rule]["f1"]["mean"] > 0.97
        assert left[rule]["difference"]["mean"] > 20 * left[rule]["difference"]["stderr"]
        assert left[rule]["difference"]["mean"] == pytest.approx(
            left[rule]["f1"]["mean"] - left[rule]["shifted"]["mean"]
        )
    assert left["contrast"]["mean"] > 2.0
    assert found["boundaries"]["word"] == word_starts(x_WT)[:, 8:].sum()
    assert (found["windows"], found["bytes"]) == (8, 8 * 32)
    assert ("around" in found["contexts"]) == (name in AROUND)


def test_the_contrast_is_what_the_source_has() -> None:
    x_WT = windows(WORDS, 20, 60, 1)
    found = measure_segmentation(subject("ar", WORDS, 60), x_WT, word_truth(x_WT), 0)["contexts"]["left"]
    bits = -(WORDS.P * np.log2(WORDS.P)).sum(1)
    before = bits[WORDS.states(x_WT)[:, 7:-1]]
    true = word_starts(x_WT)[:, 8:]
    expected = [row[own].mean() - row[~own].mean() for row, own in zip(before, true, strict=True)]
    assert found["word"]["contrast"]["mean"] == pytest.approx(np.mean(expected))
    assert found["entropy_bits"]["mean"] == pytest.approx(before.mean())


def test_in_shuffled_text_nothing_is_found() -> None:
    """Entropies of the one text, boundaries of another: the difference is as large as its standard error says."""
    scores = []
    asked = subject("ar", WORDS, 40)
    for seed in range(30):
        x_WT = windows(WORDS, 12, 40, 10 + seed)
        shuffled = np.stack([generator(seed, "shuffle", row).permutation(x) for row, x in enumerate(x_WT)])
        found = measure_segmentation(asked, shuffled, word_truth(x_WT), seed)["contexts"]["left"]["word"]
        scores += [[found[rule]["difference"][key] for rule in ("entropy", "rise")] for key in ("mean", "stderr")]
    means, errors = np.array(scores[::2]), np.array(scores[1::2])
    z = means / errors
    assert np.abs(z).max() < 4
    assert (np.abs(z) > 3).sum() <= 1
    assert (np.abs(z.mean(0)) < 3 / np.sqrt(30)).all()
    assert ((z.std(0) > 0.65) & (z.std(0) < 1.5)).all()


def test_a_network_of_one_entropy_finds_nothing() -> None:
    same = knowing(WORDS.values, lambda _, place_R: torch.ones(len(place_R), 7, dtype=torch.float64))
    x_WT = windows(WORDS, 60, 40, 5)
    found = measure_segmentation(Subject(OBJECTIVES["ar"], same, 256, 40), x_WT, word_truth(x_WT), 0)
    each = found["contexts"]["left"]["word"]
    assert abs(each["entropy"]["difference"]["mean"]) < 3 * each["entropy"]["difference"]["stderr"]
    assert each["contrast"]["mean"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", [*OBJECTIVES])
def test_every_objective_has_the_entropies_of_the_source(name: str) -> None:
    x_WT = windows(WORDS, 2, 17, 3)
    found = entropies(subject(name, WORDS, 17), torch.from_numpy(x_WT))
    start = -(WORDS.pi * np.log2(WORDS.pi)).sum()
    rows = -(WORDS.P * np.log2(WORDS.P)).sum(1)
    left = np.concatenate((np.full((2, 1), start), rows[WORDS.states(x_WT)[:, :-1]]), 1)
    assert found["left"] == pytest.approx(left, abs=1e-9)
    assert set(found) == ({"left", "around"} if name in AROUND else {"left"})
    if "around" in found:
        P, states = WORDS.P, WORDS.states(x_WT)
        p = P[states[:, :-2]] * P[:, states[:, 2:]].transpose(1, 2, 0)
        p /= p.sum(-1, keepdims=True)
        assert found["around"][:, 1:-1] == pytest.approx(-(p * np.log2(p)).sum(-1), abs=1e-9)


@given(st.integers(0, 10_000))
def test_the_baseline_is_the_mean_over_every_other_shift(seed: int) -> None:
    draw = generator(seed, "shift")
    among, keys = draw.random((3, 11)) < 0.8, draw.random((3, 11))
    among[:, :2] = True
    true = among & (draw.random((3, 11)) < 0.4)
    truth = Truth(true, among)
    found = peaks(keys, truth, 0)
    assert not (found & ~among).any()
    assert (found.sum(1) == true.sum(1)).all()
    for key, own, where in zip(keys, found, among, strict=True):
        assert key[own].min(initial=2) >= key[where & ~own].max(initial=-1)
    hits, shifted = (found & true).sum(), 0.0
    for own, right, where in zip(found, true, among, strict=True):
        own, right = own[where], right[where]
        shifted += np.mean([(np.roll(own, by) & right).sum() for by in range(1, len(own))])
    each = agreement(found, truth)
    if true.any():
        assert each["f1"]["mean"] == pytest.approx(hits / true.sum())
        assert each["shifted"]["mean"] == pytest.approx(shifted / true.sum())
        assert each["difference"]["mean"] == pytest.approx((hits - shifted) / true.sum())
    else:
        assert each["f1"]["mean"] is None


def test_ties_favour_no_place() -> None:
    true = np.zeros((200, 20), bool)
    true[:, :4] = True
    found = peaks(np.ones((200, 20)), Truth(true, np.ones_like(true)), 0)
    assert abs((found & true).sum() / 200 - 0.8) < 0.2


def test_contrast_leaves_out_windows_without_both() -> None:
    keys = np.array([[1.0, 2.0, 4.0], [9.0, 9.0, 9.0], [5.0, 7.0, 9.0]])
    true = np.array([[False, True, False], [False, False, False], [True, False, False]])
    among = np.array([[True, True, True], [True, True, True], [True, True, False]])
    assert contrast(keys, Truth(true, among)) == {"mean": pytest.approx((-0.5 - 2) / 2), "stderr": 0.75, "units": 2}
    assert contrast(keys[1:2], Truth(true[1:2], among[1:2]))["mean"] is None


def test_boundaries_of_a_text() -> None:
    def at(text: bytes, starts: str) -> tuple[np.ndarray, list[bool]]:
        return np.frombuffer(text, np.uint8)[None].astype(np.int64), [mark == "^" for mark in starts]

    x, starts = at(b"one  two\nthree ", "     ^   ^     ")
    assert word_starts(x)[0].tolist() == starts
    tokens = np.array([[mark == "|" for mark in "|  | |   | |  |"]])
    letters = [mark == "^" for mark in "^    ^   ^ ^   "]
    space = np.isin(x, list(b" \n"))
    assert past_spaces(tokens, space)[0].tolist() == letters


def test_token_starts_are_those_of_the_tokenizer() -> None:
    text = b"the cat sat on the mat and the rat sat on the cat, that was that; the end of the mat. " * 20
    tokenizer = build(BpeConfig(vocab_size=280), [text])
    x = np.frombuffer(text[3:67], np.uint8)[None].astype(np.int64)
    pieces = [tokenizer.decode([symbol]) for symbol in tokenizer.encode(text[3:67])]
    starts = np.cumsum([0, *map(len, pieces[:-1])])
    assert token_starts(tokenizer, x)[0].nonzero()[0].tolist() == starts.tolist()
    found = truths(x, tokenizer)
    letter = [int(at + len(piece) - len(piece.lstrip())) for at, piece in zip(starts, pieces, strict=True) if piece.strip()]  # fmt: skip  # noqa: E501
    assert found["token_letter"].true_WT[0].nonzero()[0].tolist() == letter
    inside = found["subword"]
    assert not (inside.among_WT & (found["word"].true_WT | (x == 32))).any()
    assert (inside.true_WT == (found["token_letter"].true_WT & inside.among_WT)).all()
    assert inside.true_WT.any()


def test_a_planted_subword_segmentation_is_found_inside_words() -> None:
    text = b" baboon bamboo baobab booboo bonbon" * 40
    tokenizer = build(BpeConfig(vocab_size=262), [text])
    x_WT = np.frombuffer(text[: 40 * 20], np.uint8).astype(np.int64).reshape(20, 40)
    found = truths(x_WT, tokenizer)
    hard = {row.tobytes(): where for row, where in zip(x_WT, found["subword"].true_WT, strict=True)}

    class Hard:
        """Unsure where a token begins inside a word, and after spaces, and nowhere else."""

        def from_left(self, x: Tensor) -> Tensor:
            unsure = torch.stack([torch.from_numpy(hard[row.numpy().tobytes()]) for row in x])
            unsure |= torch.from_numpy(word_starts(x.numpy()))
            p = torch.where(unsure[..., None], torch.tensor([0.5, 0.5]), torch.tensor([0.99, 0.01]))
            return p.log()

        sight = "left"

    each = measure_segmentation(Hard(), x_WT, found, 0)["contexts"]["left"]  # pyright: ignore[reportArgumentType]
    assert each["subword"]["entropy"]["f1"]["mean"] == 1.0
    assert each["subword"]["entropy"]["difference"]["mean"] > 10 * each["subword"]["entropy"]["difference"]["stderr"]
    assert each["word"]["entropy"]["f1"]["mean"] < 0.9


def test_which_runs_have_it() -> None:
    config = run_config("masked")
    assert lacks_segmentation(config) is None
    bpe = config.model_copy(update={"representation": BpeConfig(vocab_size=300)})
    assert "segments already" in str(lacks_segmentation(bpe))


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"tokenizer": "/not/there.json"}, "is not there"), ({"vocab": 100}, "at least 256"), ({"vocab": 9999}, "yields")],
)
def test_a_tokenizer_that_cannot_be_had(changed: dict, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "training_text", lambda *_: [b"a text of some words and no more"])
    with pytest.raises(UserError, match=said):
        segmentation.tokenizer_of(None, replace(ProbeSettings(), **changed))  # pyright: ignore[reportArgumentType]
