"""Named shapes: one dial per family.

`SMDM` is the published ladder of arXiv 2410.18514, whose ends (48M and 1233M) are those of arXiv 2605.12928.
`w32`, `w64`, ... is a dial for small machines: the width alone decides depth and heads. Small heads are many:
a bidirectional network that reads its two neighbours needs a head for each.

`BLT` are the Byte Latent Transformers of arXiv 2412.09871. Every other size names a Byte Latent Transformer too: the
one whose latent transformer has this size, so that one ladder serves designs of both kinds.
"""

import re
from typing import NamedTuple

from isobyte.config.backbone import Backbone, BltConfig, FlatConfig
from isobyte.config.family import BltFamily, Family, FlatFamily
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


class BltSize(NamedTuple):
    """Layers, width and heads of each part; heads of cross-attention; vectors per patch."""

    encoder: tuple[int, int, int]
    latent: tuple[int, int, int]
    decoder: tuple[int, int, int]
    cross_heads: int
    latents: int


# The paper gives the 400M model 10 heads of cross-attention, into which its width of 768 does not divide: 12 here.
BLT: dict[str, BltSize] = {
    "400M": BltSize((1, 768, 12), (24, 1280, 10), (7, 768, 12), 12, 2),
    "1B": BltSize((1, 1024, 16), (25, 2048, 16), (9, 1024, 16), 16, 2),
    "2B": BltSize((1, 1024, 16), (26, 2560, 20), (9, 1024, 16), 16, 3),
    "4B": BltSize((1, 1024, 16), (36, 3072, 24), (9, 1024, 16), 16, 3),
    "8B": BltSize((1, 1280, 20), (32, 4096, 32), (6, 1280, 20), 20, 4),
}
BLT_WINDOW, BLT_ROPE_BASE = 512, 500_000.0


def family_shape(family: Family, size: str, *, tied: bool = False) -> Backbone:
    """The shape that a size's name stands for within a family. Raises UserError for an unknown name."""
    if isinstance(family, FlatFamily):
        return shape(size).model_copy(update={"tied": tied})
    return blt_shape(family, size)


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


def blt_shape(family: BltFamily, size: str) -> BltConfig:
    """A published model, or one about the latent transformer `shape(size)`: local layers of half its width.

    Its encoder has one layer, and its decoder as many as the latent transformer (arXiv 2412.09871, 5.3 and table 9:
    a light encoder and a deeper decoder are best). Raises UserError for an unknown name.
    """
    if size in BLT:
        published = BLT[size]
        encoder, latent, decoder = map(_published_part, published[:3])
        cross_heads, latents, window = published.cross_heads, published.latents, BLT_WINDOW
    else:
        latent = shape(size)
        encoder, decoder = _local_part(latent, 1), _local_part(latent, latent.layers)
        cross_heads, latents, window = None, 2, None
    look_back = {"attention_window": family.local_window or window}
    return BltConfig(
        encoder=encoder.model_copy(update=look_back),
        latent=latent,
        decoder=decoder.model_copy(update=look_back),
        latents=family.latents or latents,
        encoder_cross_heads=cross_heads,
        decoder_cross_heads=cross_heads,
        **{name: value for name, value in dict(family).items() if name not in ("kind", "latents", "local_window")},
    )


def _published_part(part: tuple[int, int, int]) -> FlatConfig:
    layers, width, heads = part
    ffn = -(-(8 * width // 3) // 256) * 256
    return FlatConfig(layers=layers, width=width, heads=heads, ffn=ffn, rope_base=BLT_ROPE_BASE)


def _local_part(latent: FlatConfig, layers: int) -> FlatConfig:
    """Half the width; as many heads, or the most that leave each an even size."""
    width = latent.width // 2
    heads = next((h for h in range(latent.heads, 0, -1) if width % (2 * h) == 0), None)
    if heads is None:
        raise UserError(
            f"half of width {latent.width} does not divide into heads of even size",
            where="sizes",
            how="take a width that is a multiple of 4",
        )
    return FlatConfig(layers=layers, width=width, heads=heads, rope_base=latent.rope_base)
