"""Recorded steps of decoding against the same functions called, and against `State`."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from blt_models import blt, texts
from blt_steps import PATCHING, STEPS, assert_follows, model_of, prefilled, spaced
from isobyte.backbone.blt.graphs import Graphed, StaticStep
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.byte_ids import OFFSET
from isobyte.config.backbone import FlatConfig
from isobyte.config.patching import StaticPatching
from isobyte.decode.blt import generate
from isobyte.decode.blt_settings import Settings
from isobyte.decode.noise import Noise
from isobyte.decode.speculative import Chooser

pytestmark = pytest.mark.gpu


def test_first_call_runs_once_and_later_ones_replay() -> None:
    x, calls = torch.zeros(3, device="cuda"), []

    def add() -> None:
        calls.append(0)
        x.add_(1)

    graphed = Graphed(add, x.device, torch.cuda.graph_pool_handle())
    seen = []
    for _ in range(4):
        graphed()
        seen.append(x.tolist())
    assert seen == [[n] * 3 for n in (1, 2, 3, 4)]
    assert len(calls) == 2  # one ran, one was recorded


@pytest.mark.parametrize("lengths", [[7], [11, 3, 6]], ids=["one", "ragged"])
@pytest.mark.parametrize("patching", list(PATCHING))
@torch.inference_mode()
def test_recorded_is_called_is_state(patching: str, lengths: list[int]) -> None:
    model = model_of(patching).cuda()
    state = prefilled(model, lengths)
    recorded, called = StaticStep(state), StaticStep(state, graphs=False)
    rows = len(lengths)
    ids = spaced(rows, STEPS) if "space" in patching else texts(rows, STEPS + 1, seed=9)[:, 1:]
    for ids_B in ids.T:
        for static in (recorded, called):
            static.start(ids_B.tolist())
            static.step()
        torch.testing.assert_close(recorded.parts.hidden_BD, called.parts.hidden_BD, atol=1e-5, rtol=1e-5)
        assert recorded.patches == called.patches
    assert recorded.encode.graph is not None
    assert recorded.decode.graph is not None
    assert all(each.graph is not None for each in recorded.close.values())
    assert called.encode.graph is None
    recorded.load(state)  # all is recorded by now
    assert_follows(state, recorded, ids.cuda(), tolerance=1e-4)


def drawn(model: BltModel, rows: int) -> Callable[[Tensor, Tensor], Tensor]:
    chooser, rows_B = Chooser(Noise(4), temperature=0.8, top_p=0.9), torch.arange(rows, device="cuda")
    return lambda h_BD, places_B: chooser.choose(chooser.law(model.logits(h_BD)), rows_B, places_B) + OFFSET


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@torch.inference_mode()
def test_bytes_are_those_of_generation(temperature: float) -> None:
    model, lengths = model_of("both").cuda(), [11, 3, 6]
    given = [row[:n] for row, n in zip(texts(3, 11).tolist(), lengths, strict=True)]
    wanted = generate(model, given, Settings(length=STEPS, seed=4, temperature=temperature, top_p=0.9)).ids
    static = StaticStep(prefilled(model, lengths), drawn(model, 3) if temperature else None)
    static.start([ids[0] for ids in wanted])
    assert [static.step() for _ in range(STEPS)] == [list(ids) for ids in zip(*wanted, strict=True)]


@torch.inference_mode()
def test_reach_grows() -> None:
    state = prefilled(model_of("byte").cuda(), [9, 4], capacity=400)
    static = StaticStep(state)
    assert_follows(state, static, texts(2, 140, seed=9)[:, 1:].cuda(), tolerance=1e-4)
    assert all(static.close[places].graph is not None for places in (64, 128, 256))


@torch.inference_mode()
def test_places_without_end() -> None:
    """What was recorded is recorded anew where places go beyond the rotations that are laid out."""
    state = prefilled(model_of("monotonic").cuda(), [9, 14])
    static = StaticStep(state)
    static.parts.lay_out(16)
    assert_follows(state, static, texts(2, STEPS + 1, seed=9)[:, 1:].cuda(), tolerance=1e-4)
    assert static.parts.places == 64


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@torch.inference_mode()
def test_wide(dtype: torch.dtype, record_property: Callable[[str, object], None]) -> None:
    """Heads and windows of the usual sizes; how often rounding changes the likeliest byte goes into the record."""
    wide = FlatConfig(layers=3, width=512, heads=8, attention_window=256)
    shape = blt(StaticPatching(size=4)).shape.model_copy(
        update={"encoder": wide, "decoder": wide, "latent": FlatConfig(layers=4, width=1024, heads=16)}
    )
    torch.manual_seed(0)
    model = BltModel(shape).eval().cuda().to(dtype)
    state, ids = prefilled(model, [300], capacity=1024), texts(1, 65, seed=9)[:, 1:].cuda()
    recorded, called = StaticStep(state), StaticStep(state, graphs=False)
    same, apart = 0, 0.0
    for ids_B1 in ids.split(1, 1):
        for static in (recorded, called):
            static.start(ids_B1[:, 0].tolist())
            static.step()
        wanted = state.feed(ids_B1)[:, 0]
        apart = max(apart, float((recorded.parts.hidden_BD - wanted).abs().max()))
        same += int(model.logits(wanted).argmax() == model.logits(recorded.parts.hidden_BD).argmax())
        between = float((recorded.parts.hidden_BD - called.parts.hidden_BD).abs().max())
        assert between < (1e-4 if dtype == torch.float32 else 0.1)
    record_property("agreement", same / 64)
    record_property("apart", apart)
    assert apart < (1e-3 if dtype == torch.float32 else 0.2)
    assert same >= (64 if dtype == torch.float32 else 56)
