"""Axes, colours and curves of the report's charts."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobyte.study.report.chart import Axis, Band, Level, Line, closed, extent, linear_ticks, log_ticks
from isobyte.study.report.curves import solid_and_dashed
from isobyte.study.report.palette import KNOWN, SPARE, budget_colours, design_styles
from isobyte.study.report.plotly_chart import plotly_figure


@given(st.floats(1e-6, 1e20), st.floats(1.2, 1e12))
def test_log_axes_have_a_few_labels_inside(low, ratio):
    ticks = log_ticks(low, low * ratio)
    values = [value for value, _ in ticks]
    assert 1 <= len(ticks) <= 12
    assert all(low * 0.999 <= value <= low * ratio * 1.001 for value in values)
    assert values == sorted(set(values))
    assert len({text for _, text in ticks}) == len(ticks)


@given(st.floats(-100, 100), st.floats(1e-3, 1e3))
def test_linear_axes_have_round_distinct_labels(low, width):
    ticks = linear_ticks(low, low + width)
    assert 3 <= len(ticks) <= 11
    assert len({text for _, text in ticks}) == len(ticks)
    assert all(abs(float(text) - value) < 1e-6 * max(1, width) for value, text in ticks)


def test_extents_leave_out_what_is_no_number():
    assert extent([None, float("nan"), float("inf")]) is None
    assert extent([1.0, None, 3.0], pad=0.5) == (0.0, 4.0)
    low, high = extent([0.0, 10.0, 1000.0], log=True)
    assert 5 < low < 10
    assert 1000 < high < 2000


def test_a_band_without_an_upper_end_reaches_beyond_the_axis():
    x, low, high = closed(Band([1, 2, 3], [1.0, 1.0, None], [2.0, None, None], "#000000"), Axis("", 1, 10, log=True))
    assert (x, low, high) == ([1, 2], [1.0, 1.0], [2.0, 1000.0])


def test_measured_parts_are_solid_and_the_pieces_meet():
    curve = [{"C": float(k), "N": 2.0 * k, "extrapolated": k in (1, 4, 5)} for k in range(1, 6)]
    lines = [mark for mark in solid_and_dashed(curve, "C", "N", "#000000") if isinstance(mark, Line)]
    assert [line.dashed for line in lines] == [True, False, True]
    assert [list(line.x) for line in lines] == [[1, 2], [2, 3], [3, 4, 5]]


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_budgets_darken_as_they_grow():
    shades = [luminance(colour) for colour in budget_colours([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]).values()]
    assert shades == sorted(shades, reverse=True)
    assert all(first - second > 0.005 for first, second in itertools.pairwise(shades))


def test_every_design_has_a_colour_of_its_own_that_shows_on_white():
    designs = [{"name": f"d{k}", "objective": "ar", "representation": "bytes"} for k in range(1 + len(SPARE))]
    styles = design_styles(designs)
    assert len({style.colour for style in styles.values()}) == len(designs)
    for style in [*KNOWN.values(), *SPARE]:
        assert 1.05 / (luminance(style.colour) + 0.05) > 2.3


def test_no_two_of_very_many_designs_look_alike():
    """As many as recipe efficiency-gap has; past the spare colours they differ in their symbols."""
    kinds = [("ar", "bytes"), ("ar", "bpe"), ("masked", "bpe"), ("block", "bytes"), ("new", "bytes")]
    designs = [{"name": f"d{k}", "objective": kinds[k % 5][0], "representation": kinds[k % 5][1]} for k in range(43)]
    assert len(set(design_styles(designs).values())) == 43


@pytest.mark.parametrize("log", [False, True])
def test_plotly_gets_what_the_chart_says(log):
    from isobyte.study.report.chart import Chart

    marks = [Line([1, 10], [2.0, None], "#112233", dashed=True), Level(5.0, "five")]
    figure = plotly_figure(Chart("t", Axis("x", 1, 100, log=True), Axis("y", 1, 10, log=log), marks, "alt"))
    assert figure["layout"]["xaxis"]["range"] == [0, 2]
    assert figure["layout"]["yaxis"]["range"] == ([0, 1] if log else [1, 10])
    assert figure["data"][0]["y"] == [2.0, None]
    assert figure["data"][0]["line"]["dash"] == "dash"
    assert figure["layout"]["annotations"][0]["text"] == "five"
