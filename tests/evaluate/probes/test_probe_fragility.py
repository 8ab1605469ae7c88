"""What a byte loses with its neighbours, of sources where that is known."""

import numpy as np
import pytest
import torch
from probe_sources import AROUND, OBJECTIVES, Chain, Mixture, knowing, subject, windows

from isobyte.evaluate.probes.fragility import LOST, draw_places, lacks_fragility, measure_fragility
from isobyte.evaluate.probes.subject import Subject
from tiny import run_config

MARKOV = Chain(bytes(range(3)), np.array([[6.0, 1.0, 2.0], [1.0, 5.0, 1.0], [3.0, 1.0, 4.0]]), 3)
IID = Chain(bytes(range(3)), np.array([[6.0, 1.0, 2.0]] * 3), 3)
WINDOW = 40


def bigrams(window: int) -> Subject:
    """Autoregression of the chain, at once."""
    table = torch.tensor(np.concatenate((MARKOV.P, MARKOV.pi[None]))).log()
    return Subject(OBJECTIVES["ar"], lambda view: table[view.inputs], 3, window)


def lost(found: dict, k: int, treatment: str, kind: str) -> tuple[float, float]:
    each = found["lost"][str(k)][treatment][kind]
    return each["mean"], each["stderr"]


def entropy_given(left: int, right: int) -> float:
    """Bits of a symbol of the chain given those `left` before and `right` after it, by enumeration."""
    P, pi = MARKOV.P, MARKOV.pi
    before, after = np.linalg.matrix_power(P, left), np.linalg.matrix_power(P, right)
    joint = pi[:, None, None] * before[:, :, None] * after[None]
    return float(-(joint * np.log2(joint / joint.sum(1, keepdims=True))).sum())


def test_a_chain_from_the_left_loses_what_taking_a_random_byte_for_the_one_before_costs() -> None:
    x_WT = windows(MARKOV, 150, WINDOW, 0)
    found = measure_fragility(bigrams(WINDOW), x_WT, 0)
    own = -(MARKOV.pi[:, None] * MARKOV.P * np.log2(MARKOV.P)).sum()
    misled = -(MARKOV.pi[:, None] * MARKOV.pi * np.log2(MARKOV.P)).sum()
    base, near = found["base"], lost(found, 1, "resampled", "near")
    assert base["mean"] == pytest.approx(own, abs=4 * base["stderr"])
    assert near[0] == pytest.approx(misled - own, abs=4 * near[1])
    assert near[0] > 10 * near[1]
    for k in LOST:  # only the last of them matters, and far ones not at all
        assert lost(found, k, "resampled", "near") == pytest.approx(near, abs=1e-12)
        assert lost(found, k, "resampled", "far") == pytest.approx((0, 0), abs=1e-12)
        assert lost(found, k, "resampled", "near_less_far") == pytest.approx(near, abs=1e-12)
    assert "masked" not in found["lost"]["1"]
    assert (found["context"], found["far_distance"], found["unit"]) == ("left", 10, "window")


def test_a_chain_from_both_sides_loses_the_information_of_hidden_neighbours() -> None:
    found = measure_fragility(subject("masked", MARKOV, WINDOW), windows(MARKOV, 100, WINDOW, 1), 0)
    base = entropy_given(1, 1)
    assert found["base"]["mean"] == pytest.approx(base, abs=4 * found["base"]["stderr"])
    for k, sides in ((1, (2, 1)), (2, (2, 2)), (4, (3, 3)), (8, (5, 5))):
        near = lost(found, k, "masked", "near")
        assert near[0] == pytest.approx(entropy_given(*sides) - base, abs=4 * near[1])
        assert near[0] > 5 * near[1]
        assert lost(found, k, "masked", "far") == pytest.approx((0, 0), abs=1e-12)
    assert lost(found, 2, "resampled", "near")[0] > lost(found, 2, "masked", "near")[0]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_independent_bytes_lose_nothing(name: str) -> None:
    found = measure_fragility(subject(name, IID, 24), windows(IID, 12, 24, 2), 0, places=4)
    assert found["lost"]
    for each in found["lost"].values():
        for treated in each.values():
            assert [treated[kind]["mean"] for kind in ("near", "far", "near_less_far")] == pytest.approx([0] * 3)


@pytest.mark.parametrize("name", AROUND)
def test_objectives_that_see_the_same_find_the_same(name: str) -> None:
    x_WT = windows(MARKOV, 16, WINDOW, 3)
    one, other = (measure_fragility(subject(each, MARKOV, WINDOW), x_WT, 0, places=3) for each in ("masked", name))
    assert other["base"]["mean"] == pytest.approx(one["base"]["mean"], abs=1e-9)
    for k in LOST:
        for kind in ("near", "far", "near_less_far"):
            assert lost(other, k, "resampled", kind) == pytest.approx(lost(one, k, "resampled", kind), abs=1e-9)
    assert ("masked" in other["lost"]["1"]) == (name not in ("eso", "eso_open"))
    if "masked" in other["lost"]["1"]:
        assert lost(other, 4, "masked", "near") == pytest.approx(lost(one, 4, "masked", "near"))


