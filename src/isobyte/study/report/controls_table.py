"""What each design's reading order keeps of the text, and how near lies what its objective shows."""

from typing import Any

from isobyte.study import words
from isobyte.study.report.markup import Cell, table

LAGS = ("1", "4", "16")


def controls_table(controls: dict[str, dict[str, Any]]) -> str:
    """A row per design, of what it reads."""
    rows = [
        [
            name,
            words.permutation(found["permutation"]),
            _mean({"value": found["histogram"]["total_variation"]}),
            *(_told(found, lag) for lag in LAGS),
            _mean((found["ngram_overlap"] or {}).get("3")),
            _tokens(found),
            _mean(found["nearest_bytes"]),
            _mean(found["run_bytes"]),
            _mean(found["information"]),
        ]
        for name, found in controls.items()
    ]
    columns = ["Design", "Order", "Histogram moved", *(f"Told at lag {lag}, bits" for lag in LAGS),
               "3-grams kept", "Bytes per token", "Nearest visible, bytes", "Visible run, bytes",
               "Told by visible, bits"]  # fmt: skip
    return table(columns, rows, caption="Controls on the text, before any training", sortable=True)


def _mean(measured: dict[str, Any] | None) -> Cell:
    value = None if measured is None else measured.get("value")
    return Cell(words.UNKNOWN) if value is None else Cell(words.significant(value), value)


def _told(found: dict[str, Any], lag: str) -> Cell:
    told = ((found["mutual_information"] or {}).get("read") or {}).get(lag)
    return Cell(words.UNKNOWN) if told is None else Cell(f"{told['bits']:.3f}".replace("-", "−"), told["bits"])


def _tokens(found: dict[str, Any]) -> Cell:
    return _mean(None if found["bytes_per_token"] is None else found["bytes_per_token"]["read"])
