"""The plan is a pure function of the study and its losses."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from isobyte.config.backbone import BltConfig
from isobyte.config.study import StudyConfig
from isobyte.cost.flops import Patches
from isobyte.errors import UserError
from isobyte.study.collect import collect
from isobyte.study.execute import whole_plan
from isobyte.study.folder import StudyFolder
from isobyte.study.pipeline import plan_study
from isobyte.study.plan import Cell, decide, design_ladder, optimum, plan_run
from tiny import study_config, study_data

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


def granular(window: int, base: int = 2) -> StudyConfig:
    """Bits or other digits, for autoregression and masked diffusion."""
    data = study_data()
    for design in data["designs"]:
        design["representation"] = {"kind": "digits", "base": base}
        design["tuning"]["window"] = window
    return StudyConfig.model_validate(data)


@pytest.mark.parametrize(("base", "digits", "name"), [(2, 8, "bits"), (4, 4, "bit pairs"), (16, 2, "nibbles")])
def test_digits_of_bytes_are_designs_like_others(tmp_path: Path, base: int, digits: int, name: str) -> None:
    study = granular(64, base)
    run = plan_run(study, study.designs[0], 4e7, "w16", 0)
    assert run.config.representation.vocab_size == base
    assert run.cost.flops.head == 2 * 16 * base * 64
    assert study.designs[0].representation.bytes_per_symbol == 1 / digits
    rows = collect(study, StudyFolder.create(tmp_path / "study", study), [run.cell])
    assert [row["representation"] for row in rows] == [name]


def test_windows_of_digits_hold_whole_bytes() -> None:
    with pytest.raises(ValidationError, match="a byte is 8 bits, and a window of 100 ends inside one"):
        granular(100)
    with pytest.raises(ValidationError, match="a byte is 2 nibbles, and a window of 33"):
        granular(33, 16)
    assert granular(100, 4).designs[0].tuning.window == 100


def test_only_the_pilot_is_wanted_at_first() -> None:
    cells, decisions = decide(STUDY, {})
    assert {cell.budget for cell in cells} == {STUDY.budgets[0]}
    assert all(decision.reason.startswith("pilot") for decision in decisions)


def test_an_optimum_at_the_edge_grows_the_grid_once() -> None:
    rising = {(d.name, s): float(i) for d in STUDY.designs for i, s in enumerate(STUDY.grid.sizes)}
    cells = play(STUDY, rising)
    pilot = {cell.size for cell in cells if cell.design == "byte-ar" and cell.budget == STUDY.budgets[0]}
    assert pilot == set(STUDY.grid.sizes)


def test_a_design_may_grow_by_another_number_than_the_grids() -> None:
    data = STUDY.model_dump(mode="json")
    data["designs"][0]["extend"] = 0
    study = StudyConfig.model_validate(data)
    rising = {(d.name, s): float(i) for d in study.designs for i, s in enumerate(study.grid.sizes)}
    tried = {
        d.name: {c.size for c in play(study, rising) if c.design == d.name and c.budget == study.budgets[0]}
        for d in study.designs
    }
    first, second = (len(tried[design.name]) for design in study.designs)
    assert (first, second) == (study.grid.per_budget, study.grid.per_budget + 1)


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
    ladder = design_ladder(STUDY, STUDY.designs[0])
    best = optimum(cells, losses, ladder)
    alone = {cells[1]: 1.0}
    assert best != optimum([cells[1]], alone, ladder)


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


HASHED = {"kind": "blt", "hash_sizes": [3], "hash_vocab": 7}
PATCHED = StudyConfig.model_validate(
    study_data()
    | {
        "designs": [
            {
                "name": name,
                "representation": {"kind": "bytes"},
                "objective": {"kind": "ar"},
                "backbone": backbone,
                "tuning": {"window": 17, "batch": 4, "lr": 0.01, "width": 16},
            }
            for name, backbone in {
                "flat": {"kind": "flat"},
                "static": {
                    "kind": "blt",
                    "patching": {"kind": "static", "size": 4},
                    "hash_sizes": [3],
                    "hash_vocab": 7,
                },
                "space": {"kind": "blt", "patching": {"kind": "space", "mean_length": 8}, "hash_vocab": 7},
            }.items()
        ]
    }
)


def test_one_ladder_serves_flat_and_patched_designs() -> None:
    flat, static, space = (plan_run(PATCHED, design, 4e7, "w32", 0) for design in PATCHED.designs)
    assert isinstance(static.config.backbone, BltConfig)
    assert static.config.backbone.latent == flat.config.backbone
    assert static.config.train.optimizer == flat.config.train.optimizer
    assert (static.config.backbone.hash_sizes, static.config.backbone.hash_vocab) == ((3,), 7)
    assert flat.cost.patches is None
    assert static.cost.patches == Patches.of(5)
    assert space.cost.patches == Patches.of(3)
    assert (static.cost.bytes_per_patch, space.cost.bytes_per_patch) == (4, 8)
    assert static.cost.parameters.N == space.cost.parameters.N > flat.cost.parameters.N
    for run in (flat, static, space):
        assert run.flops <= run.cell.budget < run.flops + run.cost.per_step


def test_grids_are_centred_by_each_designs_own_parameters() -> None:
    flat, static, _ = (design_ladder(PATCHED, design) for design in PATCHED.designs)
    assert list(flat) == list(static) == list(PATCHED.grid.sizes)
    assert all(flat[size] < static[size] for size in flat)
    reasons = [d.reason for d in decide(PATCHED, {}, speculate=True)[1] if d.budget == PATCHED.budgets[1]]
    for ladder, reason in zip((flat, static), reasons, strict=False):
        assert f"N = {ladder['w32'] * 2**0.5:.3g}" in reason


def test_a_plan_shows_patches_and_the_latent_transformer() -> None:
    rows = [row for row in plan_study(PATCHED, None)["runs"] if row["size"] == "w32"]
    assert {(row["layers"], row["width"], row["heads"]) for row in rows} == {(2, 32, 2)}
    assert {row["design"]: row["bytes_per_patch"] for row in rows} == {"flat": None, "static": 4, "space": 8}
