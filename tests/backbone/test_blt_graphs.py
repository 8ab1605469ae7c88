"""Decoding with fixed shapes against `State`, step by step, and what a recording on a GPU relies on."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from blt_models import WINDOW, blt, local, texts
from blt_steps import CAPACITY, PATCHING, STEPS, assert_follows, model_of, prefilled, spaced
from isobyte.backbone import products
from isobyte.backbone.blt.graphs import StaticStep, longest, reach
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.parts import Parts
from isobyte.backbone.blt.state import State
from isobyte.backbone.byte_ids import EOS, OFFSET
from isobyte.config.backbone_flat import FlatConfig
from isobyte.decode.blt import generate
from isobyte.decode.blt_settings import Settings
from isobyte.decode.noise import Noise
from isobyte.decode.speculative import Chooser
from isobyte.errors import UserError


@pytest.mark.parametrize("lengths", [[7], [11, 3, 6]], ids=["one", "ragged"])
@pytest.mark.parametrize("patching", list(PATCHING))
@torch.inference_mode()
def test_says_what_the_state_says(patching: str, lengths: list[int]) -> None:
    model = model_of(patching)
    state = prefilled(model, lengths)
    patches = list(state.patches)
    ids = spaced(len(lengths), STEPS) if "space" in patching else texts(len(lengths), STEPS + 1, seed=9)[:, 1:]
    assert_follows(state, StaticStep(state), ids)
    mean = len(lengths) * STEPS / (sum(state.patches) - sum(patches))
    assert patching == "byte" or 1.2 < mean < 8  # some bytes close a patch, some do not


@pytest.mark.parametrize("latents", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 3])
@torch.inference_mode()
def test_latents_of_several_vectors(rows: int, latents: int) -> None:
    model = model_of("global", latents=latents, cross_residual="doubled" if latents == 2 else "single")
    state = prefilled(model, [9, 4, 5][:rows])
    assert_follows(state, StaticStep(state), texts(rows, STEPS + 1, seed=9)[:, 1:])


@torch.inference_mode()
def test_rings_with_room_to_spare() -> None:
    """A state that drafts keeps more bytes than its windows see."""
    model, ids = blt(), texts(2, 12)
    state = State(model, 2, CAPACITY, slack=5)
    state.feed(ids)
    static = StaticStep(state)
    for ids_B in texts(2, STEPS + 1, seed=9)[:, 1:].T:
        static.start(ids_B.tolist())
        static.step()
        wanted = state.feed(ids_B[:, None])[:, 0]
        torch.testing.assert_close(static.parts.hidden_BD, wanted, atol=1e-5, rtol=1e-5)
    assert static.parts.encoder.size == WINDOW + 5


@torch.inference_mode()
def test_other_shapes() -> None:
    """Pooling after every layer, paper's hashing, the decoder's own embedding, grouped heads, rings without end."""
    shape: dict[str, Any] = {
        "encoder_cross_layers": "all",
        "decoder_cross_layers": "first",
        "hashing": "paper",
        "decoder_input": "embedding",
    }
    for more in ({}, {"hash_sizes": ()}, {"document_mask": False}):
        model = blt(seed=2, **{**shape, **more})
        assert_follows(state := prefilled(model, [5, 8]), StaticStep(state), texts(2, STEPS + 1, seed=9)[:, 1:])
    grouped = FlatConfig(layers=2, width=48, heads=4, kv_heads=2, ffn=64)
    config = blt().shape.model_copy(
        update={"latent": grouped, "encoder": local(2), "decoder": FlatConfig(layers=1, width=32, heads=2, kv_heads=1)}
    )
    torch.manual_seed(1)
    model = BltModel(config).eval()
    model.patcher.threshold.fill_(5.0)
    assert_follows(state := prefilled(model, [5, 8]), StaticStep(state), texts(2, STEPS + 1, seed=9)[:, 1:])


@pytest.mark.parametrize("patching", ["global", "monotonic", "ngram", "space-cap3"])
@torch.inference_mode()
def test_documents(patching: str) -> None:
    """Ends in the prompt and after it: nothing is seen across them."""
    model, ids = model_of(patching), texts(2, 12)
    ids[0, 6] = EOS
    state = State(model, 2, CAPACITY)
    state.feed(ids)
    later = texts(2, STEPS + 1, seed=9)[:, 1:]
    later[1, 3] = later[0, 17] = later[0, 18] = EOS
    blind = StaticStep(state)
    blind.parts.document_B.zero_()
    static = StaticStep(state)
    for each in (blind, static):
        each.start(later[:, 0].tolist())
        each.step()
    assert not torch.allclose(blind.parts.hidden_BD[0], static.parts.hidden_BD[0], atol=1e-3)
    assert_follows(state, StaticStep(state), later)


@pytest.mark.parametrize("patching", ["global", "space-cap3"])
@torch.inference_mode()
def test_greedy_bytes(patching: str) -> None:
    model = model_of(patching)
    state = prefilled(model, [9, 4, 5])
    static, first, found = StaticStep(state), [70, 80, 90], []
    static.start(first)
    for _ in range(STEPS):
        found.append(static.step())
    found.append(static.ids())
    wanted = [first]
    for _ in range(STEPS):
        hidden = state.feed(torch.tensor(wanted[-1])[:, None])[:, 0]
        wanted.append((model.logits(hidden).argmax(-1) + 4).tolist())
    assert found == wanted
    assert len({ids[0] for ids in found}) > 5
    assert static.passes["latent"] < static.passes["encoder"] == static.passes["decoder"] == STEPS
    assert static.passes["patches"] == sum(state.patches) - sum(prefilled(model, [9, 4, 5]).patches)
    assert static.passes["entropy"] == (STEPS if patching == "global" else 0)


def drawn(model: BltModel, rows: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Bytes as generation draws them: the noise belongs to row and place."""
    chooser, rows_B = Chooser(Noise(4), temperature=0.8, top_p=0.9), torch.arange(rows)
    return lambda h_BD, places_B: chooser.choose(chooser.law(model.logits(h_BD)), rows_B, places_B) + OFFSET


