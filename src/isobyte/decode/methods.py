"""The ways to sample: what each is called, which settings it has, and which objectives can take it."""

from dataclasses import dataclass
from typing import Any

from isobyte.config.objective import CosineSchedule, LinearSchedule, Objective, Schedule
from isobyte.decode import transfer
from isobyte.decode.remask import VARIANTS, Remask
from isobyte.errors import UserError, nearest

GRIDS: dict[str, Schedule] = {"linear": LinearSchedule(), "cosine": CosineSchedule()}

_STEPS = ("steps", "grid")
UNMASKING: dict[str, tuple[str, ...]] = {
    "ancestral": _STEPS,
    "cached-ancestral": _STEPS,
    "first-hitting": (),
    "left-to-right": ("per_step",),
    "confidence": ("per_step",),
    "margin": ("per_step",),
    "entropy": ("per_step",),
    "entropy-bounded": ("gamma",),
    "threshold": ("threshold",),
    "factor": ("factor",),
}
"""Methods that reveal hidden cells for good, and the settings of each."""

REMASKING: dict[str, tuple[str, ...]] = {
    "remdm-cap": (*_STEPS, "eta"),
    "remdm-rescale": (*_STEPS, "eta"),
    "remdm-conf": _STEPS,
    "remdm-loop": ("steps", "eta"),
}
PUBLISHED = "published"
DEFAULTS = {"steps": 64, "grid": "linear", "per_step": 1, "gamma": 0.1, "threshold": 0.9, "factor": 1.0, "eta": 0.02}


def methods_of(objective: Objective) -> dict[str, tuple[str, ...]]:
    """The methods of an objective, its own first, with the settings that each has there."""
    blocks = {name: (*options, "block") for name, options in UNMASKING.items()}
    match objective.kind:
        case "patch_masked":
            return {"random": (), "left-to-right": ()}
        case "ar" | "blt_diffusion" | "patch_ar":
            return {"left-to-right": ()}
        case "any_order":
            return {"random": (), "left-to-right": ()}
        case "eso":
            return {"eso": ("per_step",)}
        case "block":
            return {"first-hitting": (), **UNMASKING}
        case "digits":
            by_digit = {name: (*options, "by_digit") for name, options in blocks.items()}
            return {"first-hitting": (), **by_digit, **REMASKING, PUBLISHED: _STEPS}
        case _:
            return {"first-hitting": (), **blocks, **REMASKING}


@dataclass(frozen=True)
class Settings:
    """How to sample. None is the objective's first method, or a setting's usual value."""

    method: str | None = None
    seed: int = 0
    temperature: float = 1.0
    """0 takes the likeliest symbol."""
    top_p: float = 1.0
    """Symbols are drawn from the smallest set that has this probability."""
    steps: int | None = None
    grid: str | None = None
    """`linear` or `cosine`: the times of the steps."""
    per_step: int | None = None
    """Symbols revealed at once."""
    block: int | None = None
    """Finish this many symbols before the next ones are begun."""
    gamma: float | None = None
    threshold: float | None = None
    factor: float | None = None
    eta: float | None = None
    by_digit: bool = False
    """`digits`: reveal digits by their marginals, not whole symbols."""

    def checked(self, objective: Objective) -> str:
        """The method's name. Raises UserError where the objective or the method cannot do what is asked."""
        methods = methods_of(objective)
        method = self.method or next(iter(methods))
        if method not in methods:
            every = {**UNMASKING, **REMASKING, "random": (), "eso": (), PUBLISHED: ()}
            if method not in every:
                raise UserError(f"no method is called {method!r}", where="method", how=nearest(method, list(every)))
            can = ", ".join(methods)
            raise UserError(f"{objective.kind!r} cannot sample by {method!r}", where="method", how=f"it can: {can}")
        for name in ("steps", "grid", "per_step", "block", "gamma", "threshold", "factor", "eta", "by_digit"):
            if getattr(self, name) not in (None, False) and name not in methods[method]:
                settings = ", ".join(methods[method]) or "none"
                raise UserError(
                    f"{method!r} of {objective.kind!r} has no such setting", where=name, how=f"it has: {settings}"
                )
        self._check_ranges()
        return method

    def _check_ranges(self) -> None:
        grids = " or ".join(map(repr, GRIDS))
        for name, wrong, how in (
            ("temperature", not 0 <= self.temperature < float("inf"), "take 0 or more"),
            ("top_p", not 0 < self.top_p <= 1, "take more than 0 and at most 1"),
            ("grid", self.grid is not None and self.grid not in GRIDS, f"take {grids}"),
            ("gamma", self.gamma is not None and not self.gamma >= 0, "take 0 or more nats"),
            ("threshold", self.threshold is not None and not self.threshold > 0, "take more than 0"),
            ("factor", self.factor is not None and not self.factor > 0, "take more than 0"),
            ("eta", self.eta is not None and not 0 <= self.eta <= 1, "take 0 to 1"),
            *(
                (k, (v := getattr(self, k)) is not None and v < 1, "take 1 or more")
                for k in ("steps", "per_step", "block")
            ),
        ):
            if wrong:
                raise UserError(f"{getattr(self, name)} is out of range", where=name, how=how)

    @property
    def schedule(self) -> Schedule:
        return GRIDS[self.value("grid")]

    def value(self, name: str) -> Any:
        """A setting as given, or its usual value."""
        given = getattr(self, name)
        return DEFAULTS[name] if given is None else given

    def used(self, method: str, objective: Objective) -> dict[str, Any]:
        """What the method goes by: seed, temperature, top_p, and its own settings."""
        names = [name for name in methods_of(objective)[method] if name not in ("block", "by_digit")]
        own = {name: self.value(name) for name in names}
        given = {name: getattr(self, name) for name in ("block", "by_digit") if getattr(self, name)}
        return {"seed": self.seed, "temperature": self.temperature, "top_p": self.top_p, **own, **given}

    def rule(self, method: str) -> transfer.Rule:
        """The rule of an unmasking method."""
        match method:
            case "ancestral" | "cached-ancestral":
                return transfer.ancestral(self.schedule, self.value("steps"))
            case "first-hitting":
                return transfer.first_hitting
            case "entropy-bounded":
                return transfer.entropy_bounded(self.value("gamma"))
            case "threshold":
                return transfer.threshold(self.value("threshold"))
            case "factor":
                return transfer.factor(self.value("factor"))
        return transfer.top_k(method.replace("-", "_"), self.value("per_step"))

    def remask(self, method: str) -> Remask:
        """The numbers of a remasking method."""
        variant = method.removeprefix("remdm-")
        assert variant in VARIANTS
        return Remask(variant, self.value("eta"), self.value("steps"), self.schedule)
