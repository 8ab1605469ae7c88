"""Law 3: bits decode. What a walk is told and what it decodes are the same, whatever the bytes and the objective."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from isobyte.backbone.flat import FlatModel
from isobyte.config import objective as kinds
from isobyte.config.backbone import FlatConfig
from isobyte.config.spans import FixedSpans
from isobyte.errors import UserError
from isobyte.likelihood.codec import Codec, groups
from isobyte.likelihood.entropy_coder import STEP, Decoder, Encoder, bits_of
from isobyte.likelihood.route import Route, Unit, plan_route
from isobyte.objective.network import build_network
from isobyte.objective.order import RULES, Order

SHAPE = FlatConfig(layers=1, width=16, heads=2)
WINDOW = 5
CASES: dict[str, tuple[kinds.Objective, Order, Unit]] = {
    "ar": (kinds.ArConfig(), Order("left_to_right"), "symbol"),
    "masked": (kinds.MaskedConfig(), Order("random", seed=3), "symbol"),
    "masked-told": (kinds.MaskedConfig(time_conditioning=True), Order("confidence", 2), "symbol"),
    "masked-entropy": (kinds.MaskedConfig(), Order("entropy"), "symbol"),
    "span": (kinds.SpanConfig(spans=FixedSpans(length=2)), Order("margin", 2), "symbol"),
    "block": (kinds.BlockConfig(block=2), Order(), "symbol"),
    "block-long": (kinds.BlockConfig(block=16), Order("confidence", 2), "symbol"),
    "any_order": (kinds.AnyOrderConfig(), Order(seed=1), "symbol"),
    "eso": (kinds.EsoConfig(alpha0=0.5), Order("random", 2), "symbol"),
    "eso-uncached": (kinds.EsoConfig(alpha0=0.5, cached=False), Order(), "symbol"),
    "digits": (kinds.DigitsConfig(digits=2), Order(), "symbol"),
    "digits-bits": (kinds.DigitsConfig(), Order("confidence", 4), "digit"),
    "digits-nibbles": (kinds.DigitsConfig(digits=2), Order(), "digit"),
}
EXAMPLES = math.ceil(1000 / len(CASES))


def net(objective: kinds.Objective, vocab: int = 256, sharpness: float = 1.5) -> FlatModel:
    """Float32, of confident random opinions."""
    model = build_network(SHAPE, objective, vocab)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=generator) * sharpness / weight.shape[-1] ** 0.5)
    return model


def codec(name: str, *, window: int = WINDOW, group: int = 3, sharpness: float = 1.5) -> Codec:
    objective, order, unit = CASES[name]
    return Codec(objective, net(objective, sharpness=sharpness), Route(order, window, group, unit))


CODECS = {name: codec(name) for name in CASES}


def symbols_of(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def there_and_back(coder: Codec, symbols: np.ndarray) -> tuple[bytes, float]:
    payload, length = coder.encode(symbols)
    assert np.array_equal(coder.decode(payload, len(symbols)), symbols)
    return payload, length.bits


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(data=st.binary(max_size=22))
def test_any_bytes_come_back(name: str, data: bytes) -> None:
    """A thousand byte strings in all: empty, shorter than a window, groups cut short, and a last window cut short."""
    payload, bits = there_and_back(CODECS[name], symbols_of(data))
    assert len(payload) <= bits / 8 + 9


@pytest.mark.parametrize("name", CASES)
def test_the_payload_is_as_long_as_the_code_length(name: str) -> None:
    """Within 0.05 % and the words that end it; and the bits are those of the walk without a coder."""
    coder = codec(name, window=16, group=64, sharpness=0.7)
    data = np.random.default_rng(0).integers(0, 256, 1500 if coder.route.unit == "symbol" else 300, np.uint8)
    payload, bits = there_and_back(coder, data)
    assert abs(8 * len(payload) - bits) <= 0.0005 * bits + 64
    alone = coder.code_length(data)
    assert alone.bits == bits
    assert alone.bits == pytest.approx(alone.model_bits, rel=2e-3)
    assert alone.bits / len(data) > 6, "a model with opinions on random bytes pays for them"


def test_what_the_model_thinks_impossible_costs_24_bits() -> None:
    log_NV = torch.full((1000, 4), -1000.0).index_fill(1, torch.tensor([0]), 0.0)
    found = torch.arange(1000) % 3 + 1
    encoder = Encoder()
    encoder.encode(found, log_NV)
    bits = float(bits_of(torch.full((1000,), -1000.0), 4).sum())
    assert bits == 24_000
    assert len(encoder.payload()) * 8 == pytest.approx(bits, abs=64)
    assert torch.equal(Decoder(encoder.payload()).decode(log_NV), found)


def test_the_coders_probabilities_sum_to_one() -> None:
    log_NV = torch.randn(3, 4096, generator=torch.Generator().manual_seed(0)).mul(4).log_softmax(-1)
    total = 2.0 ** -bits_of(log_NV.flatten(), 4096).view(3, 4096)
    torch.testing.assert_close(total.sum(-1), torch.ones(3).double(), rtol=1e-6, atol=0)
    assert (total >= STEP).all()


@pytest.mark.parametrize("name", CASES)
def test_encoder_and_decoder_call_the_network_alike(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same calls, same shapes: what rounds differently with another shape cannot differ."""
    coder, calls = CODECS[name], []
    forward = FlatModel.forward

    def spy(self: FlatModel, inputs_BS: Tensor, mask: object, **told: object) -> Tensor:
        shapes = {key: getattr(value, "shape", None) for key, value in told.items()}
        held = getattr(told.get("cache"), "length", None)
        calls.append((inputs_BS.shape, str(mask), shapes, held, told.get("keep")))
        return forward(self, inputs_BS, mask, **told)  # type: ignore[arg-type]

    monkeypatch.setattr(FlatModel, "forward", spy)
    data = np.random.default_rng(1).integers(0, 256, 4 * WINDOW + 3, np.uint8)
    payload, _ = coder.encode(data)
    encoder, calls[:] = list(calls), []
    coder.decode(payload, len(data))
    assert len(encoder) >= 3
    assert calls == encoder