@torch.inference_mode()
def test_drawn_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = model_of("both"), texts(3, 11)
    lengths = [11, 3, 6]
    given = [row[:n] for row, n in zip(prompts.tolist(), lengths, strict=True)]
    wanted = generate(model, given, Settings(length=STEPS, seed=4, temperature=0.8, top_p=0.9)).ids
    static = StaticStep(prefilled(model, lengths), drawn(model, 3))
    static.start([ids[0] for ids in wanted])
    with monkeypatch.context() as patch, Called(), Recordable():
        patch.setattr(products, "FEW", 0)  # as on a GPU
        static.parts.encode()
        static.parts.close(64)
        static.parts.decode()
    static.load(prefilled(model, lengths))
    static.start([ids[0] for ids in wanted])
    assert [static.step() for _ in range(STEPS)] == [list(ids) for ids in zip(*wanted, strict=True)]


@torch.inference_mode()
def test_choice_is_told_the_place_of_what_it_chooses() -> None:
    told: list[Tensor] = []

    def choose(_hidden_BD: Tensor, places_B: Tensor) -> Tensor:
        told.append(places_B.clone())
        return places_B + 4

    static = StaticStep(prefilled(blt(), [9, 4]), choose)
    static.start([70, 80])
    assert [static.step(), static.step()] == [[70, 80], [14, 9]]
    assert [each.tolist() for each in told] == [[10, 5], [11, 6]]


def tensors_of(thing: Any) -> Iterator[Tensor]:
    """All tensors that a part can reach, those of the model included."""
    seen: set[int] = set()
    stack = [thing]
    while stack:
        each = stack.pop()
        if id(each) in seen or isinstance(each, type):
            continue
        seen.add(id(each))
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, torch.nn.Module):
            stack.extend([*each.parameters(), *each.buffers()])
        elif isinstance(each, dict):
            stack.extend(each.values())
        elif isinstance(each, list | tuple):
            stack.extend(each)
        elif is_dataclass(each):
            stack.extend(getattr(each, field.name) for field in fields(each))
        elif type(each).__module__.startswith("isobyte") and hasattr(each, "__dict__"):
            stack.append(vars(each))


