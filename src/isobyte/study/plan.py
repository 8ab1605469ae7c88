"""From a study to its runs: sizes by budget, re-centred by what has been measured. No torch here.

`decide` is a pure function of the study and of the losses so far. Whoever executes a study asks it again after
every run; whoever resumes one asks it with the losses on disk and gets the same answer.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isobyte.config.run import RunConfig
from isobyte.config.sizes import family_shape
from isobyte.config.study import DesignConfig, StudyConfig
from isobyte.config.train import TrainConfig
from isobyte.cost.design import Cost, run_cost
from isobyte.cost.network import network_parameters
from isobyte.errors import UserError


@dataclass(frozen=True)
class Cell:
    """One run's place in a study."""

    design: str
    budget: float
    size: str
    seed: int


@dataclass(frozen=True)
class PlannedRun:
    cell: Cell
    config: RunConfig
    cost: Cost

    @property
    def flops(self) -> float:
        """Training FLOPs of the whole run."""
        return self.cost.per_step * self.config.train.steps


@dataclass(frozen=True)
class Decision:
    """Why a budget's grid is where it is."""

    design: str
    budget: float
    centre: str
    sizes: tuple[str, ...]
    reason: str


Losses = Mapping[Cell, float | None]
"""BPB of finished runs; None for a run that failed."""

Ladder = Mapping[str, int]
"""Sizes, smallest first, with the parameters N that a design has at each."""


def plan_run(study: StudyConfig, design: DesignConfig, budget: float, size: str, seed: int) -> PlannedRun:
    """The run of one cell. Raises UserError when the budget does not pay for one step."""
    rule, backbone = design.tuning, family_shape(design.backbone, size, tied=design.tied)
    growth, wider = budget / rule.budget, backbone.width / rule.width
    lr = rule.lr * wider**rule.lr_width_exponent * growth**rule.lr_budget_exponent
    config = RunConfig(
        representation=design.representation,
        objective=design.objective,
        permutation=design.permutation,
        backbone=backbone,
        data=study.data,
        train=TrainConfig(
            window=rule.window,
            batch=max(1, round(rule.batch * growth**rule.batch_exponent)),
            micro_batch=rule.micro_batch,
            steps=1,
            optimizer=rule.optimizer.model_copy(update={"lr": float(f"{lr:.4g}")}),
            schedule=rule.schedule,
            seed=seed,
        ),
        evaluate=study.evaluate,
    )
    cost = run_cost(config)
    steps = math.floor(budget / cost.per_step)
    if steps < 1:
        raise UserError(
            f"a budget of {budget:.3g} FLOPs pays for no step of {design.name} at {size} ({cost.per_step:.3g})",
            where=study.name,
            how="raise budgets, or lower the design's window or batch",
        )
    train = config.train.model_copy(update={"steps": steps})
    return PlannedRun(Cell(design.name, budget, size, seed), config.model_copy(update={"train": train}), cost)


def decide(study: StudyConfig, losses: Losses, *, speculate: bool = False) -> tuple[list[Cell], list[Decision]]:
    """Every cell the study wants so far, smallest budget first, and why.

    The smallest budget is the pilot: a larger one is placed once the one below it is complete. With `speculate`
    incomplete budgets are assumed to have their best size at the centre, which gives the whole plan before any run.
    """
    cells: list[Cell] = []
    decisions: list[Decision] = []
    for design in study.designs:
        for cell, decision in _decide_design(study, design, losses, speculate):
            cells += cell
            decisions.append(decision)
    order = {budget: i for i, budget in enumerate(study.budgets)}
    return sorted(cells, key=lambda c: order[c.budget]), decisions


