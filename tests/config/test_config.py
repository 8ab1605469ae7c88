"""Configs are values: frozen, checked, and identified by a hash that depends on the value alone."""

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.base import Config, canonical_json
from isobyte.config.family import BltFamily, FlatFamily
from isobyte.config.patching import StaticPatching
from isobyte.config.run import RunConfig
from isobyte.config.sizes import SMDM, family_shape, shape
from isobyte.config.study import DesignConfig, StudyConfig
from isobyte.errors import UserError

RUN: dict[str, Any] = {
    "representation": {"kind": "bpe", "vocab_size": 512},
    "objective": {"kind": "masked", "schedule": {"kind": "polynomial", "power": 2.0}, "random_length": 0.01},
    "backbone": {"kind": "flat", "layers": 4, "width": 64, "heads": 4, "kv_heads": 2},
    "data": {"corpus": {"kind": "synthetic", "law": "zipf"}, "heldout_every": 7},
    "train": {
        "window": 128,
        "batch": 16,
        "steps": 100,
        "optimizer": {"lr": 0.003, "betas": [0.9, 0.98]},
        "schedule": {"kind": "wsd", "decay": 0.3},
        "micro_batch": 4,
    },
    "evaluate": {"max_bytes": 4096, "passes": 8},
}
STUDY: dict[str, Any] = {
    "name": "tiny",
    "designs": [
        {
            "name": name,
            "representation": {"kind": "bytes"},
            "objective": {"kind": name},
            "tuning": {"window": 64, "batch": 8, "lr": 0.01},
        }
        for name in ("ar", "masked")
    ],
    "budgets": [1e9, 2e9],
    "grid": {"sizes": ["w32", "w48", "w64"]},
    "data": {},
}
PATCHING = {"kind": "entropy", "scorer": {"kind": "ngram"}, "mean_length": 4.0}
FAMILIES: dict[str, Any] = STUDY | {
    "designs": [STUDY["designs"][0] | {"backbone": {"kind": "blt", "patching": PATCHING, "hash_sizes": [3, 5]}}]
}
WINDOWED: dict[str, Any] = RUN | {"objective": {"kind": "ar"}}
PARTS = dict.fromkeys(("encoder", "latent", "decoder"), RUN["backbone"])
PACKED: dict[str, Any] = RUN | {
    "representation": {"kind": "bytes"},
    "objective": {"kind": "ar"},
    "backbone": {"kind": "blt", **PARTS, "patching": PATCHING},
    "train": RUN["train"] | {"packing": "patches", "patches": 8},
}
ELSEWHERE = ("attention_window", "packing", "patches")
"""Of no use to RUN; those of WINDOWED and PACKED are. `packing` and `patches` only change together."""

DIAL = {
    "name": "d", "turns": "x", "reference": STUDY["designs"][0]["name"],
    "positions": [{"at": at, "design": design["name"]} for at, design in enumerate(STUDY["designs"][:2])],
}  # fmt: skip
CLAIM = {
    "kind": "contrast", "name": "h", "claim": "c", "overturned": "o",
    "first": [STUDY["designs"][0]["name"]] * 2, "second": [STUDY["designs"][1]["name"]] * 2,
}  # fmt: skip

