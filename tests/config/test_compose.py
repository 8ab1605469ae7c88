"""Recipes made of recipes: what is included, shared, set, and scaled."""

from typing import Any

import pytest

from isobyte.config.compose import compose
from isobyte.config.recipes import load_recipe, shipped
from isobyte.config.study import StudyConfig
from isobyte.errors import UserError

BASE = {
    "name": "base",
    "budgets": [1, 2],
    "every": {"kind": "a", "tuning": {"lr": 1, "window": 8}},
    "designs": [{"name": "one"}, {"name": "two", "tuning": {"lr": 2}}],
    "scales": {"gpu": {"budgets": [9], "designs.*.tuning.window": 64}},
}
PARTS: dict[str, dict[str, Any]] = {
    "base": BASE,
    "more": {"name": "more", "include": ["base"], "designs": [{"name": "three", "tuning": {"lr": 3}}]},
    "again": {"name": "again", "include": ["base", "more"], "budgets": [5]},
    "other": {"name": "other", "every": {"tuning": {"lr": 7}}, "designs": [{"name": "one"}]},
    "torn": {"name": "torn", "include": ["base", "other"]},
    "round": {"name": "round", "include": ["about"]},
    "about": {"name": "about", "include": ["round"]},
    "set": {"name": "set", "include": ["base"], "set": {"designs.t*.tuning.lr": 4, "extra.deep": True}},
    "typed": {
        "every": {"backbone": {"kind": "blt", "size": 3}}, "designs": [{"name": "x", "backbone": {"kind": "flat"}}],
    },
}  # fmt: skip


def made(name: str, scale: str | None = None) -> dict[str, Any]:
    return compose(name, PARTS.__getitem__, scale)


def by_name(data: dict[str, Any]) -> dict[str, Any]:
    return {design["name"]: design for design in data["designs"]}


def test_designs_have_what_every_design_has_unless_they_say_otherwise() -> None:
    found = by_name(made("base"))
    assert found["one"] == {"name": "one", "kind": "a", "tuning": {"lr": 1, "window": 8}}
    assert found["two"]["tuning"] == {"lr": 2, "window": 8}


def test_an_including_recipe_takes_designs_fields_and_what_all_share() -> None:
    found = made("more")
    assert list(by_name(found)) == ["one", "two", "three"]
    assert (found["name"], found["budgets"]) == ("more", [1, 2])
    assert by_name(found)["three"] == {"name": "three", "kind": "a", "tuning": {"lr": 3, "window": 8}}
    assert "every" not in found
    assert "scales" not in found


def test_what_is_included_twice_is_there_once() -> None:
    found = made("again")
    assert list(by_name(found)) == ["one", "two", "three"]
    assert found["budgets"] == [5]


def test_a_scale_changes_what_its_keys_reach_included_or_not() -> None:
    found = made("more", "gpu")
    assert found["budgets"] == [9]
    assert [design["tuning"]["window"] for design in found["designs"]] == [64, 64, 64]
    assert made("more", "cpu") == made("more")


def test_set_reaches_what_is_included() -> None:
    found = made("set")
    assert [design["tuning"]["lr"] for design in found["designs"]] == [1, 4]
    assert found["extra"] == {"deep": True}
    assert "set" not in found


def test_tables_of_two_kinds_are_not_mixed() -> None:
    assert made("typed")["designs"][0]["backbone"] == {"kind": "flat"}


@pytest.mark.parametrize(
    ("name", "scale", "what"),
    [("torn", None, "disagree about 'one'"), ("round", None, "includes itself"), ("base", "gpuu", "no scale 'gpuu'"),
     ("other", "gpu", "no scale")],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(name: str, scale: str | None, what: str) -> None:
    with pytest.raises(UserError, match=what):
        made(name, scale)


def test_parts_are_left_as_they_are() -> None:
    before = repr(PARTS)
    made("set", "gpu")
    assert repr(PARTS) == before


def test_overrides_reach_several_designs() -> None:
    study = load_recipe("quick", StudyConfig, ("designs.byte-*.tuning.batch=3",))
    assert [design.tuning.batch == 3 for design in study.designs] == [d.name.startswith("byte-") for d in study.designs]
    with pytest.raises(UserError, match="has no item 'bite-"):
        load_recipe("quick", StudyConfig, ("designs.bite-*.tuning.batch=3",))


SCALED = [
    name for name in shipped() if name.startswith("dial-") or name in ("contiguity", "grouping", "efficiency-gap")
]


@pytest.mark.parametrize("scale", ["gpu", "paper"])
@pytest.mark.parametrize("name", SCALED)
def test_shipped_scales_plan(name: str, scale: str) -> None:
    from isobyte.study.execute import whole_plan

    study = load_recipe(name, StudyConfig, scale=scale)
    runs = whole_plan(study, {})
    assert {run.cell.design for run in runs} == {design.name for design in study.designs}
    assert all(0.9 * run.cell.budget < run.flops <= run.cell.budget for run in runs)
