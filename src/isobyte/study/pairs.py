"""Which designs of a study are held against each other."""

from dataclasses import dataclass
from itertools import combinations

from isobyte.study.panel import Panel

ORDER = {"representation": ("bits", "bit pairs", "nibbles", "bytes", "bpe"), "objective": ("masked", "ar")}
"""The first of a pair is the one that comes first here: the gap says how much more it needs."""


@dataclass(frozen=True)
class Pair:
    """Designs a and b, which differ in `contrast` alone and share `within`."""

    a: Panel
    b: Panel
    contrast: str
    within: str


def pairs(panels: list[Panel]) -> list[Pair]:
    """Pairs that differ in the representation alone, then those that differ in the objective alone.

    Of three or more objectives each is held against `ar`, where the representation has it. Other differences are
    compared where the study has just two designs, where the two kinds agree (another tuning, other patches, another
    order of reading), and between backbones of one objective, whatever they are shown. Never of two sources.
    """
    with_ar = {(panel.representation, panel.permutation) for panel in panels if panel.objective == "ar"}
    found = []
    for one, other in combinations(panels, 2):
        same = one.representation == other.representation, one.objective == other.objective
        if one.source != other.source:
            continue
        if one.permutation != other.permutation:
            if same == (True, True) or len(panels) == 2:
                found.append(Pair(other, one, "design", ""))
        elif one.backbone != other.backbone:
            if same[1] or len(panels) == 2:
                found.append(Pair(other, one, "design", ""))
        elif same == (False, True) and one.variant == other.variant:
            a, b = _ordered(one, other, "representation")
            found.append(Pair(a, b, "representation", one.objective))
        elif same == (True, False) and (
            "ar" in (one.objective, other.objective) or (one.representation, one.permutation) not in with_ar
        ):
            a, b = _ordered(one, other, "objective")
            found.append(Pair(a, b, "objective", one.representation))
        elif same == (True, True) or len(panels) == 2:
            found.append(Pair(other, one, "design", ""))
    rank = ("representation", "objective", "design")
    return sorted(found, key=lambda pair: rank.index(pair.contrast))


def _ordered(one: Panel, other: Panel, contrast: str) -> tuple[Panel, Panel]:
    order = ORDER[contrast]
    place = [order.index(kind) if (kind := getattr(panel, contrast)) in order else 0.5 for panel in (one, other)]
    return (one, other) if place[0] <= place[1] else (other, one)
