"""Tables of what probes found, and what they mean. No number here is a likelihood."""

from typing import Any

from isobyte.study import words
from isobyte.study.report.chart import Figure
from isobyte.study.report.dial_figure import signed
from isobyte.study.report.legend import figure_html
from isobyte.study.report.markup import Cell, paragraph, stacked, table
from isobyte.study.report.probe_figure import Analysis, Entry, Measured, largest, spread

LAYOUTS = {"left": "before the word", "both": "on both sides"}
CONTEXTS = {"left": "bytes before", "block": "its block and those before", "around": "all other bytes"}
TRUTHS = {
    "word": "Words",
    "token": "Tokens",
    "token_letter": "Tokens, spaces passed over",
    "subword": "Tokens inside words",
}
TARGETS = {"boundary": "token starts next", "word": "word that ends here", "utf8": "place in its character"}
VIEWS = {"shown": "shown", "hidden": "hidden"}

ABOUT = (
    "Direct measurements of trained networks: of each design the best run at its largest budget, first seed. Every "
    "number is a score, of bytes or words given some of the others, or of a probe: none is a likelihood, and none is "
    "to be held against BPB. Bands and ± are one standard error over words or windows of the same run; other seeds "
    "are not in them."
)
WORDS = (
    "Words of 3 to 12 bytes are hidden whole, and scored one symbol after the other in bits per byte of the words. "
    "Visible are the nearest bytes before the word, or as many in all on both sides, and nothing else. Designs that "
    "go from left to right and those that see both ways are shown the very same bytes where these come before the "
    "word without a gap: compare objectives there. Symbols of several bytes are visible only whole."
)
FRAGILITY = (
    "A byte is predicted from all that the design may see; then k neighbours are lost, the nearest ones or random far "
    "ones, in extra bits per byte of the bytes asked for. Resampled ones are replaced by the bytes of another window, "
    "which every design can be shown; masked ones are hidden, where a design can hide them. Contexts from both sides "
    "are larger than those from one: compare near with far more than the height."
)
SEGMENTATION = (
    "Does predictive entropy peak where words and tokens start? As many of each window's highest entropies are taken "
    "as it has starts, so F1 is precision and recall at once; it is held against the mean F1 of the same peaks after "
    "every circular shift. Rise takes the rises from the byte before instead; contrast is the mean entropy at word "
    "starts less that elsewhere, in bits. F1 has no unit."
)
LAYERS = (
    "What a linear probe reads off the hidden states of each layer (0 is the embedding), on windows that it was not "
    "fitted on. Information is the bits by which it betters the frequencies of the classes, below 0 where it "
    "overfits; selectivity its accuracy above that of the same probe for random labels of each byte value or word. "
    "Where a byte is hidden, the context alone tells."
)


def probes_html(analysis: Analysis, figures: dict[str, Figure]) -> list[str]:
    """What each probe measures, its figure and its tables; nothing for a probe that no run has."""
    parts = {
        "words": (WORDS, [words_table(analysis), gaps_table(analysis)]),
        "fragility": (FRAGILITY, [fragility_table(analysis)]),
        "segmentation": (SEGMENTATION, [segmentation_table(analysis)]),
        "layers": (LAYERS, [_folded("Layer by layer", layers_table(analysis))]),
    }
    found = []
    for name, (text, tables) in parts.items():
        if any(tables):
            figure = figures.get(f"probe-{name}")
            found += [paragraph(text), "" if figure is None else figure_html(figure), *tables]
    return [paragraph(ABOUT), *found] if found else []


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>{content}</details>" if content else ""


def words_table(analysis: Analysis) -> str:
    """A row per design and layout without a gap, a column for each number of bytes in range."""
    runs = largest(analysis, "words")
    counts = sorted({cell["n"] for entry in runs for cell in _cells(entry)})
    rows = []
    for entry in runs:
        for layout, name in LAYOUTS.items():
            by_n = {cell["n"]: cell for cell in _cells(entry) if (cell["layout"], cell["gap"]) == (layout, 0)}
            if by_n:
                measured = [_measured(by_n[n]["bits_per_byte"] if n in by_n else None) for n in counts]
                most = by_n[max(by_n)]
                rest = [_measured(most["exact"]), _measured(entry["probes"]["words"].get("unigram"))]
                rows.append([*_place(entry), name, *measured, *rest])
    columns = ["Design", "FLOPs", "Visible", *(f"{2 * n} bytes in range" for n in counts),
               "Share exact, most visible", "By byte counts"]  # fmt: skip
    caption = "Hidden words without a gap: bits per byte of words, a score and no likelihood; ± standard error"
    return table(columns, rows, caption=caption, sortable=True)


