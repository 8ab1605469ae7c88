"""Designs that train masked blocks beside the text: planned at matched compute, refused where they make no sense."""

from typing import Any

import pytest
from pydantic import ValidationError

from isobyte.config.objective import BltDiffusionConfig
from isobyte.config.run import RunConfig
from isobyte.config.study import StudyConfig
from isobyte.study.execute import whole_plan
from isobyte.study.plan import plan_run
from tiny import run_data, study_data

BACKBONE = {"kind": "blt", "patching": {"kind": "static", "size": 4}, "hash_sizes": [3], "hash_vocab": 7}
TUNING = {"window": 17, "batch": 4, "lr": 0.01, "width": 16}


def design(name: str, objective: dict[str, Any]) -> dict[str, Any]:
    choices = {"representation": {"kind": "bytes"}, "objective": objective, "backbone": BACKBONE}
    return {"name": name, "tuning": TUNING} | choices


def study(*designs: dict[str, Any]) -> StudyConfig:
    return StudyConfig.model_validate(study_data(budgets=(8e7, 2e8)) | {"designs": list(designs)})


STUDY = study(
    design("blt", {"kind": "ar"}),
    design("blt-d-4", {"kind": "blt_diffusion"}),
    design("blt-d-8", {"kind": "blt_diffusion", "block": 8}),
)


def test_cells_are_paid_for_in_steps() -> None:
    plain, four, eight = (plan_run(STUDY, each, 4e7, "w32", 0) for each in STUDY.designs)
    for run in (plain, four, eight):
        assert run.flops <= 4e7 < run.flops + run.cost.per_step
    assert plain.config.train.steps > four.config.train.steps > eight.config.train.steps
    assert plain.cost.flops.forward == pytest.approx(four.cost.flops.forward - four.cost.flops.cells)
    assert eight.cost.flops.cells > 2 * four.cost.flops.cells > 0
    assert isinstance(eight.config.objective, BltDiffusionConfig)
    assert eight.config.objective.block == 8
    assert four.cost.parameters.N == plain.cost.parameters.N
    assert four.cost.memory.total > plain.cost.memory.total


def test_every_design_of_the_study_is_planned() -> None:
    assert {run.cell.design for run in whole_plan(STUDY, {})} == {"blt", "blt-d-4", "blt-d-8"}


BLOCKS = {"kind": "blt_diffusion", "block": 4}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"backbone": {"kind": "flat"}}, "objective blt_diffusion is about patches; take backbone blt"),
        ({"representation": {"kind": "bpe", "vocab_size": 512}}, "not bpe and blt_diffusion"),
        ({"objective": {"kind": "masked"}}, "not bytes and masked"),
        ({"tied": True}, "leave tied false"),
    ],
    ids=["flat", "bpe", "masked", "tied"],
)
def test_designs_that_make_no_sense_are_refused_with_a_reason(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        study(design("blt-d", BLOCKS) | more)


def test_a_run_with_a_flat_network_is_refused_too() -> None:
    with pytest.raises(ValidationError, match="take backbone blt"):
        RunConfig.model_validate(run_data() | {"objective": BLOCKS})
