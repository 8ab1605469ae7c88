"""Costs of the Byte Latent Transformer: by hand, as executed, as the model has them, as published."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.flat import FlatModel
from isobyte.backbone.mask import MaskSpec
from isobyte.backbone.patching.patcher import Patcher
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.family import BltFamily
from isobyte.config.objective import ArConfig
from isobyte.config.patching import (
    BytePatching,
    EntropyPatching,
    FlatScorer,
    NgramScorer,
    Patching,
    SpacePatching,
    StaticPatching,
)
from isobyte.config.recipes import load_recipe
from isobyte.config.run import RunConfig
from isobyte.config.sizes import BLT, blt_shape
from isobyte.cost.blt import blt_parameters, expected_patches
from isobyte.cost.conventions import CONVENTIONS
from isobyte.cost.flops import Patches, causal_pairs, cells
from isobyte.cost.memory import network_memory
from isobyte.cost.network import network_flops, network_parameters
from isobyte.errors import UserError
from isobyte.objective.base import cost_sum
from isobyte.objective.draw import Draw
from isobyte.objective.network import build_network, initialise
from isobyte.objective.training import training_questions

AR, BATCH = ArConfig(), 3
STATIC = StaticPatching(size=4)
SCORER = FlatConfig(layers=1, width=6, heads=1, ffn=10, attention_window=3)


def blt(local: int = 8, latent: int = 16, layers: tuple[int, int, int] = (1, 2, 2), **fields) -> BltConfig:
    """A small shape; `window` is that of the local layers."""
    window = fields.pop("window", None)
    encoder, middle, decoder = layers
    settings = {"patching": STATIC, "hash_sizes": (3, 4), "hash_vocab": 11} | fields
    return BltConfig(
        encoder=FlatConfig(layers=encoder, width=local, heads=2, ffn=20, attention_window=window),
        latent=FlatConfig(layers=middle, width=latent, heads=2, kv_heads=1),
        decoder=FlatConfig(layers=decoder, width=local, heads=2, attention_window=window),
        **settings,
    )


SHAPES = pytest.mark.parametrize(
    "shape",
    [
        blt(),
        blt(latents=1, latent=8),
        blt(latents=3),
        blt(latents=3, latent=24, layers=(3, 1, 2), encoder_cross_layers="all", hash_functions=2),
        blt(layers=(2, 1, 3), decoder_cross_layers="first", latent=12, window=3, encoder_cross_heads=4),
        blt(document_mask=False, decoder_input="embedding", hash_sizes=(), cross_residual="doubled"),
        blt(patching=BytePatching(), latents=1, latent=12, window=2),
        blt(patching=StaticPatching(size=3, max_length=2)),
    ],
    ids=lambda s: (
        f"{s.encoder.layers}-{s.latent.layers}-{s.decoder.layers}k{s.latents}w{s.latent.width}{s.patching.kind}"
    ),
)


def net(shape: BltConfig, attention: str = "explicit") -> BltModel | FlatModel:
    model = build_network(shape, AR, 256, attention)
    initialise(model, 0)
    return model


def loss(model, window: int) -> torch.Tensor:
    x_BT = torch.randint(256, (BATCH, window), generator=torch.Generator().manual_seed(0))
    (question,) = training_questions(AR, x_BT, model, Draw(0, 0, slice(0, BATCH), BATCH))
    return cost_sum(model, question)


def test_flops_by_hand() -> None:
    """Widths 8 and 12, two vectors a patch, 9 bytes, of which BOS and two patches of 4: M = 3."""
    shape = blt(latent=12, window=3)
    flops = network_flops(shape, AR, vocab=256, window=9)
    T, M, pairs = 9, 3, 1 + 2 + 3 * 7
    assert flops.encoder == T * 2 * (4 * 64 + 3 * 8 * 20)
    assert flops.decoder == T * 2 * 2 * (4 * 64 + 3 * 8 * 32)
    assert flops.latent == M * 2 * 2 * (2 * 144 + 2 * 12 * 6 + 3 * 12 * 48)
    assert flops.attention == 4 * 8 * pairs + 2 * 4 * 12 * 6 + 2 * 4 * 8 * pairs
    assert flops.attention_executed == 4 * 8 * 81 + 2 * 4 * 12 * 9 + 2 * 4 * 8 * 81
    projections = M * 2 * (8 * 16 + 16 * 12 + 12 * 16)
    pooling = 2 * M * 2 * (2 * 64) + T * 2 * (2 * 64) + T * 2 * 8 * 4
    reading = T * 2 * (2 * 64) + 2 * M * 2 * (2 * 64) + T * 2 * 8 * 4
    assert flops.cross == projections + pooling + 2 * reading
    assert flops.head == 9 * 2 * 256 * 8
    assert flops.blocks == flops.patcher == 0
    assert flops.training == 3 * flops.forward


def test_parameters_by_hand() -> None:
    counted = blt_parameters(blt(latent=12))
    assert counted.encoder == 4 * 64 + 3 * 8 * 20 + 2 * 8
    assert counted.latent == 2 * (2 * 144 + 2 * 12 * 6 + 3 * 12 * 48 + 2 * 12)
    assert counted.decoder == 2 * (4 * 64 + 3 * 8 * 32 + 2 * 8) + 8
    assert counted.cross == 3 * (4 * 64 + 2 * 8)
    assert counted.projections == 8 * 16 + 16 * 12 + 12 * 16
    assert (counted.embedding, counted.hash_tables, counted.head) == (260 * 8, 2 * 11 * 8, 260 * 8)
    parts = counted.encoder + counted.latent + counted.decoder + counted.cross + counted.projections
    assert counted.N == parts == counted.N_total - 2 * 260 * 8 - 2 * 11 * 8


@SHAPES
@pytest.mark.parametrize("window", [1, 2, 9, 10])
def test_flops_are_those_executed(shape: BltConfig, window: int) -> None:
    """Attention and the patches' own included, on the path that shows every product to the counter."""
    model = net(shape)
    flops = network_flops(shape, AR, vocab=256, window=window)
    executed = flops.forward - flops.attention + flops.attention_executed
    with FlopCounterMode(display=False) as forward:
        cost = loss(model, window)
    assert forward.get_total_flops() == BATCH * executed
    with FlopCounterMode(display=False) as backward:
        cost.backward()
    assert backward.get_total_flops() == 2 * BATCH * executed
    assert flops.training == 3 * flops.forward
    assert flops.training_executed == 3 * executed


