"""The efficiency gap as a figure: what is drawn is in the legend, what is not is said."""

from typing import Any

from isobyte.study.report.gap_figure import gap_figure
from isobyte.study.report.palette import design_styles

STYLES = design_styles(
    [
        {"name": f"{representation}-{objective}", "representation": representation, "objective": objective}
        for representation in ("bytes", "bpe")
        for objective in ("ar", "masked")
    ]
)


def comparison(objective: str, gap: float, *, extrapolated: bool) -> dict[str, Any]:
    at = {"gap": gap, "low": gap / 1.2, "high": gap * 1.2, "extrapolated": extrapolated}
    computes = [at | {"compute": compute} for compute in (1e10, 1e11)]
    return {
        "a": f"bytes-{objective}", "b": f"bpe-{objective}", "contrast": "representation", "within": objective,
        "levels": ["bytes", "bpe"], "method": "law", "computes": computes,
        "headline": at | {"compute_b": 1e10, "loss": 2.0}, "summary": {"value": f"{gap:g}"},
    }  # fmt: skip


def test_a_pair_outside_the_axes_is_said_below_and_not_in_the_legend() -> None:
    near, far = comparison("ar", 5.0, extrapolated=False), comparison("masked", 5000.0, extrapolated=True)
    figure = gap_figure({"comparisons": [near, far]}, STYLES)
    (chart,) = figure.charts
    assert chart.y.high < 5000
    assert [key.label for key in figure.keys] == ["bytes-ar / bpe-ar", "extrapolated"]
    assert chart.note == "Outside the axes: bytes-masked / bpe-masked (5000)."


def test_pairs_inside_the_axes_are_all_in_the_legend() -> None:
    both = [comparison("ar", 5.0, extrapolated=False), comparison("masked", 7.0, extrapolated=True)]
    figure = gap_figure({"comparisons": both}, STYLES)
    assert [key.label for key in figure.keys][:2] == ["bytes-ar / bpe-ar", "bytes-masked / bpe-masked"]
    assert figure.charts[0].note == ""
