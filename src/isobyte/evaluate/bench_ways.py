"""The ways of generating that `isobyte bench sample --methods` sets beside each other."""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import product

from isobyte.decode.blt_methods import BOUND, METHODS, Asked, method_of, used
from isobyte.decode.blt_settings import Settings
from isobyte.errors import UserError, nearest

PLAIN = Asked("blt")
TRIED: tuple[Asked, ...] = (
    *(Asked("blt_s", draft=draft, refresh=refresh) for draft, refresh in product((4, 8, 16), ("never", "at_boundary"))),
    *(
        replace(fill, method="blt_d", align=align)
        for fill, align in product(
            (
                Asked(fill="confidence", alpha=0.5),
                Asked(fill="confidence", alpha=0.7),
                Asked(fill="entropy", gamma=0.8),
                Asked(fill="entropy", gamma=1.0),
            ),
            ("none", "cut", "resume"),
        )
    ),
    *(
        replace(fill, method="blt_dv", align=align, refresh=refresh)
        for fill, align, refresh in product(
            (
                Asked(fill="one-step"),
                Asked(fill="confidence", alpha=0.3),
                Asked(fill="entropy", gamma=1.5),
            ),
            ("none", "resume"),
            ("never", "at_boundary", "always"),
        )
    ),
)
"""What is set beside `PLAIN`: bounds as published."""


@dataclass(frozen=True)
class Way:
    """A method with all its settings, but for lengths and seeds, which are the bench's."""

    settings: Settings

    @property
    def method(self) -> str:
        return method_of(self.settings)

    @property
    def verified(self) -> bool:
        """Whether its text is to be plain decoding's."""
        return self.method in ("blt_s", "blt_dv")

    @property
    def by(self) -> str | None:
        """How several bytes come about at once: `k8` are drafted, or cells are filled by `confidence0.7`."""
        how = used(self.settings)
        if "fill" in how:
            bound = BOUND[how["fill"]]
            return how["fill"] + ("" if bound is None else str(how[bound]))
        return f"k{how['draft']}" if "draft" in how else None

    @property
    def name(self) -> str:
        how = used(self.settings)
        return ":".join(part for part in (self.method, self.by, how.get("align"), how.get("refresh")) if part)

    def told(self) -> dict[str, object]:
        """Its name and settings, ready for JSON."""
        named = {"name": self.name, "method": self.method, "by": self.by, "verified": self.verified}
        return named | used(self.settings)


def choose(methods: tuple[str, ...], only: tuple[str, ...], block: int | None) -> list[Way]:
    """Those of `TRIED` that are of `methods` and whose names match one of the patterns `only`, if there are any, after
    plain decoding. `block` is the model's; None has none. Raises UserError for what there is not.

    Steps are not recorded (`graphs`), so that each method runs as the others do.
    """
    for method in methods:
        if method not in METHODS:
            raise UserError(f"unknown method {method!r}", where="--methods", how=nearest(method, list(METHODS)))
        if block is None and "fill" in METHODS[method]:
            raise UserError(
                f"{method} needs a model that was trained with blocks",
                where="--methods",
                how="name a run of objective blt_diffusion, or take blt,blt_s",
            )
    asked = [PLAIN, *(each for each in TRIED if each.method in methods)]
    plain, *found = (Way(each.settings(Settings(1, graphs=False), block)) for each in asked)
    for pattern in only:
        if not any(fnmatchcase(way.name, pattern) for way in found):
            how = f"names are like {found[-1].name}" if found else "nothing is compared with plain decoding"
            raise UserError(f"{pattern!r} matches no setting", where="--only", how=how)
    return [plain, *(way for way in found if not only or any(fnmatchcase(way.name, each) for each in only))]
