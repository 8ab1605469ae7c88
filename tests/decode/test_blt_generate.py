"""Plain generation with a Byte Latent Transformer."""

import math
from dataclasses import replace

import pytest
import torch

from blt_models import blt, entropy_patching, recomputed, texts
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.byte_ids import BOS, EOS, OFFSET
from isobyte.config.patching import BytePatching, SpacePatching, StaticPatching
from isobyte.decode.blt import generate
from isobyte.decode.blt_settings import Settings
from isobyte.errors import UserError

LENGTH = 40
GREEDY = Settings(LENGTH, temperature=0)
RAGGED = [text[:length].tolist() for text, length in zip(texts(3, 20), (20, 1, 7), strict=True)]


@pytest.fixture(scope="module")
def model() -> BltModel:
    return blt()


@pytest.mark.parametrize(
    "patching",
    [entropy_patching(), entropy_patching(3), SpacePatching(), StaticPatching(size=3), BytePatching()],
    ids=["entropy", "capped", "space", "static", "byte"],
)
def test_greedy_bytes_are_those_of_recomputing_everything(patching: object) -> None:
    model = blt(patching)  # type: ignore[arg-type]
    done = generate(model, RAGGED, GREEDY)
    assert done.ids == [recomputed(model, prompt, LENGTH) for prompt in RAGGED]
    assert len({tuple(ids) for ids in done.ids}) == 3
    assert len(set(done.ids[0])) > 10
    assert done.texts == [bytes(each - OFFSET for each in ids) for ids in done.ids]
    assert done.ended == ["length"] * 3


@pytest.mark.parametrize("settings", [Settings(24, seed=5), Settings(24, seed=5, temperature=0.7, top_p=0.8, draft=4)])
def test_a_row_is_what_it_is_alone(model: BltModel, settings: Settings) -> None:
    together = generate(model, RAGGED, settings).texts
    alone = [generate(model, [p], replace(settings, first=n)).texts[0] for n, p in enumerate(RAGGED)]
    assert together == alone
    same = generate(model, [RAGGED[0]] * 2, settings).texts
    assert same[0] == together[0] != same[1]


def test_a_stop_string_ends_a_text_and_is_left_out(model: BltModel) -> None:
    plain = generate(model, RAGGED, GREEDY)
    stop = plain.texts[0][11:14]
    at = plain.texts[0].index(stop)
    for draft in (None, 4):
        settings = replace(GREEDY, draft=draft, stop=(b"never to be seen", stop))
        done = generate(model, RAGGED, settings)
        assert done.texts[0] == plain.texts[0][:at]
        assert done.ended[0] == "stop"
        assert done.ids[0] == plain.ids[0][: at + 3]
        for n in (1, 2):
            if stop not in plain.texts[n]:
                assert done.texts[n] == plain.texts[n]
                assert done.ended[n] == "length"


def test_bytes_are_shown_as_they_are_settled_and_none_of_a_stop_string(model: BltModel) -> None:
    plain = generate(model, RAGGED, GREEDY).texts
    stop = plain[0][20:23]
    for draft in (None, 3):
        seen: dict[int, list[bytes]] = {0: [], 1: [], 2: []}
        settings = replace(GREEDY, draft=draft, stop=(stop,))
        done = generate(model, RAGGED, settings, on_bytes=lambda row, text, to=seen: to[row].append(text))
        assert [b"".join(seen[row]) for row in range(3)] == done.texts
        assert len(seen[0]) > 4


def test_a_beginning_of_a_stop_string_is_shown_once_it_is_none(model: BltModel) -> None:
    plain = generate(model, [RAGGED[0]], GREEDY).texts[0]
    seen: list[bytes] = []
    other = plain[5:7] + bytes([plain[7] ^ 1])
    settings = replace(GREEDY, stop=(other,))
    done = generate(model, [RAGGED[0]], settings, on_bytes=lambda _row, text: seen.append(text))
    assert other not in plain
    assert done.texts == [plain] == [b"".join(seen)]
    assert seen[5] == plain[5:8], "two bytes were held back until the third came"


def test_of_stop_strings_that_end_together_all_is_left_out(model: BltModel) -> None:
    plain = generate(model, [RAGGED[0]], GREEDY).texts[0]
    longer, at = plain[9:13], plain.index(plain[9:13])
    shorter = longer[-2:]
    assert plain.index(shorter) == at + 2
    for stop in ((longer, shorter), (shorter, longer)):
        assert generate(model, [RAGGED[0]], replace(GREEDY, stop=stop)).texts == [plain[:at]]