@SHAPES
def test_parameters_are_those_of_the_model(shape: BltConfig) -> None:
    model, counted = net(shape), network_parameters(shape, AR, vocab=256)

    def real(*starts: str, of: tuple[str, ...] = ("",)) -> int:
        named = model.named_parameters()
        return sum(p.numel() for n, p in named if n.startswith(starts) and any(part in n for part in of))

    assert counted.N_total == sum(p.numel() for p in model.parameters())
    assert counted.encoder == real("encoder.stack")
    assert counted.latent == real("latent.stack")
    assert counted.decoder == real("decoder.stack", "decoder.norm")
    assert counted.cross == real("", of=(".cross.",))
    assert counted.projections == real("encoder.pool", "latent.enter", "decoder.enter")
    assert counted.embedding == real("encoder.embedding", "decoder.embedding")
    assert counted.hash_tables == real("encoder.hashes")
    assert counted.head == real("head")
    assert counted.patcher == 0


def test_a_scorer_is_frozen_and_counted_once() -> None:
    rule = EntropyPatching(scorer=FlatScorer(shape=SCORER), mean_length=4, threshold=1.0)
    shape, plain = blt(patching=rule), blt()
    patcher = Patcher(rule, attention="explicit")
    flops = network_flops(shape, AR, vocab=256, window=9, patches=Patches.of(3))
    same = network_flops(plain, AR, vocab=256, window=9)
    per_byte = 2 * (4 * 36 + 3 * 6 * 10) + 2 * 260 * 6
    assert flops.patcher == 9 * per_byte + 4 * 6 * (1 + 2 + 3 * 7)
    assert flops.forward == same.forward + flops.patcher
    assert flops.training == same.training + flops.patcher
    assert flops.breakdown()["patcher"] == flops.patcher
    with FlopCounterMode(display=False) as counter:
        patcher.starts(torch.randint(4, 260, (2, 9)))
    assert counter.get_total_flops() == 2 * flops.patcher_executed
    assert flops.training_executed == same.training_executed + flops.patcher_executed
    counted = blt_parameters(shape)
    assert counted.patcher == sum(p.numel() for p in patcher.parameters()) > 0
    assert counted.N_total == blt_parameters(plain).N_total
    assert CONVENTIONS["exact"](shape, AR, 256, 9) - CONVENTIONS["exact-no-patcher"](shape, AR, 256, 9) == (
        pytest.approx(flops.patcher / 9)
    )


