"""What each permutation moves, and what it leaves where it is."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from isobyte.config.objective import AnyOrderConfig, ArConfig
from isobyte.config.permutation import (
    Permutation,
    ShuffledBlocks,
    ShuffledInside,
    ShuffledNearby,
    ShuffledUnits,
    ShuffledWindow,
    Strided,
)
from isobyte.config.representation import BpeConfig
from isobyte.config.run import RunConfig
from isobyte.objective.any_order import any_order_question, nearby
from isobyte.objective.draw import Draw
from isobyte.objective.permutation import HELD_OUT, TRAINING, Reading, reading_of
from isobyte.objective.span import span_starts
from isobyte.random import generator
from isobyte.representation import build, save
from laws.small import random_net
from tiny import run_data

seeds = st.integers(0, 5)
widths = st.integers(1, 40)
booleans = st.booleans()
CONTENT_BLIND = st.one_of(
    st.builds(ShuffledWindow, seed=seeds, fresh=booleans),
    st.builds(ShuffledNearby, seed=seeds, fresh=booleans, width=widths),
    st.builds(ShuffledBlocks, seed=seeds, fresh=booleans, width=widths),
    st.builds(Strided, seed=seeds, stride=widths),
    st.builds(ShuffledWindow, seed=seeds, carry=st.just(True)),
    st.builds(Strided, stride=widths, carry=st.just(True)),
)
BY_UNITS = st.one_of(st.builds(ShuffledInside, seed=seeds), st.builds(ShuffledUnits, seed=seeds))
WINDOWS = [0, 1, 17]
"""Numbers of the windows that are read here."""


@st.composite
def lengths(draw: st.DrawFn) -> tuple[int, int]:
    """Of a window, and of one as short or shorter."""
    window = draw(st.integers(1, 33))
    return window, draw(st.integers(1, window))


def texts(length: int, seed: int = 0) -> Tensor:
    """Three windows with words in them."""
    drawn = np.random.default_rng(seed).choice(np.frombuffer(b"abcdefg   ", np.uint8), (len(WINDOWS), length))
    return torch.from_numpy(drawn.astype(np.int64))


def places(kind: Permutation, window: int, length: int, name: str = HELD_OUT) -> np.ndarray:
    return Reading(kind, window).places(texts(length).numpy(), name, np.array(WINDOWS))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(kind=CONTENT_BLIND, size=lengths())
def test_content_blind_permutations_are_undone(kind: Permutation, size: tuple[int, int]) -> None:
    """Whatever the window, and of a text's shorter last one too."""
    window, length = size
    assert kind.invertible
    reading, x, numbers = Reading(kind, window), texts(length), np.array(WINDOWS)
    read = reading.read(x, HELD_OUT, numbers)
    assert reading.unread(read, HELD_OUT, numbers).equal(x)
    assert read.equal(x.gather(1, torch.from_numpy(places(kind, window, length))))
    for row in (0, 2):
        assert reading.read(x[row : row + 1], HELD_OUT, numbers[row : row + 1]).equal(read[row : row + 1])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(kind=st.one_of(CONTENT_BLIND, BY_UNITS), size=lengths())
def test_every_symbol_is_read_once(kind: Permutation, size: tuple[int, int]) -> None:
    assert (np.sort(places(kind, *size), axis=1) == np.arange(size[1])).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(kind=CONTENT_BLIND, size=lengths())
def test_the_text_has_no_say_in_the_order(kind: Permutation, size: tuple[int, int]) -> None:
    window, length = size
    other = Reading(kind, window).places(texts(length, seed=1).numpy(), HELD_OUT, np.array(WINDOWS))
    assert (other == places(kind, window, length)).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(size=lengths(), width=widths, fresh=booleans)
