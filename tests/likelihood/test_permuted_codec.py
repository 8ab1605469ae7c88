"""Files of runs that read in another order decode; what cannot be undone makes none, and says whose number it has."""

import numpy as np
import pytest
import torch

from isobyte.config.backbone import FlatConfig
from isobyte.config.objective import AnyOrderConfig, ArConfig, BlockConfig, MaskedConfig, Objective
from isobyte.config.permutation import Permutation, ShuffledBlocks, ShuffledNearby, ShuffledWindow, Strided
from isobyte.likelihood.codec import Codec
from isobyte.likelihood.estimator import Settings, build_estimator
from isobyte.likelihood.evaluate import evaluate
from isobyte.likelihood.route import plan_route
from isobyte.objective.digits import objective_log_probs
from isobyte.objective.permutation import Reading
from laws.small import random_net

SHAPE = FlatConfig(layers=2, width=16, heads=2)
WINDOW = 8
PERMUTATIONS: dict[str, Permutation] = {
    "window": ShuffledWindow(),
    "window-fresh": ShuffledWindow(fresh=True),
    "window-carried": ShuffledWindow(carry=True),
    "nearby": ShuffledNearby(width=3),
    "nearby-fresh": ShuffledNearby(width=3, fresh=True),
    "nearby-carried": ShuffledNearby(width=3, carry=True),
    "blocks": ShuffledBlocks(width=3),
    "blocks-fresh": ShuffledBlocks(width=3, fresh=True),
    "blocks-carried": ShuffledBlocks(width=3, carry=True),
    "stride": Strided(stride=3),
    "stride-carried": Strided(stride=3, carry=True),
}
OBJECTIVES: dict[str, Objective] = {
    "ar": ArConfig(),
    "masked": MaskedConfig(),
    "block": BlockConfig(block=3),
    "block-1": BlockConfig(block=1),
    "any_order": AnyOrderConfig(within=2),
}
NETS = {name: random_net(256, shape=SHAPE, objective=objective).eval() for name, objective in OBJECTIVES.items()}


def codec(name: str, permutation: Permutation, group: int = 2) -> Codec:
    objective = OBJECTIVES[name]
    route = plan_route(objective, SHAPE, 256, WINDOW, group=group)
    return Codec(objective, NETS[name], route, reading=Reading(permutation, WINDOW))


CASES = [
    pytest.param(objective, permutation, id=f"{objective}-{permutation}")
    for objective in OBJECTIVES
    for permutation in PERMUTATIONS
    if not (objective == "any_order" and permutation.endswith("carried"))
]


@pytest.mark.parametrize(("objective", "permutation"), CASES)
@pytest.mark.parametrize("length", [3, 29])
def test_bits_decode_to_the_text(objective: str, permutation: str, length: int) -> None:
    """Of less than a window, and of groups of whole ones with a shorter last one."""
    text = np.random.default_rng(length).integers(0, 256, length)
    coder = codec(objective, PERMUTATIONS[permutation])
    payload, spent = coder.encode(text)
    assert (coder.decode(payload, length) == text).all()
    assert len(payload) <= spent.bits / 8 + 9
    blind = Codec(coder.objective, coder.network, coder.route).code_length(text).model_bits
    assert length < WINDOW or spent.model_bits != pytest.approx(blind, rel=1e-6), "it was not read in another order"


@torch.no_grad()
@pytest.mark.parametrize("objective", ["ar", "block-1"])
@pytest.mark.parametrize("permutation", PERMUTATIONS)
def test_an_exact_likelihood_is_the_code_length(objective: str, permutation: str) -> None:
    text = np.random.default_rng(1).integers(0, 256, 3 * WINDOW + 5)
    reading, config = Reading(PERMUTATIONS[permutation], WINDOW), OBJECTIVES[objective]
    estimator = build_estimator(config, Settings(2, 0, 256, reading=reading))
    windows = [
        (text[: 2 * WINDOW].reshape(2, WINDOW), np.full(2, WINDOW)),
        (text[2 * WINDOW : 3 * WINDOW][None], np.full(1, WINDOW)),
        (text[3 * WINDOW :][None], np.full(1, 5)),
    ]
    found = evaluate(objective_log_probs(config, NETS[objective]), estimator, windows)
    assert found.kind == "exact"
    assert found.source == "text"
    bits = [codec(objective, PERMUTATIONS[permutation], group).code_length(text).model_bits for group in (1, 2)]
    assert found.nats / np.log(2) == pytest.approx(bits[0], rel=1e-11)
    assert bits[0] == pytest.approx(bits[1], rel=1e-11)


def test_fresh_windows_are_numbered_through_the_text() -> None:
    """Equal windows of a text are read in unequal orders, and the same text again in the same ones."""
    text = np.tile(np.arange(WINDOW), 4)
    reading = Reading(ShuffledWindow(fresh=True), WINDOW)
    estimator = build_estimator(ArConfig(), Settings(2, 0, 256, reading=reading))
    log_probs = objective_log_probs(ArConfig(), NETS["ar"])
    nats = estimator.nats(log_probs, torch.from_numpy(text).view(4, WINDOW), 0)[:, 0]
    assert len(nats.unique()) == 4
    again = [estimator.nats(log_probs, torch.from_numpy(text[:WINDOW])[None], number)[0, 0] for number in range(4)]
    assert torch.stack(again).detach().numpy() == pytest.approx(nats.detach().numpy(), rel=1e-12)
