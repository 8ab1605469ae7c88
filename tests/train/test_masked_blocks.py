"""What a run says of its masked blocks: against full passes, by hand, and of a network that leaks."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from blt_blocks import cells_of as full_pass
from blt_models import blt, entropy_patching, recomputed
from isobyte.backbone.blt import model as blt_model
from isobyte.backbone.blt.network import BltNetwork
from isobyte.backbone.byte_ids import MASK, OFFSET
from isobyte.backbone.mask import Blocked, PatchBlocks
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.objective import BltDiffusionConfig
from isobyte.config.patching import StaticPatching
from isobyte.config.representation import BytesConfig
from isobyte.data.stream import Stream
from isobyte.objective.base import cost_sum
from isobyte.objective.draw import Draw
from isobyte.objective.training import training_questions
from isobyte.representation import build
from isobyte.train import block_layouts
from isobyte.train.block_layouts import (
    Sample,
    as_trained,
    draw_sample,
    greedily,
    hidden_cells,
    in_generation,
    mask_counts,
)
from isobyte.train.masked_blocks import MaskedBlocks, Mean, masked_blocks

PATCHINGS = {"entropy": entropy_patching(), "capped": entropy_patching(3), "static": StaticPatching(size=3)}


def text(length: int, symbols: int = 256, seed: int = 0) -> Stream:
    found = np.random.default_rng(seed).integers(symbols, size=length, dtype=np.uint8).tobytes()
    return Stream.of([found], build(BytesConfig()))


@cache
def net(patching: str, **shape: Any) -> BltNetwork:
    model = blt(PATCHINGS[patching], cells=True, document_mask=False, **shape)
    torch.nn.init.normal_(model.decoder.mask)  # type: ignore[arg-type]
    return model


@cache
def sample(patching: str, size: int, places: int = 12) -> Sample:
    x_WT = torch.randint(256, (3, 33), generator=torch.Generator().manual_seed(7))
    return draw_sample(net(patching), x_WT, size, places, seed=0)


CASES = pytest.mark.parametrize(("patching", "size"), [("entropy", 4), ("capped", 8), ("static", 3), ("entropy", 1)])


@CASES
@torch.inference_mode()
def test_a_block_that_begins_with_a_patch_is_answered_in_generation_as_in_training(patching: str, size: int) -> None:
    at = sample(patching, size)
    trained, here = as_trained(net(patching), at), in_generation(net(patching), at, "here")
    assert at.aligned_WN.sum() > 10
    assert not here.known_WN.any()
    rows = at.aligned_WN.nonzero(as_tuple=True)
    for one, other in zip(trained, here, strict=True):
        one, other = (each if each.ndim == 2 else each.transpose(1, 2) for each in (one, other))
        torch.testing.assert_close(one[rows], other[rows], rtol=1e-4, atol=1e-4)


@CASES
@pytest.mark.parametrize("begin", ["here", "patch"])
@torch.inference_mode()
def test_blocks_of_generation_are_those_of_a_pass_over_the_text_before_them(
    patching: str, size: int, begin: Any
) -> None:
    model, at = net(patching), sample(patching, size)
    shown, resumed = in_generation(model, at, begin), 0
    for row, ids_T in enumerate(at.ids_WT):
        for n, place in enumerate(at.places_WN[row].tolist()):
            opened = max(s for s in range(place + 1) if at.starts[row, s])
            known = place - opened if begin == "patch" and place - opened < size else 0
            resumed += known > 0
            first = place - known
            assert (int(shown.begin_WN[row, n]), int(shown.known_WN[row, n])) == (first, known)
            truth_K = ids_T[first : first + size]
            for rate, hidden_K in enumerate(shown.hidden_WRNK[row, :, n]):
                cut = not known and opened < place
                h_KD = full_pass(model, ids_T, first, truth_K.masked_fill(hidden_K, MASK), cut=cut)
                log_p = model.logits(h_KD).log_softmax(-1)
                nats_K = -log_p.gather(1, truth_K[:, None] - OFFSET)[:, 0]
                torch.testing.assert_close(shown.nats_WRNK[row, rate, n], nats_K, rtol=1e-4, atol=1e-4)
                assert torch.equal(shown.guess_WRNK[row, rate, n], log_p.argmax(-1))
    assert bool(resumed) == (begin == "patch" and size > 1)


@torch.inference_mode()
def test_greedy_text_is_that_of_full_passes() -> None:
    model, at = net("entropy"), sample("entropy", 4)
    found_WNK = greedily(model, at)
    for row, ids_T in enumerate(at.ids_WT.tolist()):
        for n, place in enumerate(at.places_WN[row].tolist()):
            assert (found_WNK[row, n] + OFFSET).tolist() == recomputed(model, ids_T[:place], 4)


def test_windows_do_not_depend_on_those_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = masked_blocks(net("entropy"), text(200), 33, 4, seed=0, windows=5, places=8)
    monkeypatch.setattr(block_layouts, "BESIDE", 1)
    monkeypatch.setattr(block_layouts, "FED", 2)
    parts = masked_blocks(net("entropy"), text(200), 33, 4, seed=0, windows=5, places=8)
    assert whole is not None
    assert parts is not None
    for name, layout in whole.layouts.items():
        other = parts.layouts[name]
        assert [each.accuracy for each in other.by_rate.values()] == [each.accuracy for each in layout.by_rate.values()]
        assert (other.agreement, other.agreed_prefix) == (layout.agreement, layout.agreed_prefix)


@CASES
def test_places_are_distinct_half_where_patches_open_and_leave_room(patching: str, size: int) -> None:
    at = sample(patching, size, places=8)
    assert (at.places_WN.diff(dim=1) > 0).all()
    assert at.places_WN.min() >= 1
    assert at.places_WN.max() + size < at.starts.shape[1]
    assert at.aligned_WN.sum(1).tolist() == [4, 4, 4]
    everywhere = sample(patching, size, places=99)
    assert everywhere.places_WN.tolist() == [list(range(1, 33 - size + 1))] * 3


@pytest.mark.parametrize(
    ("size", "counts"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 3, 4]), (16, [4, 8, 12, 16])]
)
def test_cells_are_hidden_by_the_share_and_never_what_is_given(size: int, counts: list[int]) -> None:
    assert mask_counts(size) == counts
    keys = torch.rand(5, size, size, generator=torch.Generator().manual_seed(0))
    known = torch.arange(size).expand(5, size)
    hidden = hidden_cells(keys, known)
    for nth, count in enumerate(counts):
        expected = [math.ceil((size - given) * count / size) for given in range(size)]
        assert hidden[:, nth].sum(-1).tolist() == [expected] * 5
    assert not (hidden & (torch.arange(size) < known[:, None, :, None])).any()


def test_a_mean_and_its_error_by_hand() -> None:
    """Windows with 1 of 1, 1 of 3: a half; residuals 0.5 and -0.5, so sqrt(0.5 * 2) / 4."""
    right = torch.tensor([[True, False, True], [True, False, False]])
    picked = torch.tensor([[True, False, False], [True, True, True]])
    assert Mean.of(right, picked) == Mean(4, 0.5, 0.25)
    assert Mean.of(right[:1], picked[:1]) == Mean(1, 1.0, None)
    assert Mean.of(right, torch.zeros_like(picked)) == Mean(0, None, None)


def test_a_network_that_always_says_zero() -> None:
    """It has no opinion, and of equals the first is likeliest. Patches of 3 bytes: from 1, 4, 7, ... on."""
    model = blt(StaticPatching(size=3), cells=True)
    torch.nn.init.zeros_(model.head.weight)
    stream, window, size, windows, places = text(600, symbols=3), 40, 4, 5, 20
    found = masked_blocks(model, stream, window, size, seed=3, windows=windows, places=places)
    assert found is not None
    assert (found.block, found.windows, found.seed) == (4, 5, 3)
    begins = [0, 140, 280, 420, 560]
    x_WT = torch.stack([torch.from_numpy(stream.read(b, b + window).astype(np.int64)) for b in begins])
    at = draw_sample(model, x_WT, size, places, seed=3)
    asked: dict[str, list[tuple[int, int, int, int]]] = {"aligned": [], "amid": [], "resumed": []}
    for row, each in enumerate(at.places_WN.tolist()):
        for place in each:
            opened = place - (place - 1) % 3
            for kind in ["aligned"] if opened == place else ["amid", "resumed"]:
                end = opened + size if kind == "resumed" else place + size
                asked[kind] += [(row, place, p, p - place) for p in range(place, end)]
    asked["training"] = asked["aligned"]
    for name, layout in found.layouts.items():
        whole = layout.by_rate["1"]
        assert whole.accuracy.count == len(asked[name])
        assert whole.accuracy.mean == np.mean([x_WT[row, p - 1] == 0 for row, _, p, _ in asked[name]])
        assert whole.surrogate_nats.mean == pytest.approx(math.log(256), rel=1e-6)
        for final, guesses in ((True, layout.patch_final), (False, layout.patch_inner)):
            for nth in range(size):
                cells = [(row, p) for row, _, p, ahead in asked[name] if ahead == nth and (p % 3 == 0) == final]
                assert guesses[nth].accuracy.count == guesses[nth].surrogate_nats.count == len(cells)
                if cells:
                    assert guesses[nth].accuracy.mean == np.mean([x_WT[row, p - 1] == 0 for row, p in cells])
        blocks = {(row, place) for row, place, _, _ in asked[name]}
        assert {each.mean for each in layout.agreement if each.count} == {1.0}
        assert layout.agreed_prefix.count == len(blocks)
        assert layout.agreed_prefix.mean == len(asked[name]) / len(blocks)
        assert layout.greedy_accuracy[0].mean == np.mean([x_WT[row, place - 1] == 0 for row, place in blocks])
    assert [each.accuracy.count > 0 for each in found.layouts["aligned"].patch_final] == [False, False, True, False]


@torch.inference_mode()
def test_bytes_that_end_patches_are_told_apart_as_by_a_look_at_the_text() -> None:
    """Patches of an entropy rule, whose ends no arithmetic foretells."""
    model, stream = net("entropy"), text(33)
    found = masked_blocks(model, stream, 33, 4, seed=0, places=99)
    assert found is not None
    ids = torch.tensor([[1, *(stream.read(0, 32).astype(int) + OFFSET).tolist()]])
    opens = model.patcher.starts(ids)[0].tolist()
    for name, aligned in (("training", True), ("aligned", True), ("amid", False)):
        places = [place for place in range(1, 30) if opens[place] == aligned]
        final = [sum(opens[place + ahead + 1] for place in places) for ahead in range(4)]
        layout = found.layouts[name]
        assert [each.accuracy.count for each in layout.patch_final] == final
        assert [each.accuracy.count for each in layout.patch_inner] == [len(places) - each for each in final]
        assert 0 < sum(final) < 4 * len(places)


@torch.inference_mode()
def test_agreement_by_hand() -> None:
    """Every block of a network whose head has few bytes to say, counted one by one."""
    model, stream = net("entropy", seed=1), text(200)
    model.head.weight[OFFSET + 2 :] = 0
    found = masked_blocks(model, stream, 33, 4, seed=0, windows=4, places=20)
    assert found is not None
    x_WT = torch.stack([torch.from_numpy(stream.read(b, b + 33).astype(np.int64)) for b in (0, 55, 111, 167)])
    at = draw_sample(model, x_WT, 4, 20, seed=0)
    greedy, shown = greedily(model, at), in_generation(model, at, "patch")
    alike: dict[int, list[bool]] = {ahead: [] for ahead in range(4)}
    runs = []
    for row, n in (~at.aligned_WN).nonzero().tolist():
        known = int(shown.known_WN[row, n])
        each = [bool(shown.guess_WRNK[row, -1, n, k] == greedy[row, n, k - known]) for k in range(known, 4)]
        runs.append([*each, False].index(False))
        for ahead, is_alike in enumerate(each):
            alike[ahead].append(is_alike)
    layout = found.layouts["resumed"]
    assert [(each.count, each.mean) for each in layout.agreement] == [
        (len(each), pytest.approx(np.mean(each))) for each in alike.values()
    ]
    assert (layout.agreed_prefix.count, layout.agreed_prefix.mean) == (len(runs), pytest.approx(np.mean(runs)))
    assert 0 < np.mean(runs) < 3, "there is something to count"


def test_the_same_seed_says_the_same_and_a_short_text_nothing() -> None:
    model, stream = net("entropy"), text(200)
    one, again, other = (masked_blocks(model, stream, 32, 4, seed, windows=4, places=6) for seed in (0, 0, 1))
    assert one == again
    assert one != other
    assert masked_blocks(model, text(4), 32, 4, 0) is None
    assert masked_blocks(model, stream, 4, 4, 0) is None
    short = masked_blocks(model, text(5), 32, 4, 0)
    assert short is not None
    only = short.layouts["training"].by_rate["1"].accuracy
    assert (only.count, only.stderr) == (4, None)


def taught(leaks: bool, monkeypatch: pytest.MonkeyPatch) -> MaskedBlocks:
    """Trained on bytes that nothing foretells; with a leak blocks see the first byte that they stand for."""
    if leaks:

        def one_more(length: int, blocks: PatchBlocks, window: int | None) -> Blocked:
            return Blocked(length, PatchBlocks(torch.where(blocks.begins_BJ < 0, -1, blocks.begins_BJ + 1), 2), window)

        monkeypatch.setattr(blt_model, "Blocked", one_more)
    torch.manual_seed(0)
    local = FlatConfig(layers=1, width=16, heads=2, attention_window=2)
    shape = BltConfig(
        encoder=local, latent=FlatConfig(layers=1, width=16, heads=2), decoder=local, hash_sizes=(),
        patching=StaticPatching(size=2),
    )  # fmt: skip
    model, objective = BltNetwork(shape, cells=True), BltDiffusionConfig(block=2, lambda_mask=2.0, t_min=0.9)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    for step in range(80):
        x_BT = torch.from_numpy(text(8 * 24, 4, seed=step).read(0, 8 * 24).astype(np.int64)).view(8, 24)
        (question,) = training_questions(objective, x_BT, model, Draw(0, step, slice(0, 8), 8))
        optimizer.zero_grad()
        (cost_sum(model, question) / x_BT.numel()).backward()
        optimizer.step()
    found = masked_blocks(model, text(24 * 8, 4, seed=99), 24, 2, seed=0)
    assert found is not None
    return found


@pytest.mark.parametrize("leaks", [False, True])
def test_a_network_that_was_trained_with_a_leak_does_better_in_training_than_in_generation(
    leaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts = taught(leaks, monkeypatch).layouts
    trained, aligned = (layouts[name].by_rate["1"] for name in ("training", "aligned"))
    assert aligned.accuracy.mean is not None
    assert aligned.accuracy.mean < 0.4
    if leaks:
        first = layouts["training"].patch_inner[0].accuracy
        assert first.mean is not None
        assert first.mean > 0.9
        assert trained.accuracy.mean is not None
        assert trained.accuracy.mean > aligned.accuracy.mean + 0.3
    else:
        assert trained.accuracy.mean == aligned.accuracy.mean
        assert trained.surrogate_nats.mean == pytest.approx(aligned.surrogate_nats.mean, rel=1e-5)
