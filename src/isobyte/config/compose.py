"""From what recipes say to one plain config: recipes within recipes, what all designs share, scales.

Beside the fields of its config a recipe of a study may hold

- `include`: names of recipes whose designs, dials and hypotheses come before its own, and that say what it leaves out;
- `every`: what each of its designs has unless it says otherwise;
- `set`: dotted keys and their values in the whole, included parts and all;
- `scales`: by name, dotted keys and the values that they take at that scale. The recipe as it stands is scale `cpu`.
"""

from collections.abc import Callable
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any

from isobyte.errors import UserError, nearest

Data = dict[str, Any]

SMALLEST = "cpu"
LISTS = ("designs", "dials", "hypotheses")
"""What an including recipe takes over."""


def compose(recipe: str, read: Callable[[str], Data], scale: str | None = None) -> Data:
    """The plain config that a recipe stands for. Raises UserError for recipes that do not fit together."""
    data = _included(recipe, read, ())
    scales = data.pop("scales", {})
    data.pop("every", None)
    if scale is None or (scale == SMALLEST and scales):
        return data
    if scale not in scales:
        known = [SMALLEST, *scales] if scales else []
        how = nearest(scale, known) if known else "leave it out"
        raise UserError(f"has no scale {scale!r}", where=recipe, how=how)
    for key, value in scales[scale].items():
        put(data, key, value, where=f"{recipe}, scale {scale}, {key}")
    return data


def put(data: Data, key: str, value: Any, *, where: str) -> None:
    """Sets `key`, a path of names, indices and patterns of names joined by dots, to `value` in place."""
    *parents, last = key.split(".")
    for node in _reached(data, parents, where):
        if isinstance(node, list):
            for index in _indices(node, last, where):
                node[index] = deepcopy(value)
        elif isinstance(node, dict):
            node[last] = deepcopy(value)
        else:
            raise UserError("reaches into a plain value", where=where, how="shorten the path")


def _included(recipe: str, read: Callable[[str], Data], above: tuple[str, ...]) -> Data:
    if recipe in above:
        raise UserError(f"includes itself by way of {' and '.join(above)}", where=recipe, how="break the circle")
    own = deepcopy(read(recipe))
    parts = [_included(name, read, (*above, recipe)) for name in own.pop("include", ())]
    data: Data = {}
    for each in (*parts[::-1], own):  # the first named says it where several do, and the recipe itself before all
        data = _merged(data, {key: value for key, value in each.items() if key not in LISTS})
    if "designs" in own:
        own["designs"] = [_merged(data.get("every", {}), design) for design in own["designs"]]
    for key in LISTS:
        lists = [part.get(key, []) for part in (*parts, own)]
        if any(lists):
            data[key] = _joined(lists, recipe)
    for key, value in data.pop("set", {}).items():
        put(data, key, value, where=f"{recipe}, set, {key}")
    return data


def _joined(lists: list[list[Any]], recipe: str) -> list[Any]:
    """One after the other; what is there under its name already must be the same."""
    found: dict[Any, Any] = {}
    for item in (item for items in lists for item in items):
        name = item.get("name") if isinstance(item, dict) else None
        if name in found and found[name] != item:
            raise UserError(f"its parts disagree about {name!r}", where=recipe, how="make the two equal or rename one")
        found[name if name is not None else len(found)] = item
    return list(found.values())


def _merged(under: Any, over: Any) -> Any:
    """`over`, and what `under` says beside it. Tables of two kinds are not mixed."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    if "kind" in over and over.get("kind") != under.get("kind"):
        return over
    merged = {key: _merged(under[key], over[key]) if key in over else deepcopy(under[key]) for key in under}
    return merged | {key: value for key, value in over.items() if key not in under}


def _reached(data: Data, parents: list[str], where: str) -> list[Any]:
    nodes: list[Any] = [data]
    for part in parents:
        found: list[Any] = []
        for node in nodes:
            if isinstance(node, dict):
                found.append(node.setdefault(part, {}))
            elif isinstance(node, list):
                found += [node[index] for index in _indices(node, part, where)]
            else:
                raise UserError("reaches into a plain value", where=where, how="shorten the path")
        nodes = found
    return nodes


def _indices(items: list[Any], part: str, where: str) -> list[int]:
    names = [str(item.get("name", i)) if isinstance(item, dict) else str(i) for i, item in enumerate(items)]
    found = [i for i, name in enumerate(names) if name == part or fnmatchcase(name, part)]
    if found:
        return found
    if part.isdigit() and int(part) < len(items):
        return [int(part)]
    raise UserError(f"has no item {part!r}", where=where, how=nearest(part, names))
