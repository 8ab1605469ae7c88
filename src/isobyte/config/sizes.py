"""Named shapes: one dial per family.

`SMDM` is the published ladder of arXiv 2410.18514, whose ends (48M and 1233M) are those of arXiv 2605.12928.
`w32`, `w64`, ... is a dial for small machines: the width alone decides depth and heads. Small heads are many:
a bidirectional network that reads its two neighbours needs a head for each.
"""

import re

from isobyte.config.backbone import FlatConfig
from isobyte.errors import UserError, nearest

# name: layers, width, heads; SwiGLU hidden width is 4 x width but for the 75M entry.
SMDM: dict[str, tuple[int, int, int]] = {
    "6M": (6, 256, 4), "19M": (8, 384, 6), "34M": (8, 512, 8), "48M": (9, 576, 9), "66M": (10, 640, 10),
    "75M": (16, 640, 8), "85M": (13, 640, 10), "113M": (12, 768, 12), "142M": (15, 768, 12),
    "170M": (18, 768, 12), "180M": (14, 896, 14), "206M": (16, 896, 14), "231M": (18, 896, 14),
    "268M": (16, 1024, 16), "302M": (18, 1024, 16), "336M": (20, 1024, 16), "472M": (18, 1280, 10),
    "551M": (21, 1280, 10), "571M": (18, 1408, 11), "629M": (24, 1280, 10), "666M": (21, 1408, 11),
    "717M": (19, 1536, 12), "761M": (24, 1408, 11), "831M": (22, 1536, 12), "944M": (25, 1536, 12),
    "1028M": (20, 1792, 14), "1233M": (24, 1792, 14),
}  # fmt: skip
SMDM_FFN = {"75M": 1600}
SHORT_WINDOW_BASE = 100.0
"""Rotary base of the dial: its windows are short, and a base of 10,000 would leave half of a head without motion."""


def shape(size: str) -> FlatConfig:
    """The shape that a size's name stands for: a rung of the SMDM ladder or `w<width>`.

    Raises UserError for a name that is neither, or a width that does not divide into heads.
    """
    if size in SMDM:
        layers, width, heads = SMDM[size]
        return FlatConfig(layers=layers, width=width, heads=heads, ffn=SMDM_FFN.get(size))
    match = re.fullmatch(r"w(\d+)", size)
    if not match:
        raise UserError(f"unknown size {size!r}", where="sizes", how=nearest(size, [*SMDM, "w32", "w64", "w128"]))
    width = int(match[1])
    heads = max(2, round(width / (16 if width < 128 else 32)))
    if width < 8 or width % heads or (width // heads) % 2:
        raise UserError(
            f"width {width} does not divide into {heads} heads of even size",
            where=f"size {size!r}",
            how="take a multiple of 16 below 128, of 32 from there on",
        )
    return FlatConfig(layers=max(2, round(width / 40)), width=width, heads=heads, rope_base=SHORT_WINDOW_BASE)