@pytest.mark.parametrize("draft", [None, 3])
def test_an_end_of_sequence_ends_a_text_where_ids_of_no_byte_are_in_play(draft: int | None) -> None:
    model = blt(document_mask=False)
    plain = generate(model, [RAGGED[0]], replace(GREEDY, ids="all")).ids[0]
    assert EOS not in plain
    with torch.no_grad():  # the end is what the byte at place 12 was
        model.head.weight[[EOS, plain[12]]] = model.head.weight[[plain[12], EOS]]
    first = plain.index(plain[12])
    done = generate(model, [RAGGED[0]], replace(GREEDY, ids="all", draft=draft))
    assert done.ids == [[*plain[:first], EOS]] == [recomputed(model, RAGGED[0], LENGTH, every_id=True)]
    assert done.ended == ["end"]
    assert len(done.texts[0]) == sum(each >= OFFSET for each in plain[:first])
    bytes_alone = generate(model, [RAGGED[0]], replace(GREEDY, draft=draft))
    assert bytes_alone.ended == ["length"]
    assert len(bytes_alone.texts[0]) == LENGTH


def test_counters_say_what_was_done(model: BltModel) -> None:
    done = generate(model, RAGGED, GREEDY)
    assert done.prompt.passes == {"encoder": 1, "entropy": 1, "latent": 1, "decoder": 1, "patches": done_patches(done)}
    steps = LENGTH - 1  # the last byte is never shown to the model
    assert {done.output.passes[name] for name in ("encoder", "entropy", "decoder")} == {steps}
    assert done.output.passes["patches"] == sum(done.output.patches) < 3 * steps
    assert done.output.passes["latent"] <= steps
    for row, (prompt, ids) in enumerate(zip(RAGGED, done.ids, strict=True)):
        starts = model.patcher.starts(torch.tensor([[*prompt, *ids[:-1]]]))[0]
        # start t + 1 completes the patch of byte t; the first is BOS alone
        assert done.prompt.patches[row] == int(starts[2 : len(prompt) + 1].sum())
        assert done.output.patches[row] == int(starts[len(prompt) + 1 :].sum())
        assert (done.prompt.bytes[row], done.output.bytes[row]) == (len(prompt) - 1, steps)
    assert done.output.bytes_per_patch == 3 * steps / sum(done.output.patches)


def done_patches(done: object) -> int:
    prompt = done.prompt  # type: ignore[attr-defined]
    return sum(prompt.patches) + len(prompt.patches)


def test_texts_go_on_beyond_every_window(model: BltModel) -> None:
    """The windows of the local layers are 8 bytes."""
    long = generate(model, [[BOS]], replace(GREEDY, length=150)).ids[0]
    assert long == recomputed(model, [BOS], 150)


def test_what_cannot_be_is_refused(model: BltModel) -> None:
    for prompts, settings, said in (
        ([], GREEDY, "none"),
        ([[]], GREEDY, "BOS"),
        ([[BOS], [80, 81]], GREEDY, "prompt 1"),
        ([[BOS, 260]], GREEDY, "beyond"),
        ([[BOS]], replace(GREEDY, length=0), "length"),
        ([[BOS]], replace(GREEDY, draft=0), "draft"),
        ([[BOS]], replace(GREEDY, temperature=-1.0), "temperature"),
        ([[BOS]], replace(GREEDY, temperature=math.nan), "temperature"),
        ([[BOS]], replace(GREEDY, top_p=0.0), "top_p"),
        ([[BOS]], replace(GREEDY, stop=(b"",)), "stop"),
        ([[BOS]], replace(GREEDY, refresh="sometimes"), "refresh"),  # type: ignore[arg-type]
        ([RAGGED[0]], replace(GREEDY, patches=6), "6 patches"),
    ):
        with pytest.raises(UserError, match=said):
            generate(model, prompts, settings)


def test_a_patcher_without_a_threshold_is_refused() -> None:
    model = blt()
    model.patcher.threshold.fill_(math.nan)
    with pytest.raises(UserError, match="threshold was never set"):
        generate(model, [[BOS]], GREEDY)


@pytest.mark.parametrize(
    "settings", [GREEDY, Settings(LENGTH, seed=3), Settings(LENGTH, seed=3, stop=(b"a", b"\xf0"))], ids=str
)
def test_steps_of_fixed_shapes_give_the_same(model: BltModel, settings: Settings) -> None:
    """What CUDA graphs record, run as it is."""
    plain, fixed = (generate(model, RAGGED, replace(settings, graphs=graphs)) for graphs in (False, True))
    assert fixed.ids == plain.ids
    assert fixed.ended == plain.ended
    assert fixed.output.patches == plain.output.patches
    assert fixed.output.bytes == plain.output.bytes
    assert {name: plain.output.passes[name] for name in ("encoder", "decoder")} == {
        name: fixed.output.passes[name] for name in ("encoder", "decoder")
    }
