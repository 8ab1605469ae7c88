"""The same comparisons with compute counted by other people's rules."""

import math
from dataclasses import asdict, replace
from typing import Any

from isobyte.study.compare import headline, open_ends
from isobyte.study.fit import CostMap, Envelopes, parity
from isobyte.study.pairs import Pair
from isobyte.study.panel import Panel, envelopes_under


def under_conventions(pairs: list[Pair], panels: list[Panel], names: list[str], level: float) -> list[dict[str, Any]]:
    """Headline gaps, parity (without its interval) and exponents, with compute counted by each convention."""
    rows = []
    for name in names:
        found = {panel.name: envelopes_under(panel, name) for panel in panels}
        known = {design: pair for design, pair in found.items() if pair is not None}
        gaps = [
            _convention_gap(pair, known[pair.a.name][0], known[pair.b.name][0], level)
            for pair in pairs
            if pair.a.name in known and pair.b.name in known
        ]
        designs = [_convention_design(panel, known[panel.name][1]) for panel in panels if panel.name in known]
        if designs:
            rows.append({"convention": name, "gaps": gaps, "designs": designs})
    return rows


def _convention_gap(pair: Pair, a: Envelopes, b: Envelopes, level: float) -> dict[str, Any]:
    gap = open_ends(headline(a, b, level))
    one_draw = (replace(one, draws=one.point) for one in (a, b))
    crossing = parity(*one_draw)[0].compute
    return {"a": pair.a.name, "b": pair.b.name, "parity": crossing, "never": crossing == math.inf} | gap


def _convention_design(panel: Panel, cost: CostMap) -> dict[str, Any]:
    assert panel.summary is not None
    a, b = panel.summary.varpro.law.exponents(cost)
    return {"design": panel.name, "a": a, "b": b, "cost": asdict(cost)}
