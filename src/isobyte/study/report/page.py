"""The page: headline first, then figures, tables, warnings, and how to read them."""

import json
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from isobyte.study import words
from isobyte.study.analyse import single_budget
from isobyte.study.report import dial_tables, records, tables
from isobyte.study.report.chart import Figure
from isobyte.study.report.controls_table import controls_table
from isobyte.study.report.legend import figure_html
from isobyte.study.report.markup import definitions, flatten, paragraph, section
from isobyte.study.report.plotly_chart import plotly_figure
from isobyte.study.report.probe_tables import probes_html
from isobyte.study.report.standing_table import standing_table

Analysis = dict[str, Any]

TAG = {"problem": "problem", "caution": "caution", "note": "remark"}
"""Severity -> the class that colours it."""


def render_page(analysis: Analysis, rows: list[dict[str, Any]], figures: list[Figure], prefix: str = "") -> str:
    """One self-contained HTML page; `prefix` leads from it to the folder that the runs' paths start from."""
    from plotly.offline import get_plotlyjs

    charts = {f"{figure.name}-{k}": plotly_figure(c) for figure in figures for k, c in enumerate(figure.charts)}
    body = "\n".join(
        part for part in _body(analysis, rows, {figure.name: figure for figure in figures}, prefix) if part
    )
    return Template(_asset("template.html")).substitute(
        title=escape(f"{_name(analysis)}: isobyte study"),
        style=_asset("style.css"),
        body=body,
        charts=json.dumps(charts, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        plotly=get_plotlyjs(),
        script=_asset("page.js"),
    )


def _asset(name: str) -> str:
    return files("isobyte.study.report").joinpath(name).read_text(encoding="utf-8")


def _name(analysis: Analysis) -> str:
    return str(analysis["study"].get("name") or "study")


def _body(analysis: Analysis, rows: list[dict[str, Any]], figures: dict[str, Figure], prefix: str) -> list[str]:
    sections = {
        "verdicts": ("What was asked, and what was measured", [dial_tables.verdicts(analysis)]),
        "dials": ("Dials", _dials(analysis, figures.get("dials"))),
        "controls": ("Controls", _controls(analysis)),
        "probes": ("Probes", probes_html(analysis, figures)),
        "ledger": ("Other costs matched", _ledger(analysis)),
        "isoflop": ("IsoFLOP curves", _isoflop(analysis, figures["isoflop"], prefix)),
        "standing": ("At equal compute", _standing(analysis, prefix)),
        "envelope": ("Loss against compute", [figure_html(figures["envelope"])]),
        "gap": ("Efficiency gap", _gap(analysis, figures["gap"])),
        "optimal": ("Optimal parameters and data", _optimal(analysis, figures["optimal"])),
        "flops": ("FLOPs conventions", _conventions(analysis)),
        "warnings": ("Warnings", [_warnings(analysis)]),
        "settings": ("Settings", [records.settings_table(analysis), records.decisions_table(analysis)]),
        "runs": ("Runs", [records.runs_table(rows, prefix), _files()]),
        "machine": ("Text, machine, versions", _machine(analysis)),
        "reading": ("How to read this", [_asset("reading.html")]),
    }
    if single_budget(analysis["study"]):
        sections = {"standing": sections.pop("standing"), **sections}
    kept = {key: value for key, value in sections.items() if any(value[1])}
    return [_header(analysis, kept), *(section(key, title, *parts) for key, (title, parts) in kept.items())]


def _header(analysis: Analysis, sections: dict[str, Any]) -> str:
    links = "".join(f'<li><a href="#{key}">{escape(title)}</a></li>' for key, (title, _) in sections.items())
    leader = analysis["headline"]["leader"]
    lead = paragraph(leader["text"], "lead") if leader else paragraph("No run has finished yet.", "lead")
    return (
        f'<header><p class="kicker">isobyte study</p><h1>{escape(_name(analysis))}</h1>'
        f"{paragraph(_summary(analysis), 'sub')}{lead}{_cards(analysis)}{_warning_line(analysis)}"
        f'<nav aria-label="Contents"><ul>{links}</ul></nav></header>'
    )


def _summary(analysis: Analysis) -> str:
    runs, designs = analysis["runs"], analysis["designs"]
    done = runs["states"].get("done", 0)
    budgets = sorted({entry["budget"] for design in designs for entry in design["budgets"]})
    parts = [words.count(len(designs), "design")]
    if budgets:
        ends = (
            words.compact(budgets[0])
            if len(budgets) == 1
            else f"{words.compact(budgets[0])} to {words.compact(budgets[-1])}"
        )
        parts.append(f"{words.count(len(budgets), 'budget')} ({ends} FLOPs)")
    total = (
        f"{done:,} of {words.count(runs['total'], 'run')} finished"
        if done < runs["total"]
        else words.count(done, "run")
    )
    if runs.get("taken"):
        total += f" ({runs['taken']:,} of them taken over from another study)"
    parts += [total, f"{words.scientific(runs['flops'])} training FLOPs"]
    scorers = analysis["study"].get("scorers") or []
    if scorers:
        spent = words.scientific(sum(scorer["flops"] for scorer in scorers))
        parts.append(f"{spent} more to train {words.count(len(scorers), 'scorer')} of patches")
    seconds = analysis["study"].get("wall_seconds")
    return ", ".join(parts + ([words.duration(seconds)] if seconds else [])) + "."


def _cards(analysis: Analysis) -> str:
    cards = "".join(_card(found) for found in analysis["comparisons"])
    return f'<div class="cards">{cards}</div>' if cards else ""


def _card(found: dict[str, Any]) -> str:
    summary = found["summary"]
    title = f"<h3>{escape(summary['title'])}</h3>"
    if summary["value"] is None:
        return f'<div class="card">{title}{paragraph(summary["text"])}</div>'
    interval = f" <small>{escape(summary['interval'])}</small>" if summary["interval"] else ""
    tag = ' <span class="tag caution">extrapolated</span>' if summary["extrapolated"] else ""
    return (
        f'<div class="card">{title}<p class="value">{escape(summary["value"])}{interval}</p>'
        f'<p class="what">the compute of {escape(found["b"])}{tag}</p>'
        f"{paragraph(summary['text'])}{paragraph(summary['parity'], 'parity')}</div>"
    )


def _warning_line(analysis: Analysis) -> str:
    counts = {severity: sum(w["severity"] == severity for w in analysis["warnings"]) for severity in TAG}
    tags = [f'<span class="tag {TAG[kind]}">{words.count(n, kind)}</span>' for kind, n in counts.items() if n]
    return f'<p class="sub">{" ".join(tags)} <a href="#warnings">Read the warnings</a></p>' if tags else ""


def _isoflop(analysis: Analysis, figure: Figure, prefix: str) -> list[str]:
    text = (
        "Each curve is one budget of compute spent on models of different sizes. A design is measured well where "
        "its curve has a minimum inside the grid; the diamond is the vertex of the parabola through the runs."
    )
    return [paragraph(text) if figure.charts else "", figure_html(figure), tables.optima_table(analysis, prefix)]


def _dials(analysis: Analysis, figure: Figure | None) -> list[str]:
    if figure is None:
        return []
    text = (
        "A dial turns one setting, from the end that is like autoregression to the one that is like masked diffusion. "
        "The gap at a position is the BPB of the design there above that of its reference, at equal compute and seed "
        "by seed. Positions are evenly spread. The band is the interval "
        "over seeds: it tells what other seeds would do, not what another text or size would."
    )
    found = [figure_html(figure), dial_tables.changes_table(analysis), dial_tables.dials_table(analysis)]
    return [paragraph(text), *found] if any(found) else []


def _controls(analysis: Analysis) -> list[str]:
    found = controls_table(analysis["study"].get("controls") or {})
    text = (
        "What reading in another order keeps of the text: mutual information between bytes by their distance, 3-grams "
        "that the text has too, bytes per token of a BPE of the text. And what the objective shows when it asks: how "
        "far away the nearest visible byte stands in the text, how many stand in a row beside it, and what pairs of "
        "bytes tell at those distances, added up as a yardstick (`isobyte data controls` has standard errors)."
    )
    return [paragraph(text), found] if found else []


def _ledger(analysis: Analysis) -> list[str]:
    found = dial_tables.ledger_table(analysis) if analysis["hypotheses"] else ""
    text = (
        "Is it the accounting? Each row matches another cost: FLOPs as other people count them, parameters, or bytes "
        "of text that were read. A design's BPB at that cost is read off the line between its budgets."
    )
    return [paragraph(text), found] if found else []


def _gap(analysis: Analysis, figure: Figure) -> list[str]:
    comparisons = analysis["comparisons"]
    text = (
        "The efficiency gap is the compute that the first design needs over what the second needs for the same "
        "BPB. The dot is the lowest BPB that both reach inside their range. The shaded band is the interval; "
        "dashed parts are extrapolated."
    )
    detail = "".join(tables.gap_table(found) for found in comparisons) + tables.equal_compute_table(analysis)
    return [
        paragraph(text) if figure.charts else "",
        figure_html(figure),
        tables.parity_table(analysis),
        f"<details><summary>Gaps by BPB, and BPB at equal compute</summary>{detail}</details>" if detail else "",
    ]


def _optimal(analysis: Analysis, figure: Figure) -> list[str]:
    text = "Lines are the optimum of the fitted surface, markers the optimum of each budget's parabola."
    return [paragraph(text) if figure.charts else "", figure_html(figure), tables.fits_table(analysis)]


def _standing(analysis: Analysis, prefix: str) -> list[str]:
    found = standing_table(analysis, prefix)
    text = (
        "The best run of each design at the largest budget, on the same bytes. The distance to autoregression is "
        "paired over equal parts of the text. A surrogate or a score is no likelihood: it may lie below the truth."
    )
    return [paragraph(text), found] if found else []


def _conventions(analysis: Analysis) -> list[str]:
    found = tables.conventions_tables(analysis)
    text = (
        "Codebases differ by up to a factor of two in the FLOPs they count for the same run. Here every matrix "
        "product is counted, attention at its useful mean context, and the forward pass times three. The rows "
        "below fit the same runs again under other rules."
    )
    return [paragraph(text), found] if found else []


def _warnings(analysis: Analysis) -> str:
    items = []
    for warning in analysis["warnings"]:
        kind = warning["severity"]
        where = f'<span class="where">{escape(", ".join(warning["designs"]))}</span> '
        tag = f'<span><span class="tag {TAG[kind]}">{kind}</span></span>'
        items.append(f"<li>{tag}<span>{where}{escape(warning['text'])}</span></li>")
    return f'<ul class="warnings">{"".join(items)}</ul>' if items else paragraph("None.")


def _files() -> str:
    return '<p class="note">Files: <a href="runs.csv">runs.csv</a>, <a href="report.json">report.json</a>.</p>'


def _machine(analysis: Analysis) -> list[str]:
    study = analysis["study"]
    names = ("corpus", "heldout_bytes", "evaluate", "seeds", "machine", "versions", "packing", "hash")
    facts = {key: value for name in names for key, value in flatten(study.get(name), name).items()}
    rates = [
        (f"{name} on the held-out text", f"{words.bpb(rate)} bits per byte")
        for name, rate in analysis["reference"].items()
    ]
    kept = [(key.replace("_", " "), value) for key, value in facts.items() if ".reference." not in key]
    options = analysis["options"]
    fitted = [("intervals", f"{options['level']:.0%}, {options['bootstrap']:,} draws, seed {options['seed']}")]
    return [definitions(kept + rates + fitted)]
