"""What an objective shows when it asks, and how near it lies: against its own masks, loops and closed forms."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from evaluate.controls_texts import stream, words
from isobyte.config import objective as kinds
from isobyte.config.objective import (
    AnyOrderConfig,
    ArConfig,
    BlockConfig,
    DigitsConfig,
    EsoConfig,
    MaskedConfig,
    Objective,
    PolynomialSchedule,
    SpanConfig,
)
from isobyte.config.permutation import (
    ShuffledBlocks,
    ShuffledInside,
    ShuffledNearby,
    ShuffledUnits,
    ShuffledWindow,
    Strided,
)
from isobyte.config.representation import BpeConfig, ByteDigitsConfig, BytesConfig
from isobyte.config.spans import FixedSpans, GeometricSpans, WordSpans
from isobyte.data.stream import Stream
from isobyte.evaluate.controls import visible
from isobyte.evaluate.controls.measure import NEARNESS, Subject, permutation_controls
from isobyte.evaluate.controls.visible import DRAWS, Asked, Noise, asked_symbols, nearness, sees
from isobyte.likelihood.oracle import seen
from isobyte.objective.any_order import any_order_question
from isobyte.objective.ar import ar_view
from isobyte.objective.base import Question
from isobyte.objective.block import block_question
from isobyte.objective.draw import Draw
from isobyte.objective.eso import eso_questions
from isobyte.objective.masked import masked_question
from isobyte.objective.permutation import TRAINING, Reading
from isobyte.objective.span import span_question
from isobyte.representation import build

BLIND: dict[str, Objective] = {
    "ar": ArConfig(), "masked": MaskedConfig(), "polynomial": MaskedConfig(schedule=PolynomialSchedule(power=2)),
    "span": SpanConfig(spans=FixedSpans(length=3)), "geometric": SpanConfig(spans=GeometricSpans(mean=3)),
    "block1": BlockConfig(block=1), "block4": BlockConfig(block=4), "block5": BlockConfig(block=5),
    "any": AnyOrderConfig(), "any3": AnyOrderConfig(within=3), "eso": EsoConfig(), "eso-a": EsoConfig(cached=False),
    "eso0": EsoConfig(alpha0=0), "eso1": EsoConfig(alpha0=1),
}  # fmt: skip
"""Objectives that hide symbols without a look at them."""
HALF = MaskedConfig(clip=(0.4999, 0.5001))


def controls(objective: Objective, permutation: Any = None, window: int = 16, size: int = 4000) -> dict[str, Any]:
    of = Subject(representation=BytesConfig(), permutation=permutation, objective=objective, window=window)
    return permutation_controls(of, stream(words(size)))


def questions(objective: Objective, x_BT: torch.Tensor, vocab: int, draw: Draw) -> list[Question]:
    match objective:
        case ArConfig():
            return [Question(ar_view(x_BT, vocab), x_BT)]
        case MaskedConfig():
            return [masked_question(objective, x_BT, vocab, draw)]
        case SpanConfig():
            return [span_question(objective, x_BT, vocab, draw)]
        case BlockConfig():
            return [block_question(objective, x_BT, vocab, draw)]
        case AnyOrderConfig():
            return [any_order_question(objective, x_BT, vocab, draw)]
        case EsoConfig():
            return eso_questions(objective, x_BT, vocab, draw)
    raise AssertionError(objective)


def identity(windows: int, length: int) -> np.ndarray:
    return np.tile(np.arange(length), (windows, 1))


# what is visible


@pytest.mark.parametrize("name", BLIND)
def test_what_is_seen_is_what_masks_and_positions_show(name: str) -> None:
    """By the oracles' own reading of a view, which goes through the dense mask; rows are told apart by their symbol."""
    objective, windows, length = BLIND[name], 6, 11
    draws = 1 if name == "ar" else DRAWS
    batch = windows * draws
    rows_BT = torch.arange(batch)[:, None].expand(-1, length).contiguous()
    expected, wanted = np.zeros((batch, length, length), bool), np.zeros((batch, length), bool)
    for question in questions(objective, rows_BT, batch, Noise(5, 0, slice(0, batch), batch)):
        context, places = seen(question.view, batch)
        weights = question.weights_BT
        for k, row in enumerate(question.targets_BT[:, 0].tolist()):
            for cell, place in enumerate(places[k].tolist()):
                wanted[row, place] = weights is None or weights[k, cell] > 0
                shown = (context[k, cell] < batch).numpy()
                expected[row, place, : len(shown)] = shown
    found, own = expected & False, wanted & False
    rows = {window: iter(range(window, batch, windows)) for window in range(windows)}
    assert not name.startswith("eso") or windows % 2 == 0, "each window is always of one term"
    for asked in asked_symbols(objective, np.zeros((windows, length), np.int64), identity(windows, length), 2, 5):
        for k, window in enumerate(asked.window_N.tolist()):
            row = next(rows[window])
            own[row, asked.place_NQ[k][asked.own_NQ[k]]] = True
            found[row, asked.place_NQ[k]] = asked.visible_NQT[k]
    assert (own == wanted).all()
    assert (found[wanted] == expected[wanted]).all()
    assert wanted.any()
    assert not found[:, np.arange(length), np.arange(length)][wanted].any(), "nobody sees what it is asked for"


