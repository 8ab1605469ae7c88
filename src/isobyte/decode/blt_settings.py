"""How a Byte Latent Transformer is to generate."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from isobyte.errors import UserError

Refresh = Literal["never", "at_boundary", "always"]
"""Whether a draft's first byte is made by an exact pass over the newest byte.

`never`: drafts begin with whatever latent the last judgement left; one pass of scorer and latent transformer a round.
`at_boundary`: the newest byte goes through first, exactly; that takes the scorer once more, and the latent transformer
only where a patch closes. `always`, as published: nothing of a judgement is kept, what it settled is encoded again,
which makes two passes a round. Under the last two the first of the k drafts is exact.
"""


Fill = Literal["confidence", "entropy", "entropy-max", "one-step"]
Align = Literal["none", "cut", "resume"]


@dataclass(frozen=True)
class Blocks:
    """Generation by blocks of masked bytes (BLT-D; with `verify` BLT-DV, arXiv 2605.08044)."""

    size: int
    """Cells of a block: as many as in training."""
    verify: bool = False
    """Whether a block is a draft, which one exact pass judges: then the text is plain decoding's."""
    fill: Fill = "confidence"
    """Which cells are filled in a step. `confidence`: all whose likeliest byte has probability `alpha`. `entropy`: by
    rising entropy, while their sum is `gamma` nats at most. `entropy-max`: while that sum less its largest is. At least
    one in each step; `one-step`: all at once."""
    alpha: float = 0.7
    gamma: float = 1.0
    align: Align = "resume"
    """Where blocks begin. `none`, as published: with the next byte, reading the latent of a patch that may be cut off
    there (a draft before which nothing was refreshed: of the last complete one). `cut`: a block is kept up to the last
    patch that opens in it, so that the next begins with a patch, as in training. `resume`: a block begins where the
    open patch does, with the bytes so far in its first cells, as in training too, and nothing is thrown away."""

    def check(self) -> None:
        """Raises UserError for what cannot be."""
        for where, wrong, given, how in (
            ("block", self.size < 1, f"{self.size} bytes", "take at least 1"),
            ("fill", self.fill not in get_args(Fill), repr(self.fill), f"take one of {', '.join(get_args(Fill))}"),
            ("alpha", not 0 <= self.alpha <= 1, f"{self.alpha}", "take 0 to 1"),
            ("gamma", not 0 <= self.gamma < math.inf, f"{self.gamma}", "take 0 or more"),
            ("align", self.align not in get_args(Align), repr(self.align), f"take one of {', '.join(get_args(Align))}"),
        ):
            if wrong:
                raise UserError(f"{given} is out of range", where=where, how=how)
        if self.verify and self.align == "cut":
            raise UserError("a draft is judged, not cut", where="align", how="take none or resume")
        if not self.verify and self.fill == "one-step" and self.size > 1:
            raise UserError(
                "bytes that were all chosen at once would be kept unjudged",
                where="fill",
                how="verify, or fill in steps",
            )


@dataclass(frozen=True)
class Settings:
    """How to generate."""

    length: int
    """Bytes at most, after the prompt."""
    seed: int = 0
    temperature: float = 1.0
    """0 takes the likeliest."""
    top_p: float = 1.0
    draft: int | None = None
    """Bytes drafted a round (k of BLT-S); None decodes plainly."""
    refresh: Refresh = "never"
    blocks: Blocks | None = None
    """For models that were trained with them."""
    stop: tuple[bytes, ...] = ()
    """What ends a text; it is left out."""
    ids: Literal["bytes", "all"] = "bytes"
    """`all`: also ids that are no byte, of which an end of sequence ends a text; for models trained on them."""
    first: int = 0
    """The number of the first row: noise belongs to (seed, number)."""
    patches: int | None = None
    """Room in the latent transformer; None for as many as there are bytes."""
    graphs: bool | None = None
    """Plain decoding by steps of fixed shapes, recorded as CUDA graphs where there is CUDA; None does so on CUDA."""

    def check(self) -> None:
        """Raises UserError for what cannot be."""
        if self.blocks is not None:
            self.blocks.check()
            if self.draft is not None:
                raise UserError("drafts come as blocks or byte by byte", where="draft", how="leave one of them out")
        for where, wrong, given, how in (
            ("length", self.length < 1, f"{self.length} bytes", "take at least 1"),
            ("temperature", not 0 <= self.temperature < math.inf, f"{self.temperature}", "take 0 or more"),
            ("top_p", not 0 < self.top_p <= 1, f"{self.top_p}", "take more than 0 and at most 1"),
            ("draft", self.draft is not None and self.draft < 1, f"{self.draft} bytes a draft", "take at least 1"),
            ("patches", self.patches is not None and self.patches < 1, f"{self.patches} patches", "take at least 1"),
            ("refresh", self.refresh not in get_args(Refresh), f"{self.refresh!r}", "never, at_boundary or always"),
            ("stop", b"" in self.stop, "an empty text is everywhere", "leave it out"),
        ):
            if wrong:
                raise UserError(f"{given} is out of range" if where != "stop" else given, where=where, how=how)