@pytest.mark.parametrize("name", ["ar", "any_order_within", "eso_left"])
def test_what_goes_from_left_to_right_finds_what_autoregression_does(name: str) -> None:
    x_WT = windows(MARKOV, 16, WINDOW, 3)
    one = measure_fragility(bigrams(WINDOW), x_WT, 0, places=3)
    other = measure_fragility(subject(name, MARKOV, WINDOW), x_WT, 0, places=3)
    assert other["base"] == pytest.approx(one["base"])
    assert other["lost"]["1"]["resampled"]["near"] == pytest.approx(one["lost"]["1"]["resampled"]["near"])


def test_a_block_sees_itself_and_those_before() -> None:
    x_WT = windows(MARKOV, 16, WINDOW, 3)
    asked = subject("block", MARKOV, WINDOW)
    found = measure_fragility(asked, x_WT, 0, places=6)
    drawn, bits = draw_places(asked, x_WT, 0, 6), []
    for x_T, places in zip(x_WT, drawn.places_WP, strict=True):
        for place in places:
            known = np.arange(WINDOW) // 5 <= place // 5
            bits.append(MARKOV.log_p(x_T, known & (np.arange(WINDOW) != place)) - MARKOV.log_p(x_T, known))
    assert found["base"]["mean"] == pytest.approx(np.mean(bits) / np.log(2), abs=1e-9)
    assert list(found["lost"]["1"]) == ["resampled"]


@pytest.mark.parametrize("name", ["ar", "masked", "block"])
def test_what_is_lost_is_near_or_far_and_from_another_window(name: str) -> None:
    x_WT = windows(MARKOV, 5, 64, 4)
    asked = draw_places(subject(name, MARKOV, 64), x_WT, 0, 6)
    assert asked.far == 16
    for window, places in enumerate(asked.places_WP):
        assert len(set(places)) == 6
        assert ((places >= 32) & (places < 48)).all()
        for nth, place in enumerate(places):
            context = asked.seen_TT[place]
            assert not context[place]
            for k in LOST:
                near, far = asked.near(place, k), asked.distant(window, nth, k)
                assert len(set(near)) == len(set(far)) == k
                assert context[near].all()
                assert context[far].all()
                assert np.abs(far - place).min() >= 16
                others = np.setdiff1d(context.nonzero()[0], near)
                assert np.abs(near - place).max() <= np.abs(others - place).min()
            assert asked.near(place, 1) == [place - 1]
            donor = asked.donor(window, nth)
            assert any((donor == x_WT[other]).all() for other in range(5) if other != window)
    if name == "masked":
        assert sorted(asked.near(40, 4)) == [38, 39, 41, 42]
    far = np.concatenate([asked.distant(w, p, 4) for w in range(5) for p in range(6)])
    assert len(set(far.tolist())) > 10


def test_near_less_far_is_the_difference_where_all_bytes_matter() -> None:
    source = Mixture(b"abc", np.array([[8.0, 1, 1], [1.0, 1, 8]]))
    found = measure_fragility(subject("masked", source, 24), windows(IID, 8, 24, 6) + 97, 0, places=3)
    near, far, less = (lost(found, 4, "masked", kind)[0] for kind in ("near", "far", "near_less_far"))
    assert less == pytest.approx(near - far)
    assert abs(far) > 1e-6


def test_standard_errors_are_the_spread_over_texts() -> None:
    asked = bigrams(24)
    found = [measure_fragility(asked, windows(MARKOV, 12, 24, 50 + seed), seed, places=3) for seed in range(80)]
    for kind in ("near", "near_less_far"):
        means, errors = np.array([lost(each, 1, "resampled", kind) for each in found]).T
        assert 0.75 < means.std(ddof=1) / np.sqrt((errors**2).mean()) < 1.33


def test_a_network_that_looks_at_nothing_loses_nothing() -> None:
    pi = torch.tensor(MARKOV.pi)
    blind = knowing(MARKOV.values, lambda _, place_R: pi.expand(len(place_R), -1), 3)
    flat = Subject(OBJECTIVES["masked"], blind, 3, 32)
    found = measure_fragility(flat, windows(MARKOV, 6, 32, 5), 0, places=2)
    assert lost(found, 1, "masked", "near") == (0, 0)


def test_which_runs_have_it() -> None:
    assert lacks_fragility(run_config("masked")) is None
    assert "far neighbours" in str(lacks_fragility(run_config("ar", window=7)))
