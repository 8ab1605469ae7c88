"""The figures of a report, from the analysis and the runs."""

from typing import Any

from isobyte.study.report.chart import Figure
from isobyte.study.report.curve_figures import envelope_figure, optimal_figure
from isobyte.study.report.dial_figure import dial_figure
from isobyte.study.report.gap_figure import gap_figure
from isobyte.study.report.isoflop_figure import isoflop_figure
from isobyte.study.report.palette import design_styles
from isobyte.study.report.probe_figure import probe_figures


def all_figures(analysis: dict[str, Any], rows: list[dict[str, Any]]) -> list[Figure]:
    """`isoflop`, `envelope`, `gap` and `optimal`, in this order, then `dials` and those of probes where there are any.

    Charts without data are left out.
    """
    styles = design_styles(analysis["designs"])
    return [
        isoflop_figure(analysis, rows, styles),
        envelope_figure(analysis, styles),
        gap_figure(analysis, styles),
        optimal_figure(analysis, styles),
        *([dial_figure(analysis)] if analysis["dials"] else []),
        *probe_figures(analysis, styles),
    ]