def _decide_design(
    study: StudyConfig, design: DesignConfig, losses: Losses, speculate: bool
) -> Iterator[tuple[list[Cell], Decision]]:
    """Budget by budget, as far as what is measured allows."""
    grid, ladder, N = study.grid, study.grid.sizes, design_ladder(study, design)
    budgets = [budget for budget in study.budgets if design.budgets is None or budget in design.budgets]
    centre = ladder.index(grid.centre.get(design.name, ladder[len(ladder) // 2]))
    reason = "pilot: centred where the recipe says"
    for i, budget in enumerate(budgets):
        first = list(_around(centre, design.per_budget or grid.per_budget, len(ladder)))
        sizes, cells, complete = _extended(study, design, budget, first, losses)
        if sizes != first:
            reason += f"; grown to {ladder[sizes[0]]}..{ladder[sizes[-1]]}: the best size lay at the edge"
        yield cells, Decision(design.name, budget, ladder[centre], tuple(ladder[s] for s in sizes), reason)
        if i + 1 == len(budgets) or not (complete or speculate):
            return
        found = optimum(cells, losses, N) if complete else math.log(N[ladder[centre]])
        target = found + grid.exponent * math.log(budgets[i + 1] / budget)
        centre = min(range(len(ladder)), key=lambda s: abs(math.log(N[ladder[s]]) - target))
        reason = f"centred at N = {math.exp(target):.3g}, from the optimum below and N ~ C^{grid.exponent:g}"


def _extended(
    study: StudyConfig, design: DesignConfig, budget: float, sizes: list[int], losses: Losses
) -> tuple[list[int], list[Cell], bool]:
    """A budget's rungs, grown one by one while the best lies at an edge; its cells; whether all are finished."""
    ladder = study.grid.sizes
    limit = len(sizes) + (study.grid.extend if design.extend is None else design.extend)
    while True:
        cells = [Cell(design.name, budget, ladder[s], seed) for s in sizes for seed in study.seeds]
        complete = all(cell in losses for cell in cells)
        grown = _grown(sizes, _best(cells, losses, ladder), len(ladder)) if complete else sizes
        if grown == sizes or len(grown) > limit:
            return sizes, cells, complete
        sizes = grown


def optimum(cells: list[Cell], losses: Losses, ladder: Ladder) -> float:
    """ln N of the smallest loss: a parabola's vertex where there is one inside the grid, else the best size."""
    sizes = list(ladder)
    mean = _means(cells, losses, sizes)
    x = np.array([math.log(ladder[sizes[s]]) for s in mean])
    y = np.array(list(mean.values()))
    if not len(x):
        return math.log(ladder[cells[len(cells) // 2].size])
    if len(x) >= 3:
        curve, slope, _ = np.polyfit(x - x.mean(), y, 2)
        vertex = x.mean() - slope / (2 * curve) if curve > 0 else math.inf
        if x[0] <= vertex <= x[-1]:
            return float(vertex)
    return float(x[np.argmin(y)])


def design_ladder(study: StudyConfig, design: DesignConfig) -> dict[str, int]:
    """Every size of the study with N of the design's backbone."""
    vocab = design.representation.vocab_size or 256  # N does not depend on it
    shapes = {size: family_shape(design.backbone, size, tied=design.tied) for size in study.grid.sizes}
    return {size: network_parameters(shape, design.objective, vocab=vocab).N for size, shape in shapes.items()}


def _around(centre: int, count: int, ladder: int) -> range:
    """`count` consecutive rungs about `centre` (an even count leans to the larger), shifted to stay on the ladder."""
    first = min(max(0, centre - (count - 1) // 2), max(0, ladder - count))
    return range(first, min(ladder, first + count))


def _means(cells: list[Cell], losses: Losses, ladder: Sequence[str]) -> dict[int, float]:
    """Rung -> mean loss over its seeds, failed runs left out."""
    by_rung: dict[int, list[float]] = {}
    for cell in cells:
        loss = losses.get(cell)
        if loss is not None:
            by_rung.setdefault(ladder.index(cell.size), []).append(loss)
    return {rung: sum(values) / len(values) for rung, values in sorted(by_rung.items())}


def _best(cells: list[Cell], losses: Losses, ladder: Sequence[str]) -> int | None:
    mean = _means(cells, losses, ladder)
    return min(mean, key=lambda rung: mean[rung]) if mean else None


def _grown(sizes: list[int], best: int | None, ladder: int) -> list[int]:
    """One more rung beyond the edge at which the best one lies."""
    if best is None:
        return sizes
    if best == sizes[0] and best > 0:
        return [best - 1, *sizes]
    if best == sizes[-1] and best + 1 < ladder:
        return [*sizes, best + 1]
    return sizes