@pytest.mark.parametrize("name", ["ar", "masked", "digits-nibbles"])
def test_a_payload_that_is_not_the_models_is_other_symbols(name: str) -> None:
    """Never a crash but a ValueError, for whoever calls to tell from what was written."""
    data = symbols_of(b"eleven here")
    payload, _ = CODECS[name].encode(data)
    for place in range(len(payload)):
        wrong = payload[:place] + bytes([payload[place] ^ 0x55]) + payload[place + 1 :]
        try:
            assert len(CODECS[name].decode(wrong, len(data))) == len(data)
        except ValueError:
            continue


@pytest.mark.parametrize("where", ["code_length", "encode"])
def test_a_diverged_model_is_refused(where: str) -> None:
    coder = codec("ar")
    with torch.no_grad():
        next(iter(coder.network.parameters())).fill_(float("nan"))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="not finite"):
        getattr(coder, where)(symbols_of(b"abc"))


def test_progress_ends_at_one() -> None:
    for name in ("ar", "digits-bits"):
        seen: list[float] = []
        payload, _ = CODECS[name].encode(symbols_of(b"some text"), progress=seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == 1
        seen.clear()
        CODECS[name].decode(payload, 9, progress=seen.append)
        assert seen[-1] == 1


def test_groups() -> None:
    route = Route(Order(), window=4, group=2)
    assert list(groups(0, route)) == []
    assert list(groups(3, route)) == [(0, 1, 3)]
    assert list(groups(23, route)) == [(0, 2, 4), (8, 2, 4), (16, 1, 4), (20, 1, 3)]


def test_routes() -> None:
    def plan(objective: kinds.Objective, **wishes: object) -> Route:
        return plan_route(objective, SHAPE, 256, 128, **wishes)  # type: ignore[arg-type]

    assert plan(kinds.ArConfig()).order == Order("left_to_right")
    assert plan(kinds.MaskedConfig()).order == Order("random")
    for rule in RULES:
        assert plan(kinds.BlockConfig(), rule=rule, per_step=3, seed=7).order == Order(rule, 3, 7)
    assert plan(kinds.DigitsConfig(), unit="digit").unit == "digit"
    assert plan(kinds.MaskedConfig(), group=7).group == 7
    big = FlatConfig(layers=12, width=768, heads=12)
    sizes = [plan_route(objective, big, 50_000, 1024).group for objective in (kinds.ArConfig(), kinds.MaskedConfig())]
    assert sizes == [3, 1], "memory stays bounded"
    for objective, wishes, says in (
        (kinds.ArConfig(), {"rule": "confidence"}, "no order but left_to_right"),
        (kinds.ArConfig(), {"per_step": 2}, "one symbol a step"),
        (kinds.AnyOrderConfig(), {"rule": "margin"}, "no order but random"),
        (kinds.EsoConfig(), {"rule": "entropy"}, "no order but random"),
        (kinds.MaskedConfig(), {"rule": "oracle"}, "never at what is hidden"),
        (kinds.MaskedConfig(), {"per_step": 0}, "at least 1"),
        (kinds.MaskedConfig(), {"unit": "digit"}, "has no digits"),
        (kinds.MaskedConfig(), {"group": 0}, "at least 1"),
        (kinds.MaskedConfig(), {"seed": -1}, "32-bit"),
    ):
        with pytest.raises(UserError, match=says):
            plan(objective, **wishes)
