"""Streams are named: the same name is the same numbers, on any machine."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isobyte.random import generator

NAMES = [(0,), (1,), (0, "mask"), (0, "time"), (0, "mask", 0), (0, "mask", 1), (1, "mask", 0), (0, "mask", 0, 0)]


@given(st.integers(0, 2**63), st.lists(st.integers(0, 2**63) | st.text(max_size=5), max_size=3))
def test_a_stream_has_no_hidden_state(seed: int, names: list[int | str]) -> None:
    first = generator(seed, *names)
    first.random(3)
    assert np.array_equal(generator(seed, *names).random(4), generator(seed, *names).random(4))


def test_other_names_are_independent_streams() -> None:
    draws = [generator(*name).random(4000) for name in NAMES]
    for a, b in itertools.combinations(draws, 2):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(4000)
    assert abs(np.mean(draws) - 0.5) < 5 / np.sqrt(12 * 4000 * len(NAMES))


def test_numbers_are_pinned() -> None:
    """Runs on disk depend on them."""
    assert generator(0, "mask", 7).integers(0, 1000, 5).tolist() == [387, 939, 592, 863, 406]
