"""What blocks of masked cells beside the text cost: by hand, as executed, as the model has them."""

import math
from functools import partial

import pytest
import torch
from test_blt import BATCH, STATIC, blt, kept_bytes
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from isobyte.backbone import fused
from isobyte.backbone.attention import ATTENTION, sdpa
from isobyte.backbone.mask import CAUSAL, Blocked, Mask, MaskSpec, PatchBlocks
from isobyte.backbone.patching.patcher import Patcher
from isobyte.config.backbone import BltConfig
from isobyte.config.objective import ArConfig, BltDiffusionConfig
from isobyte.config.patching import BytePatching, StaticPatching
from isobyte.config.recipes import load_recipe
from isobyte.config.run import RunConfig
from isobyte.cost.blt import blt_parameters, expected_patches
from isobyte.cost.conventions import CONVENTIONS
from isobyte.cost.design import run_cost
from isobyte.cost.flops import Patches
from isobyte.cost.memory import network_memory
from isobyte.cost.network import network_flops, network_parameters
from isobyte.objective.base import cost_sum
from isobyte.objective.draw import Draw
from isobyte.objective.network import Model, build_network, initialise
from isobyte.objective.training import training_questions

AR = ArConfig()
SHAPES = pytest.mark.parametrize(
    "shape",
    [
        blt(),
        blt(decoder_input="embedding", latents=1, latent=8, hash_sizes=()),
        blt(layers=(2, 1, 3), decoder_cross_layers="first", latents=3, latent=12, window=3),
        blt(decoder_input="embedding", patching=BytePatching(), window=5),
        blt(patching=StaticPatching(size=3, max_length=2), cross_residual="doubled"),
    ],
    ids=["plain", "embedding", "window", "bytes", "capped"],
)
SIZES = pytest.mark.parametrize("size", [1, 4, 11])


def net(shape: BltConfig, objective: BltDiffusionConfig, attention: str = "explicit") -> Model:
    model = build_network(shape, objective, 256, attention)
    initialise(model, 0)
    return model


def loss(objective: BltDiffusionConfig, model: Model, window: int) -> torch.Tensor:
    x_BT = torch.randint(256, (BATCH, window), generator=torch.Generator().manual_seed(0))
    (question,) = training_questions(objective, x_BT, model, Draw(0, 0, slice(0, BATCH), BATCH))
    return cost_sum(model, question)


def test_by_hand() -> None:
    """Decoder of width 8, two layers, two vectors a patch, 9 bytes in 3 patches, blocks of 4 that begin all over."""
    flops = network_flops(blt(latent=12, window=3), BltDiffusionConfig(block=4), vocab=256, window=9)
    cells, text = (
        3 * 4,
        1 + 8 * 2 + 9 * 1,
    )  # places that begin at 1..9: their first cells see two bytes, their second one
    weights = 2 * 2 * (4 * 64 + 3 * 8 * 32) + 2 * (2 * 2 * 64 + 2 * 4 * 8) + 2 * 256 * 8
    assert flops.cells == cells * weights + 2 * 4 * 8 * (3 * 16 + 3 * text / 9)
    assert flops.cells_executed - cells * weights == pytest.approx(2 * 4 * 8 * (21 * 21 - 81))
    assert flops.forward - flops.cells == network_flops(blt(latent=12, window=3), AR, vocab=256, window=9).forward
    assert flops.training == 3 * flops.forward
    named = flops.breakdown()
    assert named["cells"] == flops.cells
    assert sum(named.values()) - named["attention_executed"] == pytest.approx(flops.forward, rel=1e-12)


@SHAPES
@SIZES
@pytest.mark.parametrize("window", [1, 10])
def test_flops_are_those_executed(shape: BltConfig, size: int, window: int) -> None:
    """Attention and cells that stand for nothing included, on the path that shows every product to the counter."""
    objective = BltDiffusionConfig(block=size)
    model = net(shape, objective)
    flops = network_flops(shape, objective, vocab=256, window=window)
    executed = flops.forward - flops.attention + flops.attention_executed - flops.cells + flops.cells_executed
    with FlopCounterMode(display=False) as forward:
        cost = loss(objective, model, window)
    assert forward.get_total_flops() == pytest.approx(BATCH * executed, rel=1e-12)
    with FlopCounterMode(display=False) as backward:
        cost.backward()
    assert backward.get_total_flops() == pytest.approx(2 * BATCH * executed, rel=1e-12)
    assert flops.training_executed == pytest.approx(3 * executed, rel=1e-12)


@SIZES
@pytest.mark.parametrize("reach", [None, 1, 3, 8, 30])
def test_pairs_are_those_of_the_mask_where_blocks_begin_all_over(size: int, reach: int | None) -> None:
    shape = blt(patching=BytePatching(), window=reach)
    objective, T = BltDiffusionConfig(block=size), 12
    blocks = PatchBlocks.of(torch.ones(1, T + 1, dtype=torch.bool), size)
    seen = int(Blocked(T, blocks, reach).dense(T + T * size).sum()) - int(MaskSpec("causal", reach).dense(T).sum())
    whole = network_flops(shape, objective, vocab=256, window=T)
    pair = 2 * 4 * 8
    assert whole.cells_executed - whole.cells == pytest.approx(pair * ((T + T * size) ** 2 - T * T - seen))