def test_nearby_keeps_stretches(size: tuple[int, int], width: int, fresh: bool) -> None:
    found = places(ShuffledNearby(width=width, fresh=fresh), *size)
    assert (found // width == np.arange(size[1]) // width).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(size=lengths(), width=widths, fresh=booleans)
def test_blocks_keep_their_insides(size: tuple[int, int], width: int, fresh: bool) -> None:
    """The cut last block too; every step inside a block goes to the next place of the text."""
    for row in places(ShuffledBlocks(width=width, fresh=fresh), *size):
        inside = row[1:] % width != 0
        assert (np.diff(row)[inside] == 1).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(size=lengths(), stride=widths)
def test_strides_in_closed_form(size: tuple[int, int], stride: int) -> None:
    expected = [place for first in range(min(stride, size[1])) for place in range(first, size[1], stride)]
    assert places(Strided(stride=stride), *size).tolist() == [expected] * len(WINDOWS)


def test_a_shuffle_shuffles() -> None:
    """None of those that could move something leaves all as it is; stretches of one and blocks of all do."""
    order = np.arange(32)
    for kind in (ShuffledWindow(), ShuffledNearby(width=4), ShuffledBlocks(width=4), Strided(stride=4)):
        assert (places(kind, 32, 32) != order).any(axis=1).all(), kind
    for kind in (ShuffledNearby(width=1), ShuffledBlocks(width=32), ShuffledBlocks(width=99), Strided(stride=1)):
        assert (places(kind, 32, 32) == order).all(), kind


def test_orders_of_a_window_are_equally_likely() -> None:
    """Chi-square over the 24 orders of four symbols, of 4,800 fresh windows."""
    numbers = np.arange(4800)
    for kind in (ShuffledWindow(fresh=True), ShuffledNearby(width=4, fresh=True), ShuffledBlocks(width=1, fresh=True)):
        found = Reading(kind, 4).places(np.zeros((len(numbers), 4), np.int64), TRAINING, numbers)
        _, counts = np.unique(found, axis=0, return_counts=True)
        assert len(counts) == 24
        assert ((counts - 200) ** 2 / 200).sum() < 49.7, "one in a thousand by chance"


FRESH = [ShuffledWindow, ShuffledNearby, ShuffledBlocks]


@pytest.mark.parametrize("kind", FRESH)
def test_fresh_orders_differ_and_one_for_all_does_not(kind: Any) -> None:
    fresh, fixed = kind(fresh=True), kind()
    one, other, third = places(fresh, 32, 32)
    assert (one != other).any()
    assert (other != third).any()
    assert (places(fresh, 32, 32, TRAINING) != places(fresh, 32, 32, HELD_OUT)).any(axis=1).all()
    assert (places(fixed, 32, 32) == places(fixed, 32, 32)[:1]).all()
    assert (places(fixed, 32, 32, TRAINING) == places(fixed, 32, 32, HELD_OUT)).all()


@pytest.mark.parametrize("kind", [*FRESH, ShuffledInside, ShuffledUnits])
def test_another_seed_is_another_order(kind: Any) -> None:
    assert (places(kind(), 32, 32) != places(kind(seed=1), 32, 32)).any()
    assert (places(kind(), 32, 32) == places(kind(), 32, 32)).all()


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Words, and the tokens of a tokeniser."""
    folder = tmp_path_factory.mktemp("tokens")
    text = bytes(np.random.default_rng(5).choice(np.frombuffer(b"abcdefg   ", np.uint8), 4000))
    save(build(BpeConfig(vocab_size=280), [text]), folder)
    return {"word": {"kind": "word"}, "bpe": {"kind": "bpe", "path": str(folder / "tokenizer.json")}}


def cut(x_T: np.ndarray, starts_T: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(part.tolist()) for part in np.split(x_T, np.flatnonzero(starts_T)[1:])]


@pytest.mark.parametrize("unit", ["word", "bpe"])
def test_inside_keeps_each_unit_s_place_and_symbols(units: dict[str, Any], unit: str) -> None:
    kind = ShuffledInside.model_validate({"units": units[unit]})
    x, moved = texts(32), 0
    read = Reading(kind, 32).read(x, HELD_OUT, np.array(WINDOWS))
    starts = span_starts(kind.units, x.numpy(), np.zeros(x.shape))
    for row in range(len(x)):
        before, after = cut(x[row].numpy(), starts[row]), cut(read[row].numpy(), starts[row])
        assert [sorted(one) for one in before] == [sorted(one) for one in after]
        moved += before != after
    assert moved == len(x)


@pytest.mark.parametrize("unit", ["word", "bpe"])
def test_units_stay_whole(units: dict[str, Any], unit: str) -> None:
    kind = ShuffledUnits.model_validate({"units": units[unit]})
    x, numbers = texts(32), np.array(WINDOWS)
    reading = Reading(kind, 32)
    found = reading.places(x.numpy(), HELD_OUT, numbers)
    starts = span_starts(kind.units, x.numpy(), np.zeros(x.shape))
    for row in range(len(x)):
        of_text = cut(np.arange(32), starts[row])
        as_read = cut(found[row], starts[row][found[row]])
        assert sorted(as_read) == of_text
        assert as_read != of_text


def test_two_texts_may_be_read_alike_when_words_are_shuffled_inside() -> None:
    """Why its number is that of another source; the content-blind ones read all 81 apart."""
    texts_N4 = torch.cartesian_prod(*[torch.tensor(list(b" ab"))] * 4)
    zeros = np.zeros(len(texts_N4), np.int64)
    for kind, expected in ((ShuffledInside(), False), (ShuffledNearby(width=3, fresh=True), True), (Strided(), True)):
        read = Reading(kind, 4).read(texts_N4, HELD_OUT, zeros)
        assert (len(read.unique(dim=0)) == 81) is expected
        assert kind.invertible is expected


# training reads the windows of a step in orders of their own, however the step is shared out


@pytest.mark.parametrize("permutation", [{"kind": "window", "fresh": True}, {"kind": "inside"}, {"kind": "nearby"}])
def test_a_step_s_windows_are_read_by_their_numbers(permutation: dict[str, Any]) -> None:
    from isobyte.train.step import _questions

    config = RunConfig.model_validate(run_data("ar") | {"permutation": permutation})
    reading, net = reading_of(config), random_net(256, objective=ArConfig())
    assert reading is not None
    batch = np.random.default_rng(1).choice(np.frombuffer(b"abcd ", np.uint8), (4, 16)).astype(np.int64)

    def asked(step: int, rows: slice) -> Tensor:
        (question,) = _questions(config, batch[rows], net, Draw(0, step, rows, 4))
        return question.targets_BT

    whole = asked(3, slice(0, 4))
    assert whole.equal(reading.read(torch.from_numpy(batch), TRAINING, 12 + np.arange(4)))
    assert torch.cat([asked(3, slice(k, k + 1)) for k in range(4)]).equal(whole)
    assert whole.equal(asked(4, slice(0, 4))) is (permutation == {"kind": "nearby"})


# orders that go from left to right by stretches


@settings(max_examples=60, deadline=None, derandomize=True)
@given(length=st.integers(1, 12), within=st.integers(1, 14), seed=seeds)
def test_nearby_orders_keep_stretches_and_the_order_inside(length: int, within: int, seed: int) -> None:
    order = torch.from_numpy(generator(seed, "order").random((3, length)).argsort(-1))
    found = nearby(order, within)
    assert (found // within).equal((torch.arange(length) // within).expand(3, -1))
    for before, after in zip(order.tolist(), found.tolist(), strict=True):
        for stretch in range(math.ceil(length / within)):
            own = range(stretch * within, (stretch + 1) * within)
            assert [place for place in after if place in own] == [place for place in before if place in own]
    assert nearby(order, None).equal(order)


@pytest.mark.parametrize("within", [1, 3, 8, 50, None])
def test_training_asks_in_such_orders(within: int | None) -> None:
    x = texts(8)
    question = any_order_question(AnyOrderConfig(within=within), x, 256, Draw(0, 2, slice(0, 3), 3))
    assert question.view.positions is not None
    order = question.view.positions.asked
    assert (order.sort(-1).values == torch.arange(8)).all()
    assert question.targets_BT.equal(x.gather(1, order))
    stretches = order // (within or 8)
    assert stretches.equal(stretches.sort(-1).values)
    if within == 1:
        assert (order == torch.arange(8)).all()
    elif within in (8, 50, None):
        plain = any_order_question(AnyOrderConfig(), x, 256, Draw(0, 2, slice(0, 3), 3)).view.positions
        assert plain is not None
        assert order.equal(plain.asked)