@pytest.mark.parametrize("rule", [EntropyPatching(scorer=NgramScorer(), mean_length=4), SpacePatching()], ids=str)
def test_a_rule_that_asks_no_network_costs_nothing(rule: Patching) -> None:
    shape = blt(patching=rule)
    assert network_flops(shape, AR, vocab=256, window=9).patcher == blt_parameters(shape).patcher == 0


@SHAPES
def test_breakdown_sums_to_the_total(shape: BltConfig) -> None:
    flops = network_flops(shape, AR, vocab=256, window=10)
    named = flops.breakdown()
    assert sum(named.values()) - named["attention_executed"] == pytest.approx(flops.forward, rel=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("longest", [None, 1, 2, 3, 10])
@pytest.mark.parametrize("window", [1, 2, 3, 8, 9, 30])
def test_static_patches_are_those_of_the_rule(size: int, longest: int | None, window: int) -> None:
    rule = StaticPatching(size=size, max_length=longest)
    starts = Patcher(rule).starts(torch.full((1, window), 70))
    complete = int(starts.sum()) - 1
    assert expected_patches(rule, window) == Patches(complete, complete * (complete + 1) / 2)


def test_expected_patches() -> None:
    assert expected_patches(BytePatching(), 9).count == 9
    assert expected_patches(SpacePatching(mean_length=4), 9) == Patches(3, 6)
    assert expected_patches(EntropyPatching(scorer=NgramScorer(), mean_length=2.5), 11).count == 5
    assert expected_patches(EntropyPatching(scorer=NgramScorer(), mean_length=0.5), 11).count == 11
    with pytest.raises(UserError, match="does not say how long patches are"):
        expected_patches(EntropyPatching(scorer=NgramScorer(), threshold=1.0), 11)


@pytest.mark.parametrize("window", [None, 1, 3, 9, 20])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_windowed_pairs_are_those_of_the_mask(length: int, window: int | None) -> None:
    seen = int(MaskSpec("causal", window).dense(length, torch.device("cpu")).sum())
    assert causal_pairs(length, window) == seen == cells(AR, length, window).pairs


def test_a_latent_window_is_counted() -> None:
    shape = blt(patching=BytePatching())
    short = shape.model_copy(update={"latent": shape.latent.model_copy(update={"attention_window": 2})})
    whole, less = (network_flops(s, AR, vocab=256, window=9) for s in (shape, short))
    assert whole.attention - less.attention == 2 * 4 * 16 * (45 - 17)
    assert whole.attention_executed == less.attention_executed


@pytest.mark.parametrize("size", BLT)
def test_published_sizes_are_those_of_the_recipes(size: str) -> None:
    run = load_recipe(f"blt-{size.lower()}", RunConfig)
    assert isinstance(run.backbone, BltConfig)
    assert run.backbone == blt_shape(BltFamily(patching=run.backbone.patching), size)
    assert run.train.window * run.train.batch == 2**24
    assert 2000 / run.train.steps == pytest.approx(run.train.schedule.warmup, rel=0.01)


def test_the_1b_model_is_as_released() -> None:
    """Millions, counted in released weights: local parts with their cross-attention and projections."""
    run = load_recipe("blt-1b", RunConfig)
    assert isinstance(run.backbone, BltConfig)
    counted = blt_parameters(run.backbone)
    pool, leave, cross = 2 * 1024**2, 2 * 1024 * 2048, 4 * 1024**2 + 2 * 1024
    parts = {
        "encoder": counted.encoder + cross + pool,
        "decoder": counted.decoder + 9 * cross + leave,
        "latent": counted.latent,
        "head": counted.head,
        "hash": counted.hash_tables,
        "patcher": counted.patcher,
    }
    released = {"encoder": 19.1, "decoder": 157.6, "latent": 1284.6, "head": 0.266, "hash": 3072, "patcher": 99.5}
    assert {name: count / 1e6 for name, count in parts.items()} == pytest.approx(released, rel=3e-3)
    assert counted.cross == 10 * cross
    assert counted.projections == pool + leave


def test_the_papers_formula_by_hand() -> None:
    """Every term of arXiv 2412.09871 as it is written there, with 16 bytes and patches of 16 / 5."""
    shape = blt(latent=12, layers=(1, 2, 3), window=3)
    n, k = 16 / 4, 2

    def attention(layers, h, m):
        return 4 * layers * h * (m + 1) / 2

    def qkvo(layers, h, r):
        return (2 * r + 2) * 2 * layers * h**2

    def transformer(h, layers, m, V):
        return 2 * layers * 2 * h * 4 * h + qkvo(layers, h, 1) + attention(layers, h, m) + 2 * h * V

    def cross(h, layers, m, r):
        return attention(layers, h, m) + qkvo(layers, h, r)

    forward = transformer(12, 2, 16 / n, 0) / n + transformer(8, 1, 3, 0) + transformer(8, 3, 3, 256)
    forward += cross(8, 1, n, n / k) * k / n + cross(8, 3, k, k / n)
    found = CONVENTIONS["blt-paper"](shape, AR, 256, 16, Patches.of(4))
    assert found == pytest.approx(3 * forward, rel=1e-12)


def test_rules_for_flat_networks_are_summed_over_the_parts() -> None:
    shape = blt(patching=BytePatching(), window=3, latent=16)
    deepseek = 72 * (64 + 2 * 256 + 2 * 64) + 12 * (8 * 3 + 2 * 16 * 9 + 2 * 8 * 3)
    assert CONVENTIONS["deepseek"](shape, AR, 256, 9) == pytest.approx(deepseek)
    half = CONVENTIONS["deepseek"](shape, AR, 256, 9, Patches.of(4.5))
    assert half == pytest.approx(deepseek - 72 * 2 * 256 / 2 - 12 * 2 * 16 * (9 - 4.5 / 2))
    head = CONVENTIONS["6N+head"](shape, AR, 256, 9) - CONVENTIONS["6N"](shape, AR, 256, 9)
    assert head == pytest.approx(6 * 256 * 8)


def kept_bytes(model, window: int) -> int:
    """Bytes of the storages, parameters apart, that autograd keeps for the backward pass."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        graph = loss(model, window)
    assert graph.requires_grad
    return sum(size for storage, size in kept.items() if storage not in parameters)


@pytest.mark.parametrize("latents", [1, 2, 4])
def test_activations_are_about_what_autograd_keeps(monkeypatch: pytest.MonkeyPatch, latents: int) -> None:
    from isobyte.backbone import fused

    monkeypatch.setattr(fused, "suits", lambda _x: False)
    shape, window = blt(local=32, latent=64, layers=(1, 3, 4), latents=latents), 128
    kept = kept_bytes(net(shape, "sdpa"), window)
    parameters = blt_parameters(shape)
    estimate = network_memory(shape, parameters, vocab=256, window=window, micro_batch=BATCH)
    assert estimate.activations - 4 * 256 * BATCH * window == pytest.approx(kept, rel=0.15)
    assert estimate.weights == 4 * parameters.N_total
