"""Designs at one budget: the best run of each, and how far it stands from autoregression on the same text."""

import math
from typing import Any

import numpy as np
from scipy.stats import t as student

from isobyte.config.permutation import TEXT
from isobyte.study.panel import Panel, Row


def standings(panels: list[Panel], level: float) -> list[dict[str, Any]]:
    """One entry per budget and design with a finished run, best first within a budget, representation and source.

    `difference` is the BPB above that of the best `ar` run of the same budget and representation, on the same text (of
    a flat network, where there is one): its interval, by Student's t over equal parts of the text, says what another
    text of the kind would do to it (the noise of the estimators included), not what other seeds would.
    """
    best: dict[tuple[float, Panel], Row] = {}
    for panel in panels:
        for row in panel.fitted:
            key = (row["budget"], panel)
            if key not in best or row["bpb"] < best[key]["bpb"]:
                best[key] = row
    entries = []
    for (budget, panel), row in best.items():
        peers = [other for (b, p), other in best.items() if b == budget and _peers(p, panel)]
        ar = [peer for peer in peers if peer["objective"] == "ar"]
        flat = [peer for peer in ar if peer.get("backbone", "flat") == "flat"]
        reference = min(flat or ar, key=lambda r: r["bpb"], default=None)
        entries.append(
            {name: row.get(name) for name in ("design", "budget", "representation", "objective", "size", "N", "flops")}
            | {"source": panel.source, "backbone": panel.backbone, "bytes_per_patch": row.get("bytes_per_patch")}
            | {name: row.get(name) for name in ("bpb", "kind", "estimator", "stderr", "stderr_text", "folder")}
            | {"companions": row.get("companions") or []}
            | {"difference": None if reference is None or reference is row else difference(row, reference, level)}
        )
    return sorted(entries, key=lambda e: (e["budget"], e["representation"], e["source"] != TEXT, e["source"], e["bpb"]))


def _peers(one: Panel, other: Panel) -> bool:
    return (one.representation, one.source) == (other.representation, other.source)


def difference(row: Row, reference: Row, level: float) -> dict[str, Any] | None:
    """BPB of `row` above `reference`, paired over the parts of their common text; None where parts are not known."""
    ours, theirs = row.get("nats_by_part"), reference.get("nats_by_part")
    if not ours or not theirs or len(ours) != len(theirs) or len(ours) < 2:
        return None
    size = row["text_bytes"] / len(ours)
    if row["text_bytes"] != reference["text_bytes"]:
        return None
    each = (np.array(ours) - np.array(theirs)) / math.log(2) / size
    half = float(student.ppf((1 + level) / 2, len(each) - 1) * each.std(ddof=1) / math.sqrt(len(each)))
    middle = float(each.mean())
    return {"reference": reference["design"], "bpb": middle, "low": middle - half, "high": middle + half}
