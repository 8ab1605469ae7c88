"""The ways to generate with a Byte Latent Transformer: what each is called, and which settings it has."""

from dataclasses import dataclass, replace
from typing import Any, get_args

from isobyte.decode.blt_settings import Align, Blocks, Fill, Refresh, Settings
from isobyte.errors import UserError, nearest

METHODS: dict[str, dict[str, Any]] = {
    "blt": {},
    "blt_s": {"draft": 4, "refresh": "never"},
    "blt_d": {"fill": "confidence", "alpha": 0.7, "gamma": 1.0, "align": "resume"},
    "blt_dv": {"fill": "one-step", "alpha": 0.3, "gamma": 1.5, "align": "resume", "refresh": "never"},
}
"""Plain decoding, self-speculation, blocks kept as they are filled, and blocks that are judged; the usual value of each
setting."""

BOUND: dict[Fill, str | None] = {"confidence": "alpha", "entropy": "gamma", "entropy-max": "gamma", "one-step": None}
"""The number that each way of filling goes by."""


@dataclass(frozen=True)
class Asked:
    """A method and settings of its own; None is what is usual, of the method blt_s where there is a draft, else blt."""

    method: str | None = None
    draft: int | None = None
    refresh: Refresh | None = None
    fill: Fill | None = None
    alpha: float | None = None
    gamma: float | None = None
    align: Align | None = None

    def settings(self, common: Settings, block: int | None) -> Settings:
        """`common` with this method, for a model that was trained with blocks of `block` cells.

        Raises UserError, by name, for settings that the method does not have, and for blocks where there are none.
        """
        method = self.method or ("blt" if self.draft is None else "blt_s")
        if method not in METHODS:
            raise UserError(f"no method is called {method!r}", where="--method", how=nearest(method, list(METHODS)))
        given = {name: value for name, value in vars(self).items() if value is not None and name != "method"}
        usual = METHODS[method]
        for name in given:
            if name not in usual:
                other = [each for each, has in METHODS.items() if name in has]
                how = f"it is for --method {' and '.join(other)}"
                raise UserError(f"{method!r} has no such setting", where=f"--{name}", how=how)
        used = usual | given
        if "fill" not in usual:
            return replace(common, draft=used.get("draft"), refresh=used.get("refresh", "never"))
        if block is None:
            raise UserError(
                f"{method!r} is for models that were trained with blocks",
                where="--method",
                how="train one: `isobyte train blt-d`, or any with objective blt_diffusion",
            )
        _check_fill(used["fill"], given)
        blocks = Blocks(block, method == "blt_dv", used["fill"], used["alpha"], used["gamma"], used["align"])
        return replace(common, blocks=blocks, refresh=used.get("refresh", "never"))


def _check_fill(fill: Fill, given: dict[str, Any]) -> None:
    if fill not in BOUND:
        raise UserError(f"no way to fill is called {fill!r}", where="--fill", how=nearest(fill, list(get_args(Fill))))
    for name in ("alpha", "gamma"):
        if name in given and BOUND[fill] != name:
            other = [each for each, bound in BOUND.items() if bound == name]
            how = f"it is for --fill {' and '.join(other)}"
            raise UserError(f"blocks filled by {fill!r} have no such setting", where=f"--{name}", how=how)


def method_of(settings: Settings) -> str:
    """The name of what `settings` do."""
    if settings.blocks is not None:
        return "blt_dv" if settings.blocks.verify else "blt_d"
    return "blt" if settings.draft is None else "blt_s"


def used(settings: Settings) -> dict[str, Any]:
    """The settings that a method goes by."""
    found: dict[str, Any] = {} if settings.draft is None else {"draft": settings.draft}
    blocks = settings.blocks
    if blocks is not None:
        bound = BOUND[blocks.fill]
        found |= {"block": blocks.size, "fill": blocks.fill}
        found |= {} if bound is None else {bound: getattr(blocks, bound)}
        found |= {"align": blocks.align}
    return found | ({"refresh": settings.refresh} if "refresh" in METHODS[method_of(settings)] else {})