@pytest.mark.parametrize("name", BLIND)
def test_chosen_rows_and_columns_of_masks(name: str) -> None:
    random = np.random.default_rng(0)
    for question in questions(BLIND[name], torch.zeros(7, 10, dtype=torch.long), 2, Draw(1, 0, slice(0, 7), 7)):
        batch, cells = question.view.inputs.shape
        dense = question.view.mask.dense(cells)
        dense = (dense if dense.ndim == 2 else dense[:, 0]).expand(batch, cells, cells).numpy()
        rows = slice(1, 4) if batch >= 4 else slice(0, batch)
        queries, keys = (random.integers(0, cells, (len(dense[rows]), n)) for n in (4, 9))
        found = np.broadcast_to(sees(question.view.mask, rows, queries, keys), (len(queries), 4, 9))
        at = np.arange(len(queries))[:, None, None]
        assert (found == dense[rows][at, queries[:, :, None], keys[:, None]]).all()


@pytest.mark.parametrize("spans", [WordSpans(), FixedSpans(length=4)])
def test_words_are_hidden_whole(spans: Any) -> None:
    """Where the text decides: a symbol's own word is never visible."""
    x = np.frombuffer(words(640), np.uint8).reshape(-1, 16).astype(np.int64)
    starts = np.zeros(x.shape, bool)
    space = x == ord(" ")
    starts[:, 1:] = space[:, 1:] & ~space[:, :-1]
    word, several = starts.cumsum(1), 0
    for asked in asked_symbols(SpanConfig(spans=spans), x, identity(*x.shape), 256, 0):
        own = word[asked.window_N][:, None] == np.take_along_axis(word[asked.window_N], asked.place_NQ, 1)[..., None]
        several += int((own & asked.visible_NQT)[asked.own_NQ].sum())
    assert (several == 0) is isinstance(spans, WordSpans)


def test_digits_are_visible_when_all_of_them_are() -> None:
    """Eight digits hidden at one rate p: a symbol is visible with (1 - p)^8; as one, with 1 - p."""
    x = np.zeros((400, 32), np.int64)
    for objective, density in (
        (DigitsConfig(), lambda p: (1 - (1 - p) ** 8, (1 - p) ** 8)),
        (DigitsConfig(loss="symbol"), lambda p: (p, 1 - p)),
    ):  # fmt: skip
        shown = total = 0.0
        for asked in asked_symbols(objective, x, identity(*x.shape), 256, 0):
            shown += asked.visible_NQT[asked.own_NQ].sum()
            total += 31 * asked.own_NQ.sum()
        p = (np.arange(20_000) + 0.5) / 20_000
        hidden, visible_ = density(p)
        assert shown / total == pytest.approx((hidden * visible_).mean() / hidden.mean(), rel=0.03)


# how near it lies


