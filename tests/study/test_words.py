"""Numbers and names in reports."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobyte.study import words


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.234e12, "1.23×10¹²"), (0.00042, "4.20×10⁻⁴"), (-3e5, "−3.00×10⁵"), (0, "0"), (math.inf, "∞"), (None, "–")],
)
def test_scientific(value, text):
    assert words.scientific(value) == text


@pytest.mark.parametrize(("value", "text"), [(1e12, "10¹²"), (2e12, "2×10¹²"), (2.15e12, "2.15×10¹²"), (None, "–")])
def test_compact_leaves_out_empty_digits(value, text):
    assert words.compact(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.3149, "2.31"), (0.06123, "0.0612"), (1239.0, "1,240"), (9.999, "10.0"), (-0.5, "−0.500"), (2e6, "2.00×10⁶")],
)
def test_significant(value, text):
    assert words.significant(value) == text


@given(st.floats(1e-300, 1e300))
def test_scientific_keeps_the_value_to_its_digits(value):
    mantissa, _, power = words.scientific(value, 4).partition("×10")
    digits = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    back = float(mantissa) * 10.0 ** int(power.translate(digits))
    assert math.isclose(back, value, rel_tol=6e-4)


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.25, "4.2 s"), (59.6, "1 min 00 s"), (432, "7 min 12 s"), (7500, "2 h 05 min"), (None, "–")]
)
def test_duration(seconds, text):
    assert words.duration(seconds).replace("\u00a0", " ") == text


def test_an_interval_without_an_upper_end():
    assert words.span(1.5, math.inf) == "[1.50, ∞]"
