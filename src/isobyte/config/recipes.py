"""Recipes: TOML files that hold a whole config, by name from the package or by path, with dotted overrides.

What a recipe may say beside its config, and how it is worked in, is in `config.compose`.
"""

import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from isobyte.config.base import Config
from isobyte.config.compose import compose, put
from isobyte.config.run import RunConfig
from isobyte.config.study import StudyConfig
from isobyte.errors import UserError, nearest

C = TypeVar("C", bound=Config)


def shipped() -> list[str]:
    """Names of the recipes in the package."""
    return sorted(p.name.removesuffix(".toml") for p in files("isobyte.recipes").iterdir() if p.name.endswith(".toml"))


def load_recipe(recipe: str, kind: type[C], overrides: tuple[str, ...] = (), scale: str | None = None) -> C:
    """The config of type `kind` that a recipe's name or file holds at one of its scales, after `key.path=value`
    overrides.

    A value is JSON where it parses as JSON, else a string; a list's items are named by index or by their `name`, or
    several of them by a pattern: `designs.*.tuning.window=128`.
    Raises UserError for an unknown recipe, scale, field or kind, naming the nearest valid ones.
    """
    data = compose(recipe, _read, scale)
    for override in overrides:
        key, sign, raw = override.partition("=")
        if not sign:
            raise UserError("is no override", where=repr(override), how="write key.path=value")
        put(data, key, _value(raw), where=repr(override))
    return validate(kind, data, where=recipe)


def recipe_kind(recipe: str) -> type[StudyConfig] | type[RunConfig]:
    """Whether a recipe holds a study or a run: a study has designs."""
    return StudyConfig if {"designs", "include"} & set(_read(recipe)) else RunConfig


def validate(kind: type[C], data: dict[str, Any], where: str) -> C:
    """`kind` made from plain data; every fault in one UserError."""
    try:
        return kind.model_validate(data)
    except ValidationError as problem:
        faults = [_fault(error, kind) for error in problem.errors()]
        raise UserError("; ".join(faults), where=where) from None


def _read(recipe: str) -> dict[str, Any]:
    path = Path(recipe)
    if path.suffix in (".toml", ".json") or path.is_file():
        if not path.is_file():
            raise UserError("no such recipe file", where=recipe, how=nearest(path.stem, shipped()))
        text = path.read_text()
    elif recipe in shipped():
        text = files("isobyte.recipes").joinpath(f"{recipe}.toml").read_text()
    else:
        raise UserError(f"unknown recipe {recipe!r}", how=nearest(recipe, shipped()) + " (or name a .toml file)")
    try:
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as problem:
        raise UserError(str(problem), where=recipe) from None


def _value(raw: str) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw


def _fault(error: Any, kind: type[Config]) -> str:
    path = ".".join(map(str, error["loc"])) or "recipe"
    if error["type"] == "extra_forbidden":
        return f"{path}: unknown field; {nearest(str(error['loc'][-1]), _field_names(kind, error['loc']))}"
    if error["type"] == "union_tag_invalid":
        context = error["ctx"]
        valid = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        return f"{path}: unknown kind {context['tag']!r}; {nearest(context['tag'], valid)}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{path}: {message[0].lower()}{message[1:]}"


def _field_names(kind: type[Config], path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields beside the one at `path`, for spelling hints; of all in the tree where the path is lost."""
    tree = kind.model_json_schema()
    models, node = tree.get("$defs", {}), tree
    for part in path[:-1]:
        node = _inside(node, part, models)
    beside = node.get("properties", {})
    return sorted(beside or {name for model in (tree, *models.values()) for name in model.get("properties", {})})


def _inside(node: dict[str, Any], part: int | str, models: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field, of a list's items, or of the model that a union's tag names."""
    if isinstance(part, int):
        found = node.get("items", {})
    elif "properties" in node:
        found = node["properties"].get(part, {})
    else:  # a tag
        choices = [_model(choice, models) for choice in node.get("oneOf", node.get("anyOf", []))]
        tagged = [each for each in choices if each.get("properties", {}).get("kind", {}).get("const") == part]
        found = tagged[0] if tagged else {}
    return _model(found, models)


def _model(node: dict[str, Any], models: dict[str, Any]) -> dict[str, Any]:
    return models.get(node["$ref"].split("/")[-1], {}) if "$ref" in node else node