def gaps_table(analysis: Analysis) -> str:
    """A row per design that sees both sides, at its largest n."""
    found = []
    for entry in largest(analysis, "words"):
        both = [cell for cell in _cells(entry) if cell["layout"] == "both"]
        if both:
            n = max(cell["n"] for cell in both)
            found.append((entry, n, {cell["gap"]: cell["bits_per_byte"] for cell in both if cell["n"] == n}))
    gaps = sorted({gap for _, _, by_gap in found for gap in by_gap})
    rows = [
        [*_place(entry), Cell(str(n), n), *(_measured(by_gap.get(gap)) for gap in gaps)] for entry, n, by_gap in found
    ]
    columns = ["Design", "FLOPs", "Bytes on each side", *(f"gap {gap}" for gap in gaps)]
    caption = "Hidden words behind a gap: bits per byte of words, a score and no likelihood; ± standard error"
    return table(columns, rows, caption=caption, sortable=True)


def fragility_table(analysis: Analysis) -> str:
    """A row per design and treatment, a column for each number of bytes lost."""
    runs = largest(analysis, "fragility")
    counts = sorted({int(k) for entry in runs for k in entry["probes"]["fragility"]["lost"]})
    rows = []
    for entry in runs:
        found = entry["probes"]["fragility"]
        for treatment in ("resampled", "masked"):
            lost = {int(k): each[treatment] for k, each in found["lost"].items() if treatment in each}
            if lost:
                context, base = CONTEXTS.get(found["context"], found["context"]), _measured(found["base"])
                rows.append([*_place(entry), treatment, context, base, *(_lost(lost.get(k)) for k in counts)])
    columns = ["Design", "FLOPs", "Lost bytes are", "Context", "Nothing lost", *(f"k = {k}" for k in counts)]
    caption = "Near less far, extra bits per byte, a score and no likelihood; ± standard error; below it near and far"
    return table(columns, rows, caption=caption, sortable=True)


def _lost(each: dict[str, Measured] | None) -> Cell:
    if each is None or each["near_less_far"]["mean"] is None:
        return Cell(words.UNKNOWN)
    below = f"{signed(each['near']['mean'])} and {signed(each['far']['mean'])}"
    return stacked(spread(each["near_less_far"], signed), below, each["near_less_far"]["mean"])


def segmentation_table(analysis: Analysis) -> str:
    """A row per design and context, a column for each kind of start."""
    rows = []
    for entry in largest(analysis, "segmentation"):
        for context, found in entry["probes"]["segmentation"]["contexts"].items():
            measured = [_agreement(found[truth]["entropy"]) for truth in TRUTHS]
            rises = [_agreement(found[truth]["rise"]) for truth in ("word", "token")]
            contrast = _measured(found["word"]["contrast"], signed)
            rows.append([*_place(entry), CONTEXTS.get(context, context), *measured, *rises, contrast])
    columns = ["Design", "FLOPs", "Predicted from", *TRUTHS.values(), "Words, by rise", "Tokens, by rise",
               "Contrast, bits"]  # fmt: skip
    caption = "Starts found by peaks of entropy: F1 above shifted peaks, a score; ± standard error; below it F1"
    return table(columns, rows, caption=caption, sortable=True)


def _agreement(found: dict[str, Measured]) -> Cell:
    if found["difference"]["mean"] is None:
        return Cell(words.UNKNOWN)
    return stacked(
        spread(found["difference"], signed), f"F1 {words.bpb(found['f1']['mean'])}", found["difference"]["mean"]
    )


def layers_table(analysis: Analysis) -> str:
    """A row per design, view and layer: information and selectivity of each target."""
    rows = []
    for entry in largest(analysis, "layers"):
        targets = entry["probes"]["layers"]["targets"]
        for view, name in VIEWS.items():
            layers = {t: {each["layer"]: each for each in (f["views"] or {}).get(view, [])} for t, f in targets.items()}
            for layer in sorted({layer for each in layers.values() for layer in each}):
                row = [*_place(entry), name, Cell(str(layer), layer)]
                for target in TARGETS:
                    found = layers.get(target, {}).get(layer, {})
                    row += [_measured(found.get(what), signed) for what in ("information", "selectivity")]
                rows.append(row)
    heads = [f"{what}: {name}" for name in TARGETS.values() for what in ("Information, bits", "Selectivity")]
    caption = "Linear probes of hidden states: scores of a probe, no likelihoods; ± standard error over windows"
    return table(["Design", "FLOPs", "Byte is", "Layer", *heads], rows, caption=caption, sortable=True)


def _cells(entry: Entry) -> list[dict[str, Any]]:
    return entry["probes"]["words"]["cells"]


def _place(entry: Entry) -> list[str | Cell]:
    return [entry["design"], Cell(words.compact(entry["budget"]), entry["budget"])]


def _measured(each: Measured | None, form=words.bpb) -> Cell:
    """A mean with its standard error under it."""
    if each is None or each["mean"] is None:
        return Cell(words.UNKNOWN)
    error = "" if each["stderr"] is None else f"± {words.bpb(each['stderr'])}"
    return stacked(form(each["mean"]), error, each["mean"])
