"""Designs of whole patches that cannot be are refused where they are written, by one sentence."""

from typing import Any

import pytest
from pydantic import ValidationError

from isobyte.config.recipes import load_recipe
from isobyte.config.run import RunConfig
from isobyte.config.study import DesignConfig
from tiny import run_data

LOCAL = {"layers": 1, "width": 8, "heads": 2}
BACKBONE: dict[str, Any] = {
    "kind": "blt", "encoder": LOCAL, "latent": {"layers": 1, "width": 16, "heads": 2}, "decoder": LOCAL,
    "patching": {"kind": "space"}, "hash_sizes": [],
}  # fmt: skip
PATCHES = {"window": 16, "batch": 4, "steps": 2, "optimizer": {"lr": 0.01}, "packing": "patches", "patches": 4}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "n-grams": ({"backbone": BACKBONE | {"hash_sizes": [3]}}, "take hash_sizes = []"),
    "packed patches": ({"train": PATCHES}, "takes packing 'bytes'"),
    "flat": ({"backbone": run_data()["backbone"]}, "is about patches; take backbone blt"),
    "BPE": ({"representation": {"kind": "bpe", "vocab_size": 512}}, "take representation bytes"),
    "latent window": (
        {"backbone": BACKBONE | {"latent": BACKBONE["latent"] | {"attention_window": 4}}},
        "leave latent.attention_window out",
    ),
    "carried places": ({"permutation": {"kind": "window", "carry": True}}, "leave carry false"),
}
OBJECTIVES = pytest.mark.parametrize("objective", ["patch_masked", "patch_ar"])


@OBJECTIVES
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_by_one_sentence(name: str, objective: str) -> None:
    data = run_data(objective) | {"backbone": BACKBONE}
    RunConfig.model_validate(data)
    change, said = REFUSED[name]
    with pytest.raises(ValidationError) as problem:
        RunConfig.model_validate(data | change)
    assert problem.value.error_count() == 1
    assert said in problem.value.errors()[0]["msg"]


@OBJECTIVES
def test_a_design_of_a_study_is_held_to_the_same(objective: str) -> None:
    design: dict[str, Any] = {
        "name": "words",
        "representation": {"kind": "bytes"},
        "objective": {"kind": objective},
        "backbone": {"kind": "blt", "patching": {"kind": "space"}, "hash_sizes": []},
        "tuning": {"window": 16, "batch": 4, "lr": 0.01, "width": 16, "budget": 4e7},
    }
    DesignConfig.model_validate(design)
    for backbone, said in (({"hash_sizes": [3]}, "take hash_sizes = []"), (None, "take backbone blt")):
        changed = {"kind": "flat"} if backbone is None else design["backbone"] | backbone
        with pytest.raises(ValidationError) as problem:
            DesignConfig.model_validate(design | {"backbone": changed})
        assert problem.value.error_count() == 1
        assert said in problem.value.errors()[0]["msg"]


@OBJECTIVES
def test_the_recipe_serves_both(objective: str) -> None:
    run = load_recipe("patch-masked", RunConfig, (f"objective.kind={objective}",))
    assert run.objective.kind == objective
    assert run.content_hash() != load_recipe("byte-masked", RunConfig).content_hash()
