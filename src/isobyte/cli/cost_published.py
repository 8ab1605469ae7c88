"""`isobyte cost published`: what the savings that Fast BLT prints are against an honest baseline."""

from collections.abc import Iterable
from itertools import product

from rich import box
from rich.table import Table

from isobyte.cli.output import emit, tables
from isobyte.cost.published import (
    PATCH,
    SCORER,
    TOKEN,
    Recount,
    baseline,
    not_available,
    recount,
    rows,
    source,
    task_names,
    telling,
)

SAVINGS = ("published", "patches", "scorer", "one_pass", "one_pass_scorer")
"""As far as tables show them, in their order."""
HEADINGS = ("as published", "at 4 bytes", "+ scorer", "one pass", "+ scorer")


def published(*, json: bool = False) -> int:
    """The gigabytes that Fast BLT (arXiv 2605.08044) prints, counted again, and what is saved over an honest baseline.

    Published savings are over a plain BLT with a patch every 1.2 to 2.4 bytes; "at 4 bytes" are those over one with a
    patch every 4. The scorer runs once a byte there, once a block in BLT-D, twice a round in BLT-S and BLT-DV. "One
    pass" runs encoder and latent transformer once a round instead of twice, at unchanged acceptance, and the scorer
    once. A saving below zero reads more.

    Args:
        json: one JSON object with every row of the tables, last on standard output
    """
    places = [(size, task) for size in ("3B", "1B") for task in task_names()]
    every = [recount(row) for row in rows()]
    out = tables(json)
    for table in (_ranges(every), _baselines(places), _telling(places)):
        out.print(table)
    for line in _remarks(every):
        out.print(line, soft_wrap=True)
    value = {
        "source": source(),
        "assumed": {"bytes_per_patch": PATCH, "scorer_parameters": SCORER, "bytes_per_token": TOKEN},
        "baselines": [baseline(*place).to_json() for place in places],
        "rows": [found.to_json() for found in every],
        "not_available": not_available(),
    }
    emit(value, as_json=json)
    return 0


def _ranges(every: list[Recount]) -> Table:
    table = _table(("saving, least to most", *HEADINGS), left=1)
    for method, block in product(("S", "D", "DV"), (4, 8, 16)):
        found = [count.savings for count in every if (count.row.method, count.row.block) == (method, block)]
        cells = []
        for name in SAVINGS:
            values = [value for saving in found if (value := saving[name]) is not None]
            cells.append(f"{_share(min(values))} to {_share(max(values))}" if values else "")
        table.add_row(f"BLT-{method} {block}", *cells)
    return table


def _baselines(places: Iterable[tuple[str, str]]) -> Table:
    columns = ("plain BLT", "bytes", "bytes a patch", "GB as published", "at 4 bytes", "+ scorer", "BPE")
    table = _table(columns, left=1)
    for size, task in places:
        base = baseline(size, task)
        table.add_row(
            f"{size} {task_names()[task]}", str(base.published.decoder), f"{base.bytes_per_patch:.2f}",
            f"{base.published.gigabytes:,.0f}", f"{base.honest:,.0f}", f"{base.honest + base.scorer:,.0f}",
            f"{base.bpe:,.0f}",
        )  # fmt: skip
    return table


def _telling(places: Iterable[tuple[str, str]]) -> Table:
    table = _table(("", "row", "chosen as", "score (BLT)", "GB", *HEADINGS, "one pass, GB"), left=3)
    for size, task in places:
        own = baseline(size, task).published.score
        for why, found in telling(size, task):
            row, one = found.row, found.one_pass
            table.add_row(
                f"{size} {task_names()[task]}", f"BLT-{row.name}", why, f"{row.score:.1f} ({own:.1f})",
                f"{row.gigabytes:,.0f}", *(_share(found.savings[name]) for name in SAVINGS),
                "" if one is None else f"{one:,.0f}",
            )  # fmt: skip
    return table


def _remarks(every: list[Recount]) -> list[str]:
    drafting = [found for found in every if found.row.method != "BLT"]
    dearer = [found for found in drafting if (found.savings["patches"] or 0) < 0]
    exact = max(abs(found.formula / found.row.gigabytes - 1) for found in every)
    gained = max((found.savings["scorer_once"] or 0) - (found.savings["scorer"] or 0) for found in drafting)
    lossless = [found for found in every if found.row.method == "S"]
    bpe = [baseline(found.row.size, found.row.task).bpe for found in lossless]
    below = sum(found.formula < line for found, line in zip(lossless, bpe, strict=True))
    passing = sum((found.one_pass or 0) < line for found, line in zip(lossless, bpe, strict=True))
    left = "; ".join(f"{size} {task_names()[task]} BLT-{name}" for size, task, name in not_available())
    return [
        f"{len(every)} rows of {source()}; the formula is within {exact:.1%} of every printed number.",
        f"Not available in the tables, and in no count here: {left}.",
        f"{len(dearer)} of {len(drafting)} drafting rows read more than the honest baseline, the scorer left out of "
        "both.",
        f"Of {len(lossless)} rows of BLT-S, {below} read less than the BPE model as published, "
        f"{passing} with one pass a round.",
        f"The scorer once a round instead of twice adds at most {gained * 100:.1f} points to a saving.",
    ]


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %".replace("-0 %", "0 %")


def _table(columns: tuple[str, ...], left: int) -> Table:
    """In Markdown, so that a page can hold what is printed."""
    table = Table(box=box.MARKDOWN)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < left else "right")
    return table
