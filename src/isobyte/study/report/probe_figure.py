"""What trained networks make of what they are shown: hidden words, lost neighbours, starts of words and tokens."""

from typing import Any, NamedTuple

from isobyte.study import words
from isobyte.study.report.chart import Axis, Band, Chart, Figure, Key, Level, Line, Mark, Points, extent
from isobyte.study.report.dial_figure import signed
from isobyte.study.report.palette import Style

Analysis = dict[str, Any]
Entry = dict[str, Any]
"""What a study keeps of one run that was probed: design, budget, facts of the run, and what each probe found."""
Measured = dict[str, Any]
"""mean, stderr and units of a sample; a mean without any, and a standard error of one unit, is null."""

MOST = 8
"""Designs in one chart."""
PAIRS = {(objective, representation) for objective in ("ar", "masked") for representation in ("bytes", "bpe")}
"""Objectives and representations that are shown where there are more."""
STARTS = {"word": "Where words start", "token_letter": "Where tokens of a BPE start, spaces passed over"}
"""Most tokens begin with a space, which is easy to predict; what is hard is the letter after it."""


class Curve(NamedTuple):
    """A design's points, with what is said of each."""

    design: str
    x: list[float]
    y: list[Measured]
    said: list[str]


def probe_figures(analysis: Analysis, styles: dict[str, Style]) -> list[Figure]:
    """`probe-words`, `probe-fragility` and `probe-segmentation`, as far as there is something to show."""
    figures = [each(analysis, styles) for each in (words_figure, fragility_figure, segmentation_figure)]
    return [figure for figure in figures if figure.charts]


def by_budget(analysis: Analysis, probe: str) -> dict[str, list[Entry]]:
    """Each design's runs that `probe` was asked of, by budget from small to large; of several sizes the best one."""
    found: dict[str, dict[float, Entry]] = {design["name"]: {} for design in analysis["designs"]}
    for entry in analysis["study"].get("probes") or []:
        budgets = found.get(entry["design"])
        if budgets is None or probe not in entry["probes"]:
            continue
        other = budgets.get(entry["budget"])
        if other is None or _loss(entry) < _loss(other):
            budgets[entry["budget"]] = entry
    return {name: [runs[budget] for budget in sorted(runs)] for name, runs in found.items() if runs}


def _loss(entry: Entry) -> float:
    bpb = entry["run"]["likelihood"]["bpb"]
    return float("inf") if bpb is None else bpb


def largest(analysis: Analysis, probe: str) -> list[Entry]:
    """One run for each design: that of its largest budget."""
    return [runs[-1] for runs in by_budget(analysis, probe).values()]


def chosen(analysis: Analysis, designs: list[str]) -> tuple[list[str], str]:
    """The designs that a chart has room for, and a note where these are not all."""
    if len(designs) <= MOST:
        return designs, ""
    plain = {each["name"] for each in analysis["designs"] if (each["objective"], each["representation"]) in PAIRS}
    kept = ([name for name in designs if name in plain] or designs)[:MOST]
    return kept, f"{len(kept)} of {len(designs)} designs are shown; the table has all."


def words_figure(analysis: Analysis, styles: dict[str, Style]) -> Figure:
    """Bits per byte of hidden words: by how much is visible, and by how far away it begins."""
    runs = {entry["design"]: entry["probes"]["words"]["cells"] for entry in largest(analysis, "words")}
    names, note = chosen(analysis, list(runs))
    charts = []
    for layout, title in (("left", "Visible before the word"), ("both", "Visible on both sides of the word")):
        curves = [
            _words_curve(name, [c for c in runs[name] if c["layout"] == layout and c["gap"] == 0], "visible_bytes")
            for name in names
        ]
        charts.append(_words_chart(title, "visible bytes, mean over words", curves, styles, note))
    n = max((c["n"] for name in names for c in runs[name] if c["layout"] == "both"), default=None)
    curves = [
        _words_curve(name, [c for c in runs[name] if c["layout"] == "both" and c["n"] == n], "gap") for name in names
    ]
    title = f"{n} bytes visible on each side, behind a gap"
    short = [curve.design for curve in curves if not curve.x and any(c["layout"] == "both" for c in runs[curve.design])]
    lacking = f"Not here: {', '.join(short)}, whose windows have no room for so many." if short else ""
    x = "gap, hidden bytes on each side of the word"
    charts.append(_words_chart(title, x, curves, styles, f"{note} {lacking}".strip()))
    kept = [chart for chart in charts if chart is not None]
    return Figure("probe-words", "Reconstruction of hidden words", kept, _keys(names, styles))


def _words_curve(name: str, cells: list[dict[str, Any]], at: str) -> Curve:
    cells = sorted(cells, key=lambda cell: cell[at])
    said = [f"{c['visible_bytes']:.1f} bytes visible, gap {c['gap']}; {_exact(c)} of words exact" for c in cells]
    return Curve(name, [float(cell[at]) for cell in cells], [cell["bits_per_byte"] for cell in cells], said)


def _exact(cell: dict[str, Any]) -> str:
    share = cell["exact"]["mean"]
    return words.UNKNOWN if share is None else f"{share:.0%}"


def _words_chart(title: str, x: str, curves: list[Curve], styles: dict[str, Style], note: str) -> Chart | None:
    ends = extent((at for curve in curves for at in curve.x), pad=0.05)
    return None if ends is None else _chart(title, Axis(x, *ends), "bits per byte of the words", curves, styles, note)