def looped(parts: list[Asked], bytes_NT: np.ndarray, unit: float, told: np.ndarray) -> dict[str, float]:
    """The definitions, symbol by symbol."""
    rows = []
    for part in parts:
        for k, window in enumerate(part.window_N.tolist()):
            for q in np.flatnonzero(part.own_NQ[k]):
                at, shown, size = int(part.place_NQ[k, q]), part.visible_NQT[k, q], bytes_NT[window]
                there = [int(j) for j in np.flatnonzero(shown)]
                between = [size[min(at, j) + 1 : max(at, j)].sum() + unit for j in there]
                run = []
                for step in (-1, 1):
                    j = at + step
                    while 0 <= j < len(shown) and shown[j]:
                        run.append(j)
                        j += step
                rows.append(
                    (
                        min((abs(at - j) for j in there), default=np.nan), min(between, default=np.nan), len(run),
                        size[run].sum(), not there,
                        sum(told[abs(at - j) - 1] for j in there if abs(at - j) <= len(told)),
                    )
                )  # fmt: skip
    return dict(zip(NEARNESS, np.nanmean(np.array(rows, float), axis=0).tolist(), strict=True))


@pytest.mark.parametrize("unit", [1.0, 0.125])
@pytest.mark.parametrize("name", ["ar", "masked", "block4", "any", "eso"])
def test_nearness_by_loops(name: str, unit: float) -> None:
    """In a text of symbols of several lengths that is read in fresh orders: distances are those of the text."""
    random = np.random.default_rng(0)
    x = random.integers(0, 4, (9, 13))
    lengths = np.array([1.0, 2.0, 3.0, 7.0]) if unit == 1 else np.full(4, unit)
    places = Reading(ShuffledWindow(fresh=True), 13).places(x, TRAINING, np.arange(9))
    told = random.random(5)
    found = nearness(BLIND[name], x, places, lengths, told, seed=2)
    expected = looped(list(asked_symbols(BLIND[name], x, places, 4, 2)), lengths[x], unit, told)
    for key in NEARNESS:
        assert getattr(found, key).value == pytest.approx(expected[key]), key


def hidden_at(p: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """Of one symbol of a window whose others are hidden with probability p each, summed over its places."""
    total = {name: np.zeros_like(p) for name in ("nearest", "run", "alone", "information")}
    q, told = 1 - p, 1 / np.arange(1, 6) ** 2
    for left in range(length):
        right = length - 1 - left
        for d in range(length):
            total["nearest"] += p ** (min(left, d) + min(right, d)) - p ** (length - 1)
        for side in (left, right):
            total["run"] += sum(q**k for k in range(1, side + 1))
            total["information"] += q * told[:side].sum()
        total["alone"] += p ** (length - 1)
    return total


@pytest.mark.parametrize("length", [5, 40])
def test_independent_masks_in_closed_form(length: int) -> None:
    """At one rate, and over all rates: each is asked as often as it is hidden."""
    x, told = np.zeros((300, length), np.int64), 1 / np.arange(1, 6) ** 2
    p = (np.arange(2000) + 0.5) / 2000
    for objective, rates, weights in ((HALF, np.array([0.5]), np.ones(1)), (MaskedConfig(), p, p)):
        found = nearness(objective, x, identity(*x.shape), np.ones(2), told, seed=1)
        sums = {name: (each * weights).sum() for name, each in hidden_at(rates, length).items()}
        every = length * weights.sum()
        expected = {name: each / every for name, each in sums.items()}
        expected["nearest"] = sums["nearest"] / (every - sums["alone"])
        for name, value in expected.items():
            measured = getattr(found, name)
            assert abs(measured.value - value) < 4.5 * measured.stderr + 2e-4, name
            assert measured.stderr < 0.06 * value + 0.02


def test_deep_inside_a_long_window() -> None:
    """At rate p the nearest visible symbol lies 1 / (1 - p^2) away, and (1 - p) / p are visible on each side."""
    for p in (0.2, 0.5, 0.8):
        near = runs = asked_ = 0.0
        objective, x = MaskedConfig(clip=(p - 1e-4, p + 1e-4)), np.zeros((24, 256), np.int64)
        for asked in asked_symbols(objective, x, identity(*x.shape), 2, 0):
            inside = asked.own_NQ & (asked.place_NQ >= 60) & (asked.place_NQ < 196)
            for shown, at in zip(asked.visible_NQT[inside], asked.place_NQ[inside], strict=True):
                there = np.flatnonzero(shown)
                near += np.abs(there - at).min()
                gaps = np.flatnonzero(~shown)
                runs += gaps[gaps > at].min() - gaps[gaps < at].max() - 2
                asked_ += 1
        assert asked_ > 2000
        assert near / asked_ == pytest.approx(1 / (1 - p**2), rel=0.05)
        assert runs / asked_ == pytest.approx(2 * (1 - p) / p, rel=0.08)


# designs whose nearness is known outright


def exact(found: dict[str, Any], **expected: float) -> None:
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-9), name


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name in NEARNESS:
        assert one[name]["value"] == pytest.approx(other[name]["value"], abs=1e-9), name


