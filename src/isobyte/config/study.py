"""A study: designs trained at matched compute over a grid of budgets and sizes."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from isobyte.config.base import Config
from isobyte.config.data import DataConfig
from isobyte.config.dials import DialConfig, Hypothesis, check_hypotheses
from isobyte.config.family import BltFamily, Family, FlatFamily
from isobyte.config.objective import Objective
from isobyte.config.permutation import Permutation
from isobyte.config.representation import Representation
from isobyte.config.run import check_design, check_patchwise, check_permutation
from isobyte.config.train import AdamW, Cosine, EvaluateConfig, LrSchedule

Probe = Literal["words", "fragility", "segmentation", "layers"]
"""Direct measurements of a trained network."""


class Tuning(Config):
    """The rules that turn a size and a budget into window, batch and learning rate. Tuned per design, equal effort."""

    window: PositiveInt
    batch: PositiveInt
    lr: PositiveFloat
    """Peak rate at `width` and `budget`."""
    width: PositiveInt = 64
    """Of a flat network, or of a latent transformer."""
    lr_width_exponent: float = -0.5
    """Rate ~ width^this."""
    budget: PositiveFloat = 1e12
    batch_exponent: float = Field(default=0.0, ge=0, le=1)
    """Batch ~ budget^this, rounded to a whole number of windows."""
    lr_budget_exponent: float = 0.0
    """Rate ~ budget^this."""
    optimizer: AdamW = AdamW(lr=1.0)
    """Betas and weight decay; its `lr` is replaced by the rule above."""
    schedule: LrSchedule = Cosine()
    micro_batch: PositiveInt | None = None


class DesignConfig(Config):
    """A named design of a study. Sizes of its backbones come from the study's grid."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    representation: Representation
    objective: Objective
    permutation: Permutation | None = None
    backbone: Family = FlatFamily()
    tied: bool = False
    bytes_per_symbol: PositiveFloat | None = None
    """Expected where only the text tells, for planning alone; runs measure their own."""
    budgets: tuple[PositiveFloat, ...] | None = Field(default=None, min_length=1)
    """Those of the study's budgets that it is trained at; None means all."""
    per_budget: PositiveInt | None = None
    """Sizes at each budget, where it is another number than the grid's."""
    extend: int | None = Field(default=None, ge=0)
    """How often these may grow by one, where it is another number than the grid's."""
    tuning: Tuning

    @model_validator(mode="after")
    def _fit(self) -> Self:
        patched = isinstance(self.backbone, BltFamily)
        check_design(self.representation, self.objective, window=self.tuning.window, tied=self.tied, patched=patched)
        patching = None
        if isinstance(self.backbone, BltFamily):
            patching = self.backbone.patching
            check_patchwise(self.objective, self.backbone.hash_sizes, "bytes")
        check_permutation(self.permutation, self.representation, self.objective, patching)
        if patched and self.tied:
            raise ValueError("the head of backbone blt never reuses a table; leave tied false")
        return self


class GridConfig(Config):
    """Which sizes are trained at which budget."""

    sizes: tuple[str, ...]
    """The ladder, smallest first."""
    per_budget: PositiveInt = 5
    centre: dict[str, str] = Field(default_factory=dict)
    """Design name -> size expected to be best at the smallest budget; the middle of the ladder if absent."""
    exponent: float = 0.5
    """Optimal parameters are expected to grow as compute to this power until the study has measured it."""
    extend: int = Field(default=2, ge=0)
    """How often a budget's grid may grow by a size when its best size lies at an edge."""


class FitConfig(Config):
    bootstrap: PositiveInt = 1000
    level: float = Field(default=0.9, gt=0, lt=1)
    seed: int = 0


class StudyConfig(Config):
    """Designs x budgets x sizes x seeds over one corpus."""

    name: str
    designs: tuple[DesignConfig, ...] = Field(min_length=1)
    budgets: tuple[PositiveFloat, ...] = Field(min_length=1)
    """Training FLOPs, smallest first; the smallest is the pilot that centres the rest."""
    grid: GridConfig
    data: DataConfig
    evaluate: EvaluateConfig = EvaluateConfig()
    seeds: tuple[int, ...] = (0,)
    dials: tuple[DialConfig, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    probes: tuple[Probe, ...] = ()
    """Asked of the runs of the first seed, as far as they have them (`isobyte eval --probe`)."""
    fit: FitConfig = FitConfig()

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [d.name for d in self.designs]
        if len(set(names)) < len(names):
            raise ValueError(f"designs share a name: {sorted(names)}")
        if list(self.budgets) != sorted(set(self.budgets)):
            raise ValueError("budgets must be distinct and ascending")
        for design in self.designs:
            strange = set(design.budgets or ()) - set(self.budgets)
            if strange:
                raise ValueError(f"design {design.name!r} has budgets that the study has not: {sorted(strange)}")
        unknown = set(self.grid.centre) - set(names)
        if unknown:
            raise ValueError(f"grid.centre names no design: {sorted(unknown)}")
        strangers = set(self.grid.centre.values()) - set(self.grid.sizes)
        if strangers:
            raise ValueError(f"grid.centre names sizes outside grid.sizes: {sorted(strangers)}")
        check_hypotheses(self.hypotheses, self.dials, names)
        return self
