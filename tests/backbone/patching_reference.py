"""Patching rules as the table says them, byte by byte in plain Python, and a scorer that is a sum."""

import torch
from torch import Tensor

from isobyte.backbone.patching.patcher import Patcher
from isobyte.config.patching import EntropyPatching, Patching, SpacePatching, StaticPatching

SHAPE = {"layers": 1, "width": 4, "heads": 1}


def entropy_rule(rule: str, max_length: int | None = None) -> EntropyPatching:
    return EntropyPatching.model_validate(
        {
            "scorer": {"kind": "flat", "shape": SHAPE},
            "rule": rule,
            "threshold": 0.45,
            "rise": 0.1,
            "max_length": max_length,
        }
    )


def rules(max_length: int | None) -> list[Patching]:
    return [
        *(entropy_rule(rule, max_length) for rule in ("global", "monotonic", "both")),
        SpacePatching(max_length=max_length),
        StaticPatching(size=3, max_length=max_length),
    ]


def noise(ids: list[int], seed: int = 0) -> list[float]:
    """A number in 0..1 for each id, decided by it and all before it."""
    state, found = seed * 7919 + 17, []
    for each in ids:
        state = (state * 6364136223846793005 + each * 1442695040888963407 + 1) % 2**64
        found.append((state >> 40) / 2**24)
    return found


class Noisy(Patcher):
    """A patcher whose scorer is `noise`."""

    def entropies(self, ids_BT: Tensor) -> Tensor | None:
        if not isinstance(self.config, EntropyPatching):
            return None
        return torch.tensor([noise(row) for row in ids_BT.tolist()], dtype=torch.float32)


def _is_space(each: int) -> bool:
    byte = each - 4
    if byte < 0:
        return True
    return not (chr(byte).isascii() and chr(byte).isalnum()) and not 0x80 <= byte <= 0xBF


def uncapped(rule: Patching, ids: list[int], entropy: list[float], documents: bool = True) -> list[bool]:
    """starts[0..T]: spec by spec."""
    starts = [False] * (len(ids) + 1)
    starts[0] = starts[1] = True
    for t in range(1, len(ids)):
        match rule:
            case StaticPatching():
                starts[t + 1] = t % rule.size == 0
            case SpacePatching():
                ends = _is_space(ids[t]) and not _is_space(ids[t - 1])
                starts[t + 1] = ends or ids[t] < 4
            case EntropyPatching():
                high, rose = entropy[t] > 0.45, entropy[t] - entropy[t - 1] > 0.1
                if rule.rule == "global":
                    starts[t + 1] = high
                elif rule.rule == "monotonic":
                    starts[t + 1] = rose or t == 1
                else:
                    starts[t + 1] = (rose and high and t != 2) or t == 1
            case _:
                starts[t + 1] = True
        if documents and 2 in (ids[t - 1], ids[t]):
            starts[t + 1] = True
    if documents and ids[0] == 2:
        starts[1] = True
    return starts


def cut(starts: list[bool], max_length: int | None) -> list[bool]:
    """Every patch as m, m, .., rest."""
    if max_length is None:
        return starts
    found, begun = [], 0
    for place, start in enumerate(starts):
        begun = place if start else begun
        found.append((place - begun) % max_length == 0)
    return found
