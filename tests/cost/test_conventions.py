"""Every convention against figures worked out by hand, and the published ladder's sizes."""

import pytest

from isobyte.config.backbone import FlatConfig
from isobyte.config.objective import ArConfig, MaskedConfig
from isobyte.config.run import RunConfig
from isobyte.config.sizes import SMDM, shape
from isobyte.cost.conventions import CONVENTIONS
from isobyte.cost.design import run_cost
from isobyte.cost.parameters import flat_parameters

LAYERS, D, T, V, HEADS = 2, 8, 10, 5, 2
SHAPE = FlatConfig(layers=LAYERS, width=D, heads=HEADS)
# 16 L d^2 + (2 L + 1) d, as published for the ladder.
N = 16 * 2 * 64 + 5 * 8
WEIGHTS = 16 * 2 * 64

BY_HAND = {
    #                causal, bidirectional; training FLOPs per symbol
    "exact": (6 * (WEIGHTS + 5 * 8) + 3 * 4 * 2 * 8 * 5.5, 6 * (WEIGHTS + 5 * 8) + 3 * 4 * 2 * 8 * 10),
    "executed": (6 * (WEIGHTS + 5 * 8) + 3 * 4 * 2 * 8 * 10,) * 2,
    "exact-no-patcher": (6 * (WEIGHTS + 5 * 8) + 3 * 4 * 2 * 8 * 5.5, 6 * (WEIGHTS + 5 * 8) + 3 * 4 * 2 * 8 * 10),
    "6N": (6 * N,) * 2,
    "6N+head": (6 * (N + 40),) * 2,
    "6N+attention": (6 * (N + 40) + 6 * 10 * 8 * 2,) * 2,
    "deepseek": (72 * 2 * 64 + 12 * 2 * 8 * 10,) * 2,
    "gidd": (3 * (2 * (6 * 64 + 2 * 80 + 3 * 20 + 2 * 80 + 2 * 64 + 16 * 64) + 2 * 40),) * 2,
    "blt": (6 * N + 3.5 * 4 * 2 * 10 * 8 / 2, 6 * N + 3.5 * 4 * 2 * 10 * 8),
    "blt-paper": (3 * (2 * (2 * 2 * 8 * 32 + 4 * 8 * 5.5 + 4 * 2 * 64) + 2 * 8 * 5),) * 2,
}


def test_every_convention_is_checked() -> None:
    assert set(BY_HAND) == set(CONVENTIONS)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_convention_by_hand(name: str) -> None:
    causal, bidirectional = BY_HAND[name]
    assert CONVENTIONS[name](SHAPE, ArConfig(), V, T) == pytest.approx(causal, rel=1e-12)
    assert CONVENTIONS[name](SHAPE, MaskedConfig(), V, T) == pytest.approx(bidirectional, rel=1e-12)


def test_6n_counts_the_parameters_that_a_run_reports() -> None:
    told = MaskedConfig(time_conditioning=True)
    parameters = flat_parameters(SHAPE, MaskedConfig(time_conditioning=True), vocab=V)
    assert CONVENTIONS["6N"](SHAPE, told, V, T) == 6 * parameters.N > 6 * N


def test_conventions_of_the_largest_rung_by_hand() -> None:
    """1233M, 2,048 symbols, 32,000 ids: figures in units that a slip of a factor two would show in."""
    rung = shape("1233M")
    per_symbol = {name: rule(rung, ArConfig(), 32_000, 2048) for name, rule in CONVENTIONS.items()}
    assert per_symbol["6N"] == 6 * 1_233_213_184
    assert per_symbol["6N+head"] == 6 * (1_233_213_184 + 57_344_000)
    assert per_symbol["deepseek"] == 72 * 24 * 1792**2 + 12 * 24 * 1792 * 2048 == 6_606_028_800
    assert per_symbol["blt"] - per_symbol["6N"] == 3.5 * 4 * 24 * 2048 * 1792 / 2 == 616_562_688
    assert per_symbol["6N+attention"] - per_symbol["6N+head"] == 6 * 2048 * 1792 * 24 == 528_482_304
    assert per_symbol["executed"] - per_symbol["exact"] == 3 * 4 * 24 * 1792 * (2048 - 2049 / 2)


@pytest.mark.parametrize(("name", "published"), [("48M", 47_786_688), ("1233M", 1_233_213_184)])
def test_the_ends_of_the_ladder_are_as_published(name: str, published: int) -> None:
    assert published == flat_parameters(shape(name), ArConfig(), vocab=32_000).N


@pytest.mark.parametrize("name", SMDM)
def test_every_rung_of_the_ladder_has_its_formula_and_its_name(name: str) -> None:
    layers, width, _ = SMDM[name]
    n = flat_parameters(shape(name), ArConfig(), vocab=256).N
    formula = 16 * layers * width**2 + (2 * layers + 1) * width
    assert (n == formula) == (name != "75M")
    assert abs(n / 1e6 - float(name[:-1])) < 1


def test_the_cost_of_a_run_is_that_of_its_parts() -> None:
    config = RunConfig.model_validate(
        {
            "representation": {"kind": "bytes"},
            "objective": {"kind": "ar"},
            "backbone": {"kind": "flat", "layers": 2, "width": 8, "heads": 2},
            "data": {},
            "train": {"window": 10, "batch": 6, "steps": 3, "optimizer": {"lr": 0.1}},
        }
    )
    cost = run_cost(config)
    assert (
        cost.per_step == 6 * cost.flops.training == pytest.approx(60 * CONVENTIONS["exact"](SHAPE, ArConfig(), 256, 10))
    )
    assert cost.per_symbol == cost.conventions["exact"]
    assert cost.parameters.embedding == 257 * 8
    assert run_cost(config, vocab=300).parameters.embedding == 301 * 8