REFUSED = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "repeat_interleave", "equal",
           "item", "tolist", "numpy", "cpu", "cuda", "tensor", "is_nonzero")  # fmt: skip


class Called(TorchFunctionMode):
    """What Python asks for; some of it never becomes an operation."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert getattr(func, "__name__", "") not in REFUSED, func
        return func(*args, **(kwargs or {}))


class Recordable(TorchDispatchMode):
    """Refuses what a recording cannot hold, and notes which operations ran on which shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.trace: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func.overloadpacket).removeprefix("aten.")
        assert name not in REFUSED, f"{name} makes the host wait, copies from it, or has a shape that depends on data"
        masks = [i for i in args[1] if i is not None and i.dtype == torch.bool] if name == "index" else []
        assert not masks, "indexed by a mask"
        out = func(*args, **(kwargs or {}))
        self.trace.append((name, tuple(out.shape) if isinstance(out, Tensor) else None))
        return out


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("patching", list(PATCHING))
@torch.inference_mode()
def test_parts_can_be_recorded(patching: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same operations, same shapes, same addresses at every step, whatever is in the tensors."""
    monkeypatch.setattr(products, "FEW", 0)  # as on a GPU
    static = StaticStep(prefilled(model_of(patching), [11, 3, 6][:rows]))
    static.start([70, 80, 90][:rows])
    held = {id(tensor): (tensor, tensor.data_ptr(), tensor.shape) for tensor in tensors_of(static.parts)}
    traces, closing = set(), set()
    for _ in range(2 * WINDOW):
        with Called(), Recordable() as seen:
            static.parts.encode()
            static.parts.close(64)
            static.parts.decode()
        traces.add(tuple(seen.trace))
        closing.add(tuple(static.parts.closes_B.tolist()))
    assert len(traces) == 1
    assert patching == "byte" or len(closing) > 1
    now = {id(tensor): (tensor, tensor.data_ptr(), tensor.shape) for tensor in tensors_of(static.parts)}
    assert now.keys() == held.keys()
    assert all(now[key][1:] == held[key][1:] for key in held)
    assert any(tensor is static.parts.latent for tensor, _, _ in held.values())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x[0].item(),
        lambda x: bool(x[0] > 0),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.nonzero(),
        lambda x: x[x > 1],
        lambda x: torch.tensor([1, 2]).to(x.device),
        lambda x: torch.repeat_interleave(x),
    ],
    ids=["item", "bool", "tolist", "cpu", "nonzero", "mask", "tensor", "repeat"],
)
@torch.inference_mode()
def test_what_cannot_be_recorded_is_noticed(wrong: Callable[[Tensor], Any]) -> None:
    with pytest.raises(AssertionError), Called(), Recordable():
        wrong(torch.arange(3))


@torch.inference_mode()
def test_rows_that_close_nothing_are_left_alone() -> None:
    static = StaticStep(prefilled(model_of("static"), [11, 3, 6]))
    static.start([70, 80, 90])
    for _ in range(9):
        static.parts.encode()
        before = static.parts.kv.clone()
        static.parts.close(64)
        changed = (static.parts.kv != before).flatten(1).any(1)
        assert changed.tolist() == static.parts.closes_B.tolist()
        static.parts.decode()


@torch.inference_mode()
def test_encode_and_close_may_be_run_again() -> None:
    state = prefilled(blt(), [9, 4])
    once, twice = StaticStep(state), StaticStep(state)
    for step, ids_B in enumerate(texts(2, STEPS + 1, seed=9)[:, 1:].T):
        for static, times in ((once, 1), (twice, 2)):
            static.start(ids_B.tolist())
            for _ in range(times):
                static.parts.encode()
            for _ in range(times):
                static.parts.close(64)
            static.parts.decode()
        assert torch.equal(once.parts.hidden_BD, twice.parts.hidden_BD), step


@torch.inference_mode()
def test_stopped_rows_take_up_no_room_and_change_nothing() -> None:
    model = blt()
    state = prefilled(model, [9, 4, 5])
    whole, static = StaticStep(state), StaticStep(state)
    ids_TB = texts(3, STEPS + 1, seed=9)[:, 1:].T
    for step, ids_B in enumerate(ids_TB):
        if step == 10:
            static.stop(1)
        for each in (whole, static):
            each.start(ids_B.tolist())
            each.step()
        torch.testing.assert_close(static.parts.hidden_BD[[0, 2]], whole.parts.hidden_BD[[0, 2]], atol=1e-6, rtol=1e-6)
    assert static.length == [whole.length[0], 4 + 10, whole.length[2]] == static.parts.place_B.tolist()
    assert static.patches[1] < whole.patches[1]
    assert static.patches == static.parts.patches_B.tolist()


@torch.inference_mode()
def test_one_serves_several_states_and_leaves_them_alone() -> None:
    model = model_of("monotonic")
    first, second = prefilled(model, [9, 4]), State(model, 2, CAPACITY)
    static, ids = StaticStep(first), texts(2, STEPS, seed=9)
    alone = StaticStep(first)
    for ids_B in ids.T:
        static.start(ids_B.tolist())
        static.step()
    static.stop(0)
    static.load(second)
    assert_follows(second, static, ids)  # from an empty state, places 0, 1, 2 and their special rules included
    assert_follows(first, alone, ids)


def test_reach_and_longest() -> None:
    assert [reach(n, 1000) for n in (1, 64, 65, 128, 129, 600)] == [64, 64, 128, 128, 256, 1000]
    assert [longest(rule) for rule in PATCHING.values()] == [None, 4, None, None, None, None, 3, 4, 1]


@torch.inference_mode()
def test_reach_grows_with_the_patches() -> None:
    state = prefilled(model_of("byte"), [9, 4], capacity=400)
    static = StaticStep(state)
    assert_follows(state, static, texts(2, 140, seed=9)[:, 1:])
    assert set(static.close) == {64, 128, 256}


@torch.inference_mode()
def test_places_without_end() -> None:
    """Rotations are laid out anew where places go beyond those that are."""
    state = prefilled(model_of("monotonic"), [9, 14])
    static = StaticStep(state)
    static.parts.lay_out(16)
    assert_follows(state, static, texts(2, STEPS + 1, seed=9)[:, 1:])
    assert static.parts.places == 64


@torch.inference_mode()
def test_limits_are_named() -> None:
    state = prefilled(model_of("byte"), [9, 4])
    static = StaticStep(state, patches=12)
    for _ in range(3):
        static.step()
    with pytest.raises(UserError, match="room for 12 patches"):
        static.step()
    assert static.parts.patches_B.tolist() == [12, 7]
    with pytest.raises(UserError, match="room for 8 patches"):
        StaticStep(state, patches=8)
    model = blt()
    model.patcher.threshold.fill_(99.0)
    state = prefilled(model, [5])
    static = StaticStep(state, open_bytes=8)
    for _ in range(4):
        static.step()
    with pytest.raises(UserError, match="more than 8 bytes"):
        static.step()
    with pytest.raises(UserError, match="more than 2 bytes"):
        StaticStep(state, open_bytes=2)
    short = prefilled(model_of("both"), [5], capacity=8)  # its scorer has no window
    static = StaticStep(short)
    for _ in range(3):
        static.step()
    with pytest.raises(UserError, match="9 bytes, room for 8"):
        static.step()
    with pytest.raises(UserError, match="another shape"):
        static.load(prefilled(model, [5]))
    with pytest.raises(UserError, match="another shape"):
        StaticStep(state).load(prefilled(model, [5, 5]))


@torch.inference_mode()
def test_half_precision() -> None:
    model = model_of("static").bfloat16()
    state = prefilled(model, [9, 4])
    static = StaticStep(state)
    assert static.parts.latent.dtype == torch.bfloat16
    assert_follows(state, static, texts(2, STEPS + 1, seed=9)[:, 1:], tolerance=0.1)


def test_parts_need_no_host_lists() -> None:
    """Bookkeeping of the parts is in tensors: nothing in Python may change from step to step."""
    with torch.inference_mode():
        static = StaticStep(prefilled(blt(), [9, 4]))
        kept = {name: value for name, value in vars(static.parts).items() if not isinstance(value, Tensor)}
        static.step()
        assert isinstance(static.parts, Parts)
        assert {name: vars(static.parts)[name] for name in kept} == kept