Path = tuple[str | int, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every plain value of a config's JSON, but the kinds, which decide what the others are."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if key != "kind":
                yield from leaves(item, (*path, key))
    else:
        yield path, value


def changed(data: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(data)
    node: Any = data
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return data


def other_values(value: Any) -> list[Any]:
    """Values of which at least one is as valid as `value` in its place."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, float):
        return [value / 2, value + 0.25, 0.5]
    if isinstance(value, int):
        return [value * 2, value + 1, value + 2, value - 1]
    if value is None:
        return [2, 0.5, "x", {"kind": "stride"}, STUDY["budgets"][:1]]
    if isinstance(value, str):
        return [
            "masked", "iid", "markov", "fp32", "w24", "uniform", "all", "first", "monotonic", "embedding", value + "x",
        ]  # fmt: skip
    return [[1.0, 2.0], {"masked": "w64"}, ["words"], [DIAL], [CLAIM]]


FIELDS = [
    pytest.param(kind, given_data, path, value, id=f"{kind.__name__}.{'.'.join(map(str, path))}")
    for kind, given_data in ((RunConfig, RUN), (StudyConfig, STUDY), (BltFamily, FAMILIES["designs"][0]["backbone"]))
    for path, value in leaves(kind.model_validate(given_data).model_dump(mode="json"))
    if path[-1] not in ELSEWHERE
]
PERMUTED: dict[str, Any] = RUN | {"permutation": {"kind": "nearby", "width": 2}}
FIELDS += [
    pytest.param(RunConfig, PERMUTED, ("permutation", name), value, id=f"permutation.{name}")
    for name, value in (("seed", 0), ("width", 2), ("fresh", False), ("carry", False))
]
FIELDS.append(pytest.param(RunConfig, WINDOWED, ("backbone", "attention_window"), None, id="attention_window"))
DIGITS: dict[str, Any] = RUN | {"representation": {"kind": "digits", "base": 2}}
FIELDS.append(pytest.param(RunConfig, DIGITS, ("representation", "base"), 2, id="representation.base"))
FIELDS.append(pytest.param(RunConfig, PACKED, ("train", "patches"), 8, id="patches"))


@pytest.mark.parametrize(("kind", "given_data", "path", "value"), FIELDS)
def test_every_field_is_part_of_the_identity(
    kind: type[Config], given_data: dict[str, Any], path: Path, value: Any
) -> None:
    config = kind.model_validate(given_data)
    data = config.model_dump(mode="json")
    others = []
    for candidate in other_values(value):
        try:
            others.append(kind.model_validate(changed(data, path, candidate)))
        except ValidationError:
            continue
    others = [other for other in others if other != config]
    assert others, f"no other valid value found for {path}"
    assert all(other.content_hash() != config.content_hash() for other in others)


@st.composite
def shuffled(draw: st.DrawFn, value: Any) -> Any:
    """The same value, its keys in another order and its numbers in another spelling."""
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value)))
        return {key: draw(shuffled(value[key])) for key in keys}
    if isinstance(value, list):
        return [draw(shuffled(item)) for item in value]
    if isinstance(value, float):
        spellings = [value, float(f"{value:.17e}"), float(repr(value))]
        return draw(st.sampled_from(spellings + ([int(value)] if value.is_integer() else [])))
    return value


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_key_order_and_spelling_do_not_matter(data: st.DataObject) -> None:
    for kind, given_data in ((RunConfig, RUN), (StudyConfig, STUDY), (StudyConfig, FAMILIES)):
        config = kind.model_validate(given_data)
        again = kind.model_validate(data.draw(shuffled(config.model_dump(mode="json"))))
        assert again == config
        assert again.canonical_json() == config.canonical_json()
        assert again.content_hash() == config.content_hash()


def test_defaults_spelled_out_are_the_same_run() -> None:
    config = RunConfig.model_validate(RUN)
    assert "precision" not in RUN["train"]
    assert RunConfig.model_validate_json(config.canonical_json()) == config
    assert RunConfig.model_validate_json(config.canonical_json()).content_hash() == config.content_hash()


class Sample(Config):
    number: float
    name: str = "é"
    parts: tuple[float, ...] = ()


numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(numbers, numbers, st.lists(numbers, max_size=2))
def test_equal_values_and_only_those_share_a_hash(a: float, b: float, parts: list[float]) -> None:
    one, two = Sample(number=a, parts=tuple(parts)), Sample(number=b, parts=tuple(parts))
    assert (one.content_hash() == two.content_hash()) == (one == two)
    assert Sample.model_validate_json(one.canonical_json()) == one


def test_canonical_form_is_pinned() -> None:
    """The form is the identity of every run on disk: it may not drift."""
    assert (
        canonical_json({"b": (1e-3, 1e22), "a": {"z": None, "é": True}})
        == '{"a":{"z":null,"é":true},"b":[0.001,1e+22]}'
    )
    sample = Sample(number=1, parts=(-0.0, 0.1))
    assert sample.canonical_json() == '{"name":"é","number":1.0,"parts":[0.0,0.1]}'
    assert sample.content_hash() == "7dd67b61088a3643"


def test_configs_are_frozen() -> None:
    config = RunConfig.model_validate(RUN)
    with pytest.raises(ValidationError, match="frozen"):
        config.backbone.layers = 5
    with pytest.raises(ValidationError, match="frozen"):
        config.train.optimizer.lr = 1.0
    assert hash(config) == hash(RunConfig.model_validate(RUN))


@pytest.mark.parametrize(
    "path",
    [
        ("x",),
        ("train", "x"),
        ("train", "optimizer", "x"),
        ("objective", "schedule", "x"),
        ("backbone", "x"),
        ("data", "x"),
    ],
    ids=".".join,
)
def test_unknown_fields_are_refused_where_they_stand(path: Path) -> None:
    with pytest.raises(ValidationError, match="x\n  Extra inputs"):
        RunConfig.model_validate(changed(RUN, path, 1))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("backbone", "heads"), 5, "does not divide into 5 heads"),
        (("backbone", "heads"), 64, "odd"),
        (("backbone", "kv_heads"), 3, "key-value"),
        (("backbone", "layers"), 0, "greater than 0"),
        (("backbone", "rope_base"), math.inf, "finite"),
        (("train", "micro_batch"), 5, "multiple of micro_batch"),
        (("train", "micro_batch"), 32, "multiple of micro_batch"),
        (("train", "optimizer", "lr"), 0, "greater than 0"),
        (("train", "optimizer", "lr"), math.nan, "finite"),
        (("train", "optimizer", "betas"), [0.9, 1.0], "less than 1"),
        (("train", "precision"), "fp8", "fp32"),
        (("evaluate", "passes"), 7, "even"),
        (("objective", "random_length"), 1.5, "less than or equal to 1"),
        (("objective", "schedule", "power"), 0, "greater than 0"),
        (("objective", "kind"), "maskd", "expected tags"),
        (("representation", "vocab_size"), None, "vocab_size"),
    ],
)
def test_bad_values_are_refused_with_a_reason(path: Path, value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RunConfig.model_validate(changed(RUN, path, value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("designs", 1, "name"), "ar", "share a name"),
        (("designs", 1, "name"), "A b", "pattern"),
        (("budgets",), [2e9, 1e9], "ascending"),
        (("budgets",), [1e9, 1e9], "distinct"),
        (("budgets",), [], "at least 1"),
        (("grid", "centre"), {"nobody": "w32"}, "no design"),
        (("grid", "centre"), {"ar": "w96"}, "outside grid.sizes"),
    ],
)
def test_bad_studies_are_refused_with_a_reason(path: Path, value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StudyConfig.model_validate(changed(STUDY, path, value))


@given(st.integers(0, 4096))
def test_a_width_names_a_valid_shape_of_that_width_or_is_refused(width: int) -> None:
    try:
        found = shape(f"w{width}")
    except UserError:
        found = None
    if found is None:
        assert width % 32 or width == 0
    else:
        assert found.width == width
        assert FlatConfig.model_validate(found.model_dump()) == found


@pytest.mark.parametrize("name", SMDM)
def test_every_rung_of_the_ladder_is_a_valid_shape(name: str) -> None:
    layers, width, heads = SMDM[name]
    found = shape(name)
    assert (found.layers, found.width, found.heads) == (layers, width, heads)


@pytest.mark.parametrize("name", ["48m", "w", "w-3", "49M", ""])
def test_unknown_sizes_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="unknown size"):
        shape(name)


def test_configs_are_plain_json() -> None:
    json.loads(RunConfig.model_validate(RUN).canonical_json())


@pytest.mark.parametrize("width", [8, 12, 16, 20, 24, 28, 32, 48, 64, 96, 128, 256, 512])
def test_the_dial_of_patched_networks_is_about_that_of_flat_ones(width: int) -> None:
    family = BltFamily(patching=StaticPatching(), local_window=7, hash_vocab=5)
    flat, blt = shape(f"w{width}"), family_shape(family, f"w{width}")
    assert isinstance(blt, BltConfig)
    assert blt.latent == flat
    assert blt.encoder.width == blt.decoder.width == width // 2
    assert (blt.encoder.layers, blt.decoder.layers, blt.latents) == (1, flat.layers, 2)
    assert blt.encoder.attention_window == blt.decoder.attention_window == 7
    assert blt.encoder.rope_base == blt.decoder.rope_base == flat.rope_base
    assert family_shape(FlatFamily(), f"w{width}", tied=True) == flat.model_copy(update={"tied": True})


@pytest.mark.parametrize("change", [{"objective": {"kind": "masked"}}, {"tied": True}])
def test_designs_that_patches_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    design = FAMILIES["designs"][0]
    DesignConfig.model_validate(design)
    with pytest.raises(ValidationError, match="blt"):
        DesignConfig.model_validate(design | change)
