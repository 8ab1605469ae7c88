"""The flat model: prefixes, positions, initialisation, and modes that must not leak into each other."""

import math

import pytest
import torch

from isobyte.backbone.attention import ATTENTION, _causal_blocks, flex
from isobyte.backbone.flat import FlatModel, initialise
from isobyte.backbone.layers import Positions
from isobyte.backbone.mask import BIDIRECTIONAL, CAUSAL, MaskSpec
from isobyte.config.backbone import FlatConfig
from isobyte.objective.ar import ar_question
from isobyte.objective.base import cost_sum

SHAPE = FlatConfig(layers=3, width=24, heads=3)
VOCAB = 9
IDS = torch.randint(VOCAB + 1, (2, 13), generator=torch.Generator().manual_seed(0))


def at(places_S: torch.Tensor) -> Positions:
    return Positions(places_S, places_S)


def model(shape: FlatConfig = SHAPE, **options) -> FlatModel:
    net = FlatModel(shape, VOCAB, **options)
    initialise(net, seed=1)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if name == "head.weight" or "film" in name:
                weight.normal_(std=0.5, generator=torch.Generator().manual_seed(2))
    return net


@torch.no_grad()
@pytest.mark.parametrize("kernel", ATTENTION)
@pytest.mark.parametrize("kept", [1, 6, 12])
def test_a_shorter_window_is_the_prefix_of_a_longer_one(kernel: str, kept: int) -> None:
    net = model(attention=kernel)
    whole = net.logits(net(IDS, CAUSAL))
    short = net.logits(net(IDS[:, :kept], CAUSAL))
    torch.testing.assert_close(short, whole[:, :kept], rtol=1e-5, atol=1e-5)
    rows = torch.cat([net.logits(net(row[None], CAUSAL)) for row in IDS])
    torch.testing.assert_close(rows, whole, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("mask", [CAUSAL, BIDIRECTIONAL], ids=lambda m: m.kind)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kv_heads", [1, 3])
def test_kernels_agree_through_the_whole_net(mask: MaskSpec, tied: bool, kv_heads: int) -> None:
    net = model(SHAPE.model_copy(update={"tied": tied, "kv_heads": kv_heads}))
    outs = []
    for kernel in ATTENTION.values():
        net.kernel = kernel
        outs.append(net.logits(net(IDS, mask)))
    for out in outs[1:]:
        torch.testing.assert_close(out, outs[0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("mask", [CAUSAL, BIDIRECTIONAL], ids=lambda m: m.kind)
def test_positions_matter_by_their_differences_alone(mask: MaskSpec) -> None:
    net = model()
    plain = net(IDS, mask)
    torch.testing.assert_close(net(IDS, mask, positions=at(torch.arange(13) + 100)), plain, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(net(IDS, mask, positions=at(torch.arange(13) * 2)), plain, atol=1e-2)


@torch.no_grad()
def test_bidirectional_nets_see_the_whole_window_and_its_order() -> None:
    net = model()
    plain = net(IDS, BIDIRECTIONAL)
    changed = IDS.clone()
    changed[:, -1] = (changed[:, -1] + 1) % VOCAB
    assert not torch.allclose(net(changed, BIDIRECTIONAL)[:, 0], plain[:, 0])
    turned = net(IDS.flip(1), BIDIRECTIONAL).flip(1)
    assert not torch.allclose(turned, plain, atol=1e-3)


@torch.no_grad()
def test_time_reaches_the_output_and_rows_keep_their_own() -> None:
    net = model(time_conditioning=True)
    time = torch.tensor([0.2, 0.9])
    both = net(IDS, BIDIRECTIONAL, time_B=time)
    for row in range(2):
        alone = net(IDS[row : row + 1], BIDIRECTIONAL, time_B=time[row : row + 1])
        torch.testing.assert_close(both[row : row + 1], alone, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(both, net(IDS, BIDIRECTIONAL, time_B=time.flip(0)), atol=1e-3)


def test_a_fresh_untied_net_is_uniform_and_a_seed_decides_everything() -> None:
    nets = [FlatModel(SHAPE, VOCAB) for _ in range(3)]
    for net, seed in zip(nets, (4, 4, 5), strict=True):
        initialise(net, seed)
    assert (nets[0].logits(nets[0](IDS, CAUSAL)) == 0).all()
    first, same, other = (net.state_dict() for net in nets)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


def test_initial_deviations_follow_the_fan_in() -> None:
    net = FlatModel(FlatConfig(layers=8, width=128, heads=4), 255)
    initialise(net, 0)
    block = net.blocks[0].state_dict()
    shrunk = 1 / math.sqrt(2 * 8)
    assert float(block["attention.qkv.weight"].std()) == pytest.approx(128**-0.5, rel=0.02)
    assert float(block["attention.out.weight"].std()) == pytest.approx(128**-0.5 * shrunk, rel=0.02)
    assert float(block["ffn.down.weight"].std()) == pytest.approx(512**-0.5 * shrunk, rel=0.02)
    assert (net.norm.weight == 1).all()


@pytest.mark.parametrize(("tied", "deviation"), [(False, 1), (True, 128**-0.5)])
def test_initial_embeddings_share_one_vector(tied: bool, deviation: float) -> None:
    net = FlatModel(FlatConfig(layers=2, width=128, heads=4, tied=tied), 255)
    initialise(net, 0)
    rows = net.embedding.weight.detach()
    assert float((rows - rows.mean(0)).std()) == pytest.approx(deviation, rel=0.02)
    assert float(rows.mean(0).std()) == pytest.approx(deviation, rel=0.2)


def test_the_start_symbol_is_never_predicted() -> None:
    for tied in (False, True):
        net = model(SHAPE.model_copy(update={"tied": tied}))
        assert net.logits(net(IDS, CAUSAL)).shape == (2, 13, VOCAB)


def test_a_net_that_was_evaluated_can_still_be_trained() -> None:
    """What inference mode caches must be usable by autograd."""
    net = model()
    x = IDS.clamp(max=VOCAB - 1)
    with torch.inference_mode():
        seen = cost_sum(net, ar_question(x, net)).item()
        one = torch.ones(1, 1, 21, 4)
        flex(one, one, one, CAUSAL)
    block_mask = _causal_blocks(21, "cpu")
    assert block_mask is not None
    assert not block_mask.kv_num_blocks.is_inference()
    loss = cost_sum(net, ar_question(x, net))
    loss.backward()
    assert loss.item() == pytest.approx(seen, rel=1e-6)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