def fragility_figure(analysis: Analysis, styles: dict[str, Style]) -> Figure:
    """How much more a byte costs when its k nearest neighbours are wrong than when k far ones are."""
    runs = {entry["design"]: entry["probes"]["fragility"]["lost"] for entry in largest(analysis, "fragility")}
    names, note = chosen(analysis, list(runs))
    counts = sorted({int(k) for name in names for k in runs[name]})
    curves = []
    for name in names:
        lost = {int(k): found["resampled"] for k, found in runs[name].items()}
        known = sorted(lost)
        said = [
            f"{k} lost: near {spread(lost[k]['near'], signed)}, far {spread(lost[k]['far'], signed)}" for k in known
        ]
        gaps = [lost[k]["near_less_far"] for k in known]
        curves.append(Curve(name, [float(counts.index(k)) for k in known], gaps, said))
    ticks = tuple((float(k), str(count)) for k, count in enumerate(counts))
    x = Axis("k, bytes lost", -0.3, len(counts) - 0.7, names=ticks)
    title = "Nearest bytes resampled, above far ones"
    charts = [_chart(title, x, "extra bits per byte, near less far", curves, styles, note, level="no difference")]
    return Figure("probe-fragility", "Fragility of local context", charts if counts else [], _keys(names, styles), 1)


def segmentation_figure(analysis: Analysis, styles: dict[str, Style]) -> Figure:
    """How well peaks of entropy find starts, by training compute."""
    runs = {name: each for name, each in by_budget(analysis, "segmentation").items() if len(each) > 1}
    names, note = chosen(analysis, list(runs))
    computes = [entry["run"]["flops"] for name in names for entry in runs[name]]
    ends = extent(computes, log=True, pad=0.05)
    charts = []
    for truth, title in STARTS.items() if ends else ():
        assert ends is not None
        curves = [_starts_curve(name, runs[name], truth) for name in names]
        x = Axis("C, training FLOPs", *ends, log=True)
        charts.append(_chart(title, x, "F1 above shifted peaks", curves, styles, note, level="no better than shifted"))
    return Figure("probe-segmentation", "Peaks of entropy and segments", charts, _keys(names, styles))


def _starts_curve(name: str, entries: list[Entry], truth: str) -> Curve:
    found = [entry["probes"]["segmentation"]["contexts"]["left"][truth]["entropy"] for entry in entries]
    said = [f"F1 {spread(each['f1'])}, shifted {spread(each['shifted'])}" for each in found]
    said = [f"{text}<br>{words.compact(entry['budget'])} FLOPs" for text, entry in zip(said, entries, strict=True)]
    return Curve(name, [entry["run"]["flops"] for entry in entries], [each["difference"] for each in found], said)


def _chart(
    title: str, x: Axis, label: str, curves: list[Curve], styles: dict[str, Style], note: str, *, level: str = ""
) -> Chart:
    """A line for each design with a band of one standard error; `level` names the line at 0."""
    curves = [_known(curve) for curve in curves]
    marks = [mark for curve in curves for mark in _marks(curve, styles[curve.design])]
    ends = [end for curve in curves for each in curve.y for end in _ends(each)]
    low, high = extent([*ends, *([0.0] if level else [])], pad=0.1) or (0.0, 1.0)
    if level:
        marks.append(Level(0.0, level))
    return Chart(title, x, Axis(label, low, high), marks, _alt(title, label, x, curves), note=note)


def _known(curve: Curve) -> Curve:
    """Without the points that nothing was measured at."""
    kept = [k for k, each in enumerate(curve.y) if each["mean"] is not None]
    x, y, said = curve.x, curve.y, curve.said
    return Curve(curve.design, [x[k] for k in kept], [y[k] for k in kept], [said[k] for k in kept])


def _marks(curve: Curve, style: Style) -> list[Mark]:
    if not curve.x:
        return []
    means = [each["mean"] for each in curve.y]
    hover = [
        f"<b>{curve.design}</b><br>{spread(each)}<br>{said}" for each, said in zip(curve.y, curve.said, strict=True)
    ]
    marks: list[Mark] = [
        Line(curve.x, means, style.colour),
        Points(curve.x, means, style.colour, style.symbol, hover=hover),
    ]
    if all(each["stderr"] is not None for each in curve.y):
        low, high = zip(*(_ends(each) for each in curve.y), strict=True)
        marks.insert(0, Band(curve.x, low, high, style.colour))
    return marks


def _ends(each: Measured) -> tuple[float, float]:
    error = each["stderr"] or 0.0
    return each["mean"] - error, each["mean"] + error


def _alt(title: str, label: str, x: Axis, curves: list[Curve]) -> str:
    said = [f"{c.design} {words.bpb(c.y[0]['mean'])} to {words.bpb(c.y[-1]['mean'])}" for c in curves if c.x]
    return f"{title}: {label}, from the least to the greatest {x.label}. {'; '.join(said)}."


def _keys(names: list[str], styles: dict[str, Style]) -> list[Key]:
    return [Key(name, styles[name].colour, styles[name].symbol) for name in names]


def spread(each: Measured, form=words.bpb) -> str:
    """`0.512 ± 0.013`: a mean with its standard error, where it has one."""
    if each["mean"] is None:
        return words.UNKNOWN
    error = "" if each["stderr"] is None else f" ± {words.bpb(each['stderr'])}"
    return f"{form(each['mean'])}{error}".replace("-", "−")
