"""The plan is a pure function of the study and its losses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isobyte.config.study import StudyConfig
from isobyte.errors import UserError
from isobyte.study.execute import whole_plan
from isobyte.study.plan import Cell, decide, optimum, plan_run
from tiny import study_config

STUDY = study_config()


def play(study: StudyConfig, loss_of: dict[tuple[str, str], float], failed: set[str] = frozenset()) -> list[Cell]:  # type: ignore[assignment]
    """Finish whatever is wanted until nothing is."""
    losses: dict[Cell, float | None] = {}
    while True:
        cells, _ = decide(study, losses)
        new = [cell for cell in cells if cell not in losses]
        if not new:
            return cells
        losses |= {c: None if c.size in failed else loss_of[c.design, c.size] for c in new}


def test_only_the_pilot_is_wanted_at_first() -> None:
    cells, decisions = decide(STUDY, {})
    assert {cell.budget for cell in cells} == {STUDY.budgets[0]}
    assert all(decision.reason.startswith("pilot") for decision in decisions)


def test_an_optimum_at_the_edge_grows_the_grid_once() -> None:
    rising = {(d.name, s): float(i) for d in STUDY.designs for i, s in enumerate(STUDY.grid.sizes)}
    cells = play(STUDY, rising)
    pilot = {cell.size for cell in cells if cell.design == "byte-ar" and cell.budget == STUDY.budgets[0]}
    assert pilot == set(STUDY.grid.sizes)


def test_an_optimum_inside_does_not() -> None:
    valley = {(d.name, s): abs(i - 2.0) for d in STUDY.designs for i, s in enumerate(STUDY.grid.sizes)}
    cells = play(STUDY, valley)
    for budget in STUDY.budgets:
        assert sum(cell.design == "byte-ar" and cell.budget == budget for cell in cells) == STUDY.grid.per_budget


def test_failed_runs_do_not_stop_the_study() -> None:
    flat = {(d.name, s): 1.0 for d in STUDY.designs for s in STUDY.grid.sizes}
    cells = play(STUDY, flat, failed=set(STUDY.grid.sizes))
    assert {cell.budget for cell in cells} == set(STUDY.budgets)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_more_results_never_withdraw_a_run(data: st.DataObject) -> None:
    losses: dict[Cell, float | None] = {}
    before: set[Cell] = set()
    for _ in range(12):
        cells, _ = decide(STUDY, losses)
        assert before <= set(cells)
        before = set(cells)
        waiting = [cell for cell in cells if cell not in losses]
        if not waiting:
            break
        for cell in data.draw(st.lists(st.sampled_from(waiting), min_size=1, unique=True)):
            losses[cell] = data.draw(st.one_of(st.none(), st.floats(1, 8)))


def test_the_optimum_is_interpolated() -> None:
    sizes = STUDY.grid.sizes[:3]
    cells = [Cell("byte-ar", 1.0, size, 0) for size in sizes]
    losses = dict(zip(cells, [2.0, 1.0, 1.5], strict=True))
    best = optimum(cells, losses, STUDY.grid.sizes)
    alone = {cells[1]: 1.0}
    assert best != optimum([cells[1]], alone, STUDY.grid.sizes)


def test_flops_match_the_budget_to_a_step() -> None:
    for run in whole_plan(STUDY, {}):
        assert run.flops <= run.cell.budget < run.flops + run.cost.per_step


def test_a_budget_below_one_step_is_refused() -> None:
    with pytest.raises(UserError, match="pays for no step"):
        plan_run(STUDY, STUDY.designs[0], 1e3, "w16", 0)


def test_rules_scale_rate_and_batch() -> None:
    design = STUDY.designs[0]
    rule = design.tuning.model_copy(
        update={"lr_width_exponent": -1.0, "batch_exponent": 0.5, "lr_budget_exponent": -0.25}
    )
    run = plan_run(STUDY, design.model_copy(update={"tuning": rule}), 16 * rule.budget, "w32", 0)
    assert run.config.train.batch == 4 * rule.batch
    assert run.config.train.optimizer.lr == pytest.approx(rule.lr / 2 / 2)