def test_from_left_to_right() -> None:
    """All before is one run; the first symbol sees nothing."""
    exact(controls(ArConfig()), nearest=1, nearest_bytes=1, run=7.5, run_bytes=7.5, alone=1 / 16)


@pytest.mark.parametrize(
    "objective", [BlockConfig(block=1), AnyOrderConfig(within=1), EsoConfig(alpha0=0), kinds.PatchArConfig()]
)  # fmt: skip
def test_designs_that_are_autoregression(objective: Objective) -> None:
    same(controls(objective), controls(ArConfig()))


@pytest.mark.parametrize("spans", [FixedSpans(length=1), GeometricSpans(mean=1)])
def test_spans_of_one_are_masks(spans: Any) -> None:
    same(controls(SpanConfig(spans=spans)), controls(MaskedConfig()))


@pytest.mark.parametrize("objective", [BlockConfig(block=16), BlockConfig(block=99), EsoConfig(alpha0=1)])
def test_designs_that_are_masked_diffusion(objective: Objective) -> None:
    """In expectation."""
    one, other = controls(objective, size=16_000), controls(MaskedConfig(), size=16_000)
    for name in NEARNESS:
        spread = np.hypot(one[name]["stderr"], other[name]["stderr"])
        assert abs(one[name]["value"] - other[name]["value"]) < 4.5 * spread, name


def test_blocks_show_all_before_them() -> None:
    """Blocks of 2: a symbol asked for is the first or the second alike, and sees the other with probability v; the
    block has p = t, so a hidden symbol's neighbour is visible with E[t (1 - t)] / E[t] = 1/3."""
    found = controls(BlockConfig(block=2), size=16_000)
    before, v = np.arange(0, 16, 2).mean(), 1 / 3
    run = (before + v) / 2 + v * (1 + before) / 2  # the first: all before, and v; the second: v, then all before
    assert abs(found["run"]["value"] - run) < 4.5 * found["run"]["stderr"]
    later = 7 / 8
    alone = (1 - v) / 8
    near = (later * (1 + v + 2 * (1 - v)) / 2 + v / 8) / (1 - alone)
    assert abs(found["alone"]["value"] - alone) < 4.5 * found["alone"]["stderr"]
    assert abs(found["nearest"]["value"] - near) < 4.5 * found["nearest"]["stderr"]


@pytest.mark.parametrize("stride", [2, 4])
def test_strides_in_closed_form(stride: int) -> None:
    """The first pass sees `stride` back, the later ones the neighbour before."""
    first = 16 // stride
    exact(controls(ArConfig(), Strided(stride=stride)), nearest=((first - 1) * stride + 16 - first) / 15, alone=1 / 16)


@pytest.mark.parametrize(
    "permutation",
    [ShuffledWindow(fresh=True), ShuffledNearby(width=4), ShuffledBlocks(width=4), Strided(stride=4), ShuffledInside()],
    ids=lambda p: p.kind,
)  # fmt: skip
def test_every_pair_is_seen_once_in_any_order(permutation: Any) -> None:
    """From left to right, what the visible tell one by one comes to the same in every order: it knows pairs alone."""
    exact(controls(ArConfig(), permutation), information=controls(ArConfig())["information"]["value"])


