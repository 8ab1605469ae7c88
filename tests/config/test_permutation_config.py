"""Permutations that a design cannot read in are refused where they are written, by one sentence."""

from typing import Any

import pytest
from pydantic import ValidationError
from test_config import PACKED, PATCHING

from isobyte.config.run import RunConfig
from isobyte.config.study import DesignConfig
from isobyte.config.train import TrainConfig
from tiny import run_data

CARRIED = {"kind": "window", "carry": True}
BLT: dict[str, Any] = PACKED | {"train": run_data()["train"]}
BY_SPACES = BLT | {"backbone": BLT["backbone"] | {"patching": {"kind": "space"}}}
BPE = {"representation": {"kind": "bpe", "vocab_size": 512}}

REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "fresh and carried": (run_data(), {"kind": "window", "fresh": True, "carry": True}, "objective any_order"),
    "carried, any_order": (run_data("any_order"), CARRIED, "not with objective any_order; leave carry false"),
    "carried, eso": (run_data("eso"), CARRIED, "not with objective eso; leave carry false"),
    "carried, digits": (run_data("digits"), CARRIED, "not with objective digits; leave carry false"),
    "carried, blt": (BY_SPACES, {"kind": "stride", "carry": True}, "not with backbone blt; leave carry false"),
    "words of BPE": (run_data() | BPE, {"kind": "units"}, "take representation bytes"),
    "inside words of BPE": (run_data() | BPE, {"kind": "inside"}, "take representation bytes"),
    "fitted patches": (BLT, {"kind": "stride"}, "patching 'entropy' is fitted to the text as it stands"),
    "packed patches": (
        BY_SPACES | {"train": PACKED["train"]},
        {"kind": "stride"},
        "a permutation takes packing 'bytes'",
    ),
    "nothing in a stretch": (run_data(), {"kind": "nearby", "width": 0}, "greater than 0"),
    "carried units": (run_data(), {"kind": "inside", "carry": True}, "Extra inputs"),
    "units of no words": (run_data(), {"kind": "units", "units": {"kind": "fixed"}}, "'word', 'bpe'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_by_one_sentence(name: str) -> None:
    data, permutation, said = REFUSED[name]
    RunConfig.model_validate(data)
    with pytest.raises(ValidationError) as problem:
        RunConfig.model_validate(data | {"permutation": permutation})
    assert problem.value.error_count() == 1
    assert said in problem.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("design", "permutation"),
    [
        ({"representation": {"kind": "bytes"}, "objective": {"kind": "eso"}}, CARRIED),
        ({**BPE, "objective": {"kind": "ar"}}, {"kind": "inside"}),
        (
            {
                "representation": {"kind": "bytes"},
                "objective": {"kind": "ar"},
                "backbone": {"kind": "blt", "patching": PATCHING},
            },
            {"kind": "stride"},
        ),
    ],
)
def test_designs_of_studies_are_refused_as_runs_are(design: dict[str, Any], permutation: dict[str, Any]) -> None:
    design = design | {"name": "design", "tuning": {"window": 16, "batch": 4, "lr": 0.01}}
    DesignConfig.model_validate(design)
    with pytest.raises(ValidationError, match=r"leave carry false|representation bytes|'entropy'"):
        DesignConfig.model_validate(design | {"permutation": permutation})


@pytest.mark.parametrize("objective", ["ar", "masked", "span", "block"])
def test_what_may_be_carried_is(objective: str) -> None:
    config = RunConfig.model_validate(run_data(objective) | {"permutation": CARRIED})
    assert config.permutation is not None
    assert config.permutation.carries
    assert isinstance(config.train, TrainConfig)


def test_text_read_in_patches_may_be_permuted() -> None:
    assert RunConfig.model_validate(BY_SPACES | {"permutation": {"kind": "blocks"}}).permutation is not None
