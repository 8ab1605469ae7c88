"""What whole patches cost: by hand, as executed, as the network has them, as a run has seen them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_blt import BATCH, blt
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from isobyte.backbone.blt.patchwise import PatchwiseNetwork
from isobyte.backbone.mask import PatchesHidden
from isobyte.config.backbone import BltConfig
from isobyte.config.objective import ArConfig, Objective, PatchArConfig, PatchMaskedConfig
from isobyte.config.patching import BytePatching, SpacePatching, StaticPatching
from isobyte.config.recipes import load_recipe
from isobyte.config.run import RunConfig
from isobyte.cost.blt import blt_parameters, window_patches
from isobyte.cost.conventions import CONVENTIONS
from isobyte.cost.design import bytes_per_patch, run_cost
from isobyte.cost.flops import Patches
from isobyte.cost.network import network_flops, network_parameters
from isobyte.data.prepare import prepare
from isobyte.objective.base import cost_sum
from isobyte.objective.draw import Draw
from isobyte.objective.network import Model, build_network, initialise
from isobyte.objective.training import training_questions
from isobyte.train.loop import train
from isobyte.train.runtime import Runtime
from tiny import run_data

MASKED, LEFT = PatchMaskedConfig(), PatchArConfig()
OBJECTIVES = pytest.mark.parametrize("objective", [MASKED, LEFT], ids=["masked", "ar"])


def shape(**fields: Any) -> BltConfig:
    return blt(hash_sizes=(), **fields)


SHAPES = pytest.mark.parametrize(
    "shape",
    [
        shape(),
        shape(window=3),
        shape(decoder_input="embedding", latents=1, latent=8, window=2),
        shape(layers=(2, 1, 3), decoder_cross_layers="first", encoder_cross_layers="all", latents=3, latent=24),
        shape(patching=StaticPatching(size=3, max_length=2), cross_residual="doubled"),
        shape(patching=BytePatching(), decoder_input="embedding"),
    ],
    ids=["plain", "window", "embedding", "layers", "capped", "bytes"],
)


def net(shape: BltConfig, objective: Objective) -> Model:
    model = build_network(shape, objective, 256, "explicit")
    initialise(model, 0)
    return model


def loss(objective: Objective, model: Model, window: int) -> Tensor:
    x_BT = torch.randint(256, (BATCH, window), generator=torch.Generator().manual_seed(0))
    (question,) = training_questions(objective, x_BT, model, Draw(0, 0, slice(0, BATCH), BATCH))
    return cost_sum(model, question)


def test_by_hand() -> None:
    """Widths 8 and 12, two vectors a patch, two bytes a patch and eight of them; windows of one byte and of none."""
    made = shape(latent=12, patching=StaticPatching(size=2), window=1)
    both, left = (network_flops(made, objective, vocab=256, window=8) for objective in (MASKED, LEFT))
    T, M = 8, 4
    for flops in (both, left):
        assert flops.encoder == (T + 1) * 2 * (4 * 64 + 3 * 8 * 20)
        assert flops.decoder == (T + M) * 2 * 2 * (4 * 64 + 3 * 8 * 32)
        assert flops.latent == (M + 1) * 2 * 2 * (2 * 144 + 2 * 12 * 6 + 3 * 12 * 48)
        assert flops.head == (T + M) * 2 * 257 * 8
        projections = (M + 1) * 2 * (8 * 16 + 16 * 12 + 12 * 16)
        pooling = 2 * (M + 1) * 2 * (2 * 64) + (T + 1) * 2 * (2 * 64) + (T + 1) * 2 * 8 * 4
        reading = (T + M) * 2 * (2 * 64) + 2 * (M + 1) * 2 * (2 * 64) + (T + M) * 2 * 8 * 4
        assert flops.cross == projections + pooling + 2 * reading
        executed = 4 * 8 * 81 + 2 * 4 * 12 * 25 + 2 * 4 * 8 * 144
        assert flops.attention_executed == executed
    local = 4 * 8 * 9 + 2 * 4 * 8 * 12
    assert both.attention == local + 2 * 4 * 12 * 25
    assert left.attention == local + 2 * 4 * 12 * 15


@SHAPES
@OBJECTIVES
@pytest.mark.parametrize("window", [1, 2, 9, 12])
def test_flops_are_those_executed(shape: BltConfig, objective: Objective, window: int) -> None:
    """On the path that shows every product to the counter; a last patch that is cut is a patch."""
    model = net(shape, objective)
    flops = network_flops(shape, objective, vocab=256, window=window)
    executed = flops.forward - flops.attention + flops.attention_executed
    with FlopCounterMode(display=False) as forward:
        cost = loss(objective, model, window)
    assert forward.get_total_flops() == BATCH * executed
    with FlopCounterMode(display=False) as backward:
        cost.backward()
    first_left = {n for n, p in model.named_parameters() if p.grad is None}
    assert not first_left
    assert backward.get_total_flops() == 2 * BATCH * executed
    assert flops.training == 3 * flops.forward
    assert flops.training_executed == 3 * executed
    named = flops.breakdown()
    assert sum(named.values()) - named["attention_executed"] == pytest.approx(flops.forward, rel=1e-12)


@OBJECTIVES
@pytest.mark.parametrize("reach", [None, 1, 2, 3, 9])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_useful_pairs_are_those_of_the_masks(objective: Objective, size: int, reach: int | None) -> None:
    """Where all patches are as long."""
    made = shape(patching=StaticPatching(size=size), window=reach)
    starts = torch.arange(12) % size == 0
    dense = PatchesHidden(starts[None], None).dense(12 + 12 // size)[0, 0]
    near = torch.ones_like(dense).triu(1 - (reach or 99))
    pairs = int((dense & near).sum())
    bos, latents = 1, 1 + 12 // size
    encoder = int((dense & near)[:12, :12].sum()) + bos
    attended = latents * (latents + 1) // 2 if objective is LEFT else latents**2
    flops = network_flops(made, objective, vocab=256, window=12)
    assert flops.attention == 4 * 8 * encoder + 2 * 4 * 8 * pairs + 2 * 4 * 16 * attended


@SHAPES
@OBJECTIVES
def test_parameters_are_those_of_the_model(shape: BltConfig, objective: Objective) -> None:
    model, counted = net(shape, objective), network_parameters(shape, objective, vocab=256)
    own = {name: p.numel() for name, p in model.named_parameters()}
    assert counted.N_total == sum(own.values())
    beside = own["first"] + own.get("unseen", 0)
    assert ("unseen" in own) == (objective is MASKED)
    assert counted.embedding == beside + sum(n for name, n in own.items() if name.endswith("embedding.weight"))
    assert counted.N == blt_parameters(shape).N


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("longest", [None, 1, 2, 10])
@pytest.mark.parametrize("window", [1, 2, 3, 9, 30])
def test_static_patches_are_those_of_the_network(size: int, longest: int | None, window: int) -> None:
    rule = StaticPatching(size=size, max_length=longest)
    model = build_network(shape(patching=rule), MASKED, 256)
    counted = int(model.left_to_right(torch.full((1, window), 70)).count_B)  # pyright: ignore[reportAttributeAccessIssue]
    assert window_patches(MASKED, rule, window) == Patches.of(1 + counted)


def test_expected_patches() -> None:
    assert window_patches(MASKED, SpacePatching(mean_length=4), 12).count == 4
    assert window_patches(MASKED, SpacePatching(mean_length=4), 2).count == 2
    assert window_patches(MASKED, SpacePatching(mean_length=0.5), 12).count == 13
    assert window_patches(ArConfig(), SpacePatching(mean_length=4), 13).count == 4


def test_bytes_per_patch_of_what_patches_hold() -> None:
    """Twelve bytes in patches of three: all of them are in patches, or all but the last, which is not shown."""
    run = load_recipe("patch-masked", RunConfig)
    data = run.model_dump(mode="json")
    data["backbone"]["patching"] = {"kind": "static", "size": 3}
    data["train"]["window"] = 12
    whole = RunConfig.model_validate(data)
    causal = RunConfig.model_validate(data | {"objective": {"kind": "ar"}})
    assert bytes_per_patch(whole, 36, 15, 3) == pytest.approx(3)
    assert run_cost(whole).bytes_per_patch == pytest.approx(3)
    assert bytes_per_patch(causal, 36, 3 * (11 / 3 + 1), 3) == pytest.approx(3)
    assert run_cost(causal).bytes_per_patch == pytest.approx(11 / 3)


def test_conventions_see_first_cells_as_more_rows_of_the_decoder() -> None:
    made = shape(latent=12)
    told = {name: rule(made, MASKED, 256, 12, Patches.of(4)) for name, rule in CONVENTIONS.items()}
    plain = {name: rule(made, ArConfig(), 256, 12, Patches.of(4)) for name, rule in CONVENTIONS.items()}
    decoder = 2 * (4 * 64 + 3 * 8 * 32 + 2 * 8) + 8
    assert told["6N"] - plain["6N"] == pytest.approx(6 * decoder * 3 / 12)
    flops = network_flops(made, MASKED, vocab=256, window=12, patches=Patches.of(4))
    assert told["exact"] == pytest.approx(flops.training / 12)
    assert told["executed"] == pytest.approx(flops.training_executed / 12)


@OBJECTIVES
def test_a_run_counts_the_patches_that_it_has_seen(tmp_path: Path, objective: Objective) -> None:
    """FLOPs of a run are those of its windows, one by one."""
    made = blt(hash_sizes=(), patching=SpacePatching(max_length=5))
    steps, batch, window = 3, 4, 16
    config = RunConfig.model_validate(
        run_data(steps=steps)
        | {"objective": objective.model_dump(mode="json"), "backbone": made.model_dump(mode="json")}
    )
    prepared = prepare(config.data, config.representation, tmp_path / "data")
    seen: list[Tensor] = []
    grouping = PatchwiseNetwork.grouping
    monkey = pytest.MonkeyPatch()

    def watched(self: PatchwiseNetwork, x_BT: Tensor) -> Tensor:
        seen.append(grouping(self, x_BT))
        return seen[-1]

    monkey.setattr("isobyte.backbone.blt.patchwise.PatchwiseNetwork.grouping", watched)
    result = train(config, prepared, tmp_path / "run", runtime=Runtime(threads=1))
    monkey.undo()
    trained = [starts for starts in seen if len(starts) == batch and starts.shape[1] == window][:steps]
    counts = torch.cat([starts.sum(1) + 1 for starts in trained]).tolist()
    assert len(counts) == steps * batch
    flops = 0.0
    for step in range(steps):
        rows = counts[step * batch : (step + 1) * batch]
        mean = Patches(sum(rows) / batch, sum(m * (m + 1) / 2 for m in rows) / batch)
        flops += batch * network_flops(made, objective, vocab=256, window=window, patches=mean).training
    assert result["flops"] == pytest.approx(flops, rel=1e-9)
    assert result["bytes_per_patch"] == pytest.approx(steps * batch * window / (sum(counts) - len(counts)))