@SHAPES
def test_parameters_are_those_of_the_model(shape: BltConfig) -> None:
    model, counted = net(shape, BltDiffusionConfig()), network_parameters(shape, BltDiffusionConfig(), vocab=256)
    own = {name: p.numel() for name, p in model.named_parameters()}
    assert counted.N_total == sum(own.values())
    tables = ("encoder.embedding.weight", "decoder.embedding.weight", "decoder.mask")
    assert counted.embedding == sum(own[name] for name in tables)
    plain = network_parameters(shape, AR, vocab=256)
    assert counted.N == plain.N
    assert counted.N_total - plain.N_total == 8 + (260 * 8 if shape.decoder_input == "encoder_hidden" else 0)


def test_the_published_sizes_pay_for_what_a_cell_goes_through() -> None:
    """Of the 1B model, attention and head apart: a cell goes through all of the decoder but what keys and values of
    latents are made by. Decoder rows multiply by 1 + B / 4."""
    run = load_recipe("blt-1b", RunConfig)
    assert isinstance(run.backbone, BltConfig)
    window, decoder = run.train.window, run.backbone.decoder
    patches, counted, D = Patches.of(window / 4), blt_parameters(run.backbone), decoder.width
    per_cell = counted.decoder - (2 * decoder.layers + 1) * D + decoder.layers * 2 * D * D
    for size in (4, 8, 16):
        flops = network_flops(run.backbone, BltDiffusionConfig(block=size), vocab=0, window=window, patches=patches)
        matrices = 2 * per_cell * patches.count * size
        attended = patches.count * size * decoder.layers * 4 * D * (run.backbone.latents + size + 512)
        assert flops.cells == pytest.approx(matrices + attended, rel=0.01)


def test_conventions_see_the_cells_as_more_rows_of_the_decoder() -> None:
    """9 bytes, patches of 3 bytes, blocks of 3: as many cells as bytes."""
    shape, objective = blt(latent=12, window=3, layers=(1, 2, 3)), BltDiffusionConfig(block=3)
    told = {name: rule(shape, objective, 256, 9, Patches.of(3)) for name, rule in CONVENTIONS.items()}
    plain = {name: rule(shape, AR, 256, 9, Patches.of(3)) for name, rule in CONVENTIONS.items()}
    decoder = 3 * (4 * 64 + 3 * 8 * 32 + 2 * 8) + 8
    assert told["6N"] - plain["6N"] == pytest.approx(6 * decoder)
    assert told["6N+head"] - plain["6N+head"] == pytest.approx(6 * (decoder + 256 * 8))
    assert told["deepseek"] - plain["deepseek"] == pytest.approx(72 * 3 * 64 + 12 * 3 * 8 * 3)
    transformer = 3 * 16 * 64 + 3 * (4 * 8 * 4 / 2 + 4 * 2 * 64) + 2 * 8 * 256
    cross = 3 * (4 * 8 * 3 / 2 + 2 * 2 * 64)  # two keys; no key or value is made for a cell
    assert told["blt-paper"] - plain["blt-paper"] == pytest.approx(3 * (transformer + cross))
    flops = network_flops(shape, objective, vocab=256, window=9, patches=Patches.of(3))
    assert told["exact"] == pytest.approx(flops.training / 9)
    assert told["executed"] == pytest.approx(flops.training_executed / 9)


def test_a_run_pays_for_its_cells() -> None:
    run = load_recipe("blt-d", RunConfig)
    plain = RunConfig.model_validate(run.model_dump(mode="json") | {"objective": {"kind": "ar"}})
    ours, theirs = run_cost(run), run_cost(plain)
    assert ours.per_step - theirs.per_step == pytest.approx(3 * run.train.batch * ours.flops.cells)
    assert theirs.flops.cells == 0
    more, less = ours.memory, theirs.memory
    assert more.activations > less.activations
    assert math.isclose(more.weights - less.weights, 4 * (260 + 1) * 48)


def test_static_patches_make_as_many_blocks_as_are_counted() -> None:
    for window in (1, 2, 9, 10):
        starts = Patcher(STATIC).starts(torch.full((2, window), 70))
        assert PatchBlocks.of(starts, 3).begins_BJ.shape[1] == expected_patches(STATIC, window).count


@pytest.mark.parametrize(("size", "latents", "window"), [(4, 2, None), (8, 1, 16), (16, 4, 32)])
def test_activations_are_about_what_autograd_keeps(
    monkeypatch: pytest.MonkeyPatch, size: int, latents: int, window: int | None
) -> None:
    """By FlexAttention, which has no backward pass on a CPU: a kernel that keeps as much stands in for it."""

    def stand_in(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
        return sdpa(q, k, v, CAUSAL if isinstance(mask, Blocked) else mask)

    monkeypatch.setattr(fused, "suits", lambda _x: False)
    monkeypatch.setitem(ATTENTION, "stand-in", stand_in)
    monkeypatch.setattr("test_blt.loss", partial(loss, BltDiffusionConfig(block=size)))
    shape, T = blt(local=32, latent=64, layers=(1, 3, 4), latents=latents, window=window), 128
    kept = kept_bytes(net(shape, BltDiffusionConfig(), "stand-in"), T)
    parameters = blt_parameters(shape, cells=True)
    estimate = network_memory(shape, parameters, vocab=256, window=T, micro_batch=BATCH, block=size)
    rows = T + 32 * size
    assert estimate.activations - 4 * 256 * BATCH * rows == pytest.approx(kept, rel=0.15)
    plain = network_memory(shape, parameters, vocab=256, window=T, micro_batch=BATCH)
    assert estimate.activations > plain.activations * (1 + 0.5 * size / 4)