@pytest.mark.parametrize("permutation", [ShuffledWindow(fresh=True), ShuffledUnits()], ids=lambda p: p.kind)
def test_independent_masks_are_the_same_in_every_order(permutation: Any) -> None:
    one, other = controls(MaskedConfig(), permutation, size=16_000), controls(MaskedConfig(), size=16_000)
    for name in NEARNESS:
        spread = np.hypot(one[name]["stderr"], other[name]["stderr"])
        assert abs(one[name]["value"] - other[name]["value"]) < 4.5 * spread, name


def test_orders_of_words_keep_runs_together() -> None:
    """A shuffle of words leaves longer runs than one inside words does near ends, and both shorter than the text."""
    text, whole, inside = (controls(ArConfig(), p) for p in (None, ShuffledUnits(), ShuffledInside()))
    assert text["nearest"]["value"] == 1 < inside["nearest"]["value"]
    assert whole["nearest"]["value"] > 1
    assert inside["run"]["value"] < text["run"]["value"]
    assert whole["run"]["value"] < text["run"]["value"]


# samples, units of other representations, and what is left out


def test_a_sample_of_what_is_asked_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that are asked about more often count for more."""
    x = np.zeros((300, 64), np.int64)
    for name in ("ar", "masked", "eso", "block4"):
        whole = nearness(BLIND[name], x, identity(*x.shape), np.ones(2), np.ones(3), seed=0)
        monkeypatch.setattr(visible, "_CELLS", 3 * x.size * (1 if name == "ar" else DRAWS))
        some = nearness(BLIND[name], x, identity(*x.shape), np.ones(2), np.ones(3), seed=0)
        monkeypatch.undo()
        for key in NEARNESS:
            one, other = getattr(whole, key), getattr(some, key)
            assert one.value is not None
            assert abs(one.value - other.value) <= 4.5 * other.stderr, (name, key)
            assert key != "run" or one.value != other.value


def test_parts_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.zeros((30, 16), np.int64)
    for name in ("ar", "eso", "block4"):
        whole = nearness(BLIND[name], x, identity(*x.shape), np.ones(2), np.ones(3), seed=0)
        monkeypatch.setattr(visible, "_AT_ONCE", 16 * 16 * 7)
        parts = nearness(BLIND[name], x, identity(*x.shape), np.ones(2), np.ones(3), seed=0)
        monkeypatch.undo()
        assert whole.run.value == pytest.approx(parts.run.value)
        assert whole.nearest.stderr == pytest.approx(parts.nearest.stderr)


def test_bytes_of_tokens_and_digits() -> None:
    text = b"the cat and the dog and the cow " * 60
    config = BpeConfig(vocab_size=268)
    tokens = Stream.of([text], build(config, [text]))
    of = Subject(representation=config, permutation=None, objective=ArConfig(), window=8)
    found = permutation_controls(of, tokens)
    exact(found, nearest=1, nearest_bytes=1, run=3.5)
    ends = np.cumsum(build(config, [text]).byte_lengths()[tokens.read(0, len(tokens) // 8 * 8)].reshape(-1, 8), axis=1)
    exact(found, run_bytes=np.pad(ends, ((0, 0), (1, 0)))[:, :-1].mean())
    digits = ByteDigitsConfig(base=4)
    of = Subject(representation=digits, permutation=None, objective=ArConfig(), window=8)
    exact(permutation_controls(of, Stream.of([text], build(digits))), nearest_bytes=0.25, run=3.5, run_bytes=3.5 / 4)


def test_patches_of_a_network_are_left_out() -> None:
    found = controls(kinds.PatchMaskedConfig())
    assert set(found["left_out"]) == {*NEARNESS, "bytes_per_token"}
    assert [found[name] for name in NEARNESS] == [None] * len(NEARNESS)
    assert found["mutual_information"] is not None


@pytest.mark.parametrize("name", [*BLIND, "words", "digits"])
def test_strict_json_for_every_objective(name: str) -> None:
    objective = {**BLIND, "words": SpanConfig(spans=WordSpans()), "digits": DigitsConfig()}[name]
    for window in (1, 3, 8):
        found = controls(objective, ShuffledInside(), window=window, size=160)
        assert json.loads(json.dumps(found, allow_nan=False)) == found
