"""Probes in a study's report: which runs are shown, the numbers in figures and tables, nothing where there are none."""

import re
from pathlib import Path
from typing import Any

import pytest
from probe_entries import STDERR, Entry, entry, measured
from simulated_study import simulate

from isobyte.config.run import RunConfig
from isobyte.data.prepare import prepare
from isobyte.evaluate.probes import probe_run
from isobyte.study.analyse import analyse
from isobyte.study.report.chart import Band, Chart, Figure, Line
from isobyte.study.report.figures import all_figures
from isobyte.study.report.matplotlib_chart import draw_png
from isobyte.study.report.page import render_page
from isobyte.study.report.palette import design_styles
from isobyte.study.report.plotly_chart import plotly_figure
from isobyte.study.report.probe_figure import largest, probe_figures, spread
from isobyte.study.report.probe_tables import (
    fragility_table,
    gaps_table,
    layers_table,
    probes_html,
    segmentation_table,
    words_table,
)
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_data

ALL = ("words", "fragility", "segmentation", "layers")


def analysis(entries: list[Entry], more: list[dict[str, str]] | None = None) -> dict[str, Any]:
    designs = [
        {"name": "byte-ar", "objective": "ar", "representation": "bytes"},
        {"name": "byte-masked", "objective": "masked", "representation": "bytes"},
        *(more or []),
    ]
    return {"designs": designs, "study": {"probes": entries}}


def two() -> list[Entry]:
    """Two designs at two budgets."""
    return [
        entry("byte-masked", 1e12, level=2.5),
        entry("byte-ar", 1e12, level=2.0, around=False),
        entry("byte-ar", 1e11, level=1.0, around=False),
        entry("byte-masked", 1e11, level=1.5),
    ]


def figures(about: dict[str, Any]) -> dict[str, Figure]:
    return {figure.name: figure for figure in probe_figures(about, design_styles(about["designs"]))}


def lines(chart: Chart) -> list[tuple[list[float], list[float]]]:
    return [(list(mark.x), list(mark.y)) for mark in chart.marks if isinstance(mark, Line)]  # pyright: ignore[reportReturnType]


def text_of(html: str) -> list[str]:
    """What stands in each cell, by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.S)
    return [re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", row)).strip() for row in rows]


def test_each_design_is_shown_at_its_largest_budget_by_its_best_run() -> None:
    worse = entry("byte-ar", 1e12, size="w64", bpb=2.1)
    early = entry("byte-ar", 1e11, bpb=1.0)
    unknown, lacking = entry("gone"), entry("byte-masked", 1e12, probes=("words",))
    last = entry("byte-ar", 1e12, bpb=2.05)
    about = analysis([lacking, unknown, worse, last, early])
    assert largest(about, "words") == [last, lacking]
    assert largest(about, "layers") == [last]


def test_words_are_drawn_by_visible_bytes_and_by_gap_with_standard_errors() -> None:
    left, both, gaps = figures(analysis(two()))["probe-words"].charts
    x = [4.0, 8.0, 16.0, 32.0]
    assert lines(left) == [(x, pytest.approx([2.02, 2.04, 2.08, 2.16])), (x, pytest.approx([2.52, 2.54, 2.58, 2.66]))]
    assert lines(both) == [(x, pytest.approx([2.519, 2.539, 2.579, 2.659]))]
    assert lines(gaps) == [([0.0, 1.0, 2.0, 4.0, 8.0], pytest.approx([2.659, 2.759, 2.859, 3.059, 3.459]))]
    assert "16 bytes" in gaps.title
    band = next(mark for mark in gaps.marks if isinstance(mark, Band))
    assert (band.low[0], band.high[0]) == pytest.approx((2.659 - STDERR, 2.659 + STDERR))


def test_a_window_without_room_is_told() -> None:
    small = entry("byte-masked")
    small["probes"]["words"]["cells"] = [c for c in small["probes"]["words"]["cells"] if c["n"] < 4]
    span = {"name": "span", "objective": "span", "representation": "bytes"}
    gaps = figures(analysis([small, entry("span")], [span]))["probe-words"].charts[2]
    assert len(lines(gaps)) == 1
    assert gaps.note == "Not here: byte-masked, whose windows have no room for so many."


def test_fragility_is_near_less_far_of_resampled_bytes() -> None:
    (chart,) = figures(analysis(two()))["probe-fragility"].charts
    assert [text for _, text in chart.x.ticks()] == ["1", "2", "4", "8"]
    at = [0.0, 1.0, 2.0, 3.0]
    assert lines(chart) == [(at, pytest.approx([2.0, 2.1, 2.3, 2.7])), (at, pytest.approx([2.5, 2.6, 2.8, 3.2]))]


def test_segmentation_is_drawn_against_compute_where_there_are_several_budgets() -> None:
    words, tokens = figures(analysis(two()))["probe-segmentation"].charts
    for chart in (words, tokens):
        assert chart.x.log
        assert lines(chart) == [
            ([0.99e11, 0.99e12], pytest.approx([0.1, 0.2])), ([0.99e11, 0.99e12], pytest.approx([0.15, 0.25])),
        ]  # fmt: skip
    assert "probe-segmentation" not in figures(analysis(two()[:2]))


def test_of_many_designs_the_plain_pairs_are_drawn_and_the_table_has_all() -> None:
    more = [{"name": f"span-{k}", "objective": "span", "representation": "bytes"} for k in range(8)]
    entries = [*two()[:2], *(entry(each["name"]) for each in more)]
    about = analysis(entries, more)
    figure = figures(about)["probe-words"]
    assert [key.label for key in figure.keys] == ["byte-ar", "byte-masked"]
    assert figure.charts[0].note == "2 of 10 designs are shown; the table has all."
    assert sum("span-" in row for row in text_of(words_table(about))) == 16
    without = analysis([*entries[2:], entry("span-x")], [*more, more[0] | {"name": "span-x"}])
    assert [key.label for key in figures(without)["probe-words"].keys] == [f"span-{k}" for k in range(8)]


def test_tables_have_the_numbers_with_their_errors() -> None:
    about = analysis(two())
    ar, left, both = text_of(words_table(about))[1:]
    assert ar.startswith("byte-ar 10¹² before the word 2.020 ± 0.050 2.040")
    assert left.startswith("byte-masked 10¹² before the word 2.520 ± 0.050 2.540")
    assert both.startswith("byte-masked 10¹² on both sides 2.519 ± 0.050")
    assert both.endswith("0.250 ± 0.050 4.500 ± 0.050")
    (gaps,) = text_of(gaps_table(about))[1:]
    assert gaps.startswith("byte-masked 10¹² 16 2.659 ± 0.050 2.759")
    resampled, masked = text_of(fragility_table(about))[2:]
    assert "resampled all other bytes 2.500 ± 0.050 +2.500 ± 0.050 +2.600 and +0.100" in resampled
    assert "masked all other bytes 2.500 ± 0.050 +1.250 ± 0.050 +1.300 and +0.050" in masked
    assert "bytes before +0.200 ± 0.050 F1 0.400" in text_of(segmentation_table(about))[1]
    layers = text_of(layers_table(about))[1:]
    assert len(layers) == 3 + 6
    assert layers[1] == "byte-ar 10¹² shown 1 +0.300 ± 0.050 +0.300 ± 0.050 +0.300 ± 0.050 +0.300 ± 0.050 – –"
    assert layers[-1].startswith("byte-masked 10¹² hidden 2 +0.450 ± 0.050")


def test_what_was_not_measured_is_left_out() -> None:
    assert spread(measured(None)) == "–"
    assert spread(measured(0.5, None)) == "0.500"
    (first, *_) = two()
    lost = first["probes"]["fragility"]["lost"]["8"]["resampled"]
    lost["near_less_far"] = measured(None)
    first["probes"]["segmentation"]["contexts"]["left"]["subword"]["entropy"]["difference"] = measured(None)
    for cell in first["probes"]["words"]["cells"]:
        cell["bits_per_byte"] = measured(2.0, None)
    about = analysis([first])
    (chart,) = figures(about)["probe-fragility"].charts
    assert [x for x, _ in lines(chart)] == [[0.0, 1.0, 2.0]]
    assert not any(isinstance(mark, Band) for mark in figures(about)["probe-words"].charts[0].marks)
    assert text_of(fragility_table(about))[1].endswith("–")
    assert "–" in segmentation_table(about)


def study_page(probes: list[Entry] | None) -> tuple[str, list[Figure]]:
    study, rows = simulate(conventions=("exact",), budgets=(1e11, 1e12))
    about = analyse(study | ({} if probes is None else {"probes": probes}), rows, bootstrap=5)
    drawn = all_figures(about, rows)
    return render_page(about, rows, drawn), drawn


def test_the_page_shows_probes_and_says_that_they_are_no_likelihoods() -> None:
    probes = [entry(name, budget) for name in ("ar-bytes", "masked-bytes") for budget in (1e11, 1e12)]
    page, drawn = study_page(probes)
    section = page[page.index('<section id="probes">') :]
    section = section[: section.index("</section>")]
    assert page.index('id="probes"') < page.index('id="isoflop"')
    assert "none is a likelihood" in section
    for name in ("probe-words", "probe-fragility", "probe-segmentation"):
        assert f'id="{name}-0"' in section
        figure = next(figure for figure in drawn if figure.name == name)
        assert draw_png(figure).startswith(b"\x89PNG")
        assert all(plotly_figure(chart)["data"] for chart in figure.charts)
    assert section.count("<table") == 5
    assert '<a href="#probes">' in page


@pytest.mark.parametrize("probes", [None, [], [entry("ar-bytes", probes=())]], ids=["before", "none", "empty"])
def test_nothing_is_shown_where_nothing_was_probed(probes: list[Entry] | None) -> None:
    page, drawn = study_page(probes)
    assert "probe" not in page[: page.index('id="charts"')]
    assert not any(figure.name.startswith("probe") for figure in drawn)


def test_one_probe_is_shown_without_the_others() -> None:
    for probe in ALL:
        about = analysis([entry("byte-masked", probes=(probe,))])
        assert set(figures(about)) == {f"probe-{probe}"} & {"probe-words", "probe-fragility"}
        assert len(probes_html(about, figures(about))) >= 3


def shape(value: Any) -> Any:
    """What is in it, with numbers and null alike; of a list its first."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return "text" if isinstance(value, str) else "number"


@pytest.mark.parametrize("objective", ["ar", "masked"])
def test_the_entries_here_have_the_shape_of_real_ones(objective: str, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("".join(f"the {k % 7} cats of {k * k % 11} tall houses sat there, and so on; " for k in range(300)))
    data = run_data(objective, steps=2, window=64) | {"data": {"corpus": {"kind": "files", "paths": [str(text)]}}}
    config = RunConfig.model_validate(data)
    prepared = prepare(config.data, config.representation, tmp_path / "data")
    train(config, prepared, tmp_path / "run", runtime=Runtime(threads=1))
    found = probe_run(tmp_path / "run", list(ALL), data=text, max_bytes=2048, device="cpu", vocab=270)
    planted = entry("byte-ar", around=objective == "masked")
    assert shape(found["probes"]) == shape(planted["probes"])
    assert found["run"].keys() == planted["run"].keys()
    assert shape(found["run"]["likelihood"]) == shape(planted["run"]["likelihood"])
    planted["run"], planted["probes"] = found["run"], found["probes"]
    about = analysis([planted])
    assert probes_html(about, figures(about))
