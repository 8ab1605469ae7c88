"""A network of whole patches tells nothing of what is hidden, lengths included, and rows do not meet."""

from typing import Any

import pytest
import torch
from torch import Tensor

from isobyte.backbone.blt.initial import initialise
from isobyte.backbone.blt.patchwise import PatchwiseNetwork
from isobyte.backbone.mask import PatchesHidden
from isobyte.config.patching import SpacePatching
from patch_models import RULES, patch_net, shape_of

SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "window": {"window": 2},
    "embedding": {"decoder_input": "embedding", "latents": 1},
    "all": {"encoder_cross_layers": "all", "decoder_cross_layers": "first", "window": 3, "cross_residual": "doubled"},
}
EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES)
Cells = list[Tensor]
"""Of each patch: logits of its first cell and after each of its bytes [1 + length, 257]."""


def net(shape: str, *, both_ways: bool, attention: str = "sdpa") -> PatchwiseNetwork:
    return patch_net(SpacePatching(), both_ways=both_ways, attention=attention, **SHAPES[shape])


def said(model: PatchwiseNetwork, rows: list[list[str]], hidden: list[list[bool]] | None) -> list[Cells]:
    """What the network says of each patch of each row."""
    most, length = max(map(len, rows)), len("".join(rows[0]))
    starts = torch.zeros(len(rows), length, dtype=torch.bool)
    mask = None
    if hidden is not None:  # what says nothing of a patch says that it is hidden
        mask = torch.tensor([[*row, *[True] * (most - len(row))] for row in hidden])
    for row, patches in enumerate(rows):
        starts[row, [len("".join(patches[:m])) for m in range(len(patches))]] = True
    x = torch.tensor([list("".join(patches).encode()) for patches in rows])
    with torch.no_grad():
        logits = model.logits(model(x, PatchesHidden(starts, mask)))
    assert logits.shape == (len(rows), length + most, 257)
    found = []
    for row, patches in enumerate(rows):
        ends = [len("".join(patches[:m])) for m in range(len(patches) + 1)]
        found.append([
            torch.cat((logits[row, length + m][None], logits[row, ends[m] : ends[m + 1]])) for m in range(len(patches))
        ])  # fmt: skip
    return found


def same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def differ(one: Tensor, other: Tensor) -> None:
    assert (one - other).abs().max() > 1e-3


PATCHES = ["the ", "old", "men ", "of ", "the", " sea"]
HIDDEN = [False, True, False, True, True, False]


@EVERY_SHAPE
@pytest.mark.parametrize("other", ["o", "ol", "older", "xyz", "and so on, "])
def test_t10_what_is_hidden_and_how_long_it_is_moves_nothing_but_its_own_cells(shape: str, other: str) -> None:
    model = net(shape, both_ways=True)
    changed = [*PATCHES[:1], other, *PATCHES[2:]]
    (before,), (after,) = (said(model, [text], [HIDDEN]) for text in (PATCHES, changed))
    for m in (0, 2, 3, 4, 5):
        same(before[m], after[m])
    same(before[1][0], after[1][0])
    alike = next((i for i, (a, b) in enumerate(zip("old", other, strict=False)) if a != b), min(3, len(other)))
    same(before[1][: 1 + alike], after[1][: 1 + alike])
    if alike < min(3, len(other)):
        differ(before[1][1 + alike], after[1][1 + alike])


@EVERY_SHAPE
def test_what_is_shown_moves_what_is_asked_of_others(shape: str) -> None:
    """By its bytes, its number and how many there are: the network does look."""
    model = net(shape, both_ways=True)
    (before,) = said(model, [PATCHES], [HIDDEN])
    for changed in (["a ", *PATCHES[1:]], [*PATCHES[:5], " hill"], [PATCHES[2], PATCHES[1], PATCHES[0], *PATCHES[3:]]):
        (after,) = said(model, [changed], [HIDDEN])
        for m in (1, 3, 4):
            differ(before[m][0], after[m][0])
            differ(before[m][-1], after[m][-1])
    (more,) = said(model, [[*PATCHES, "end"]], [[*HIDDEN, True]])
    differ(before[1], more[1])
    (shown,) = said(model, [PATCHES], [[False] * 6])
    differ(before[1][0], shown[1][0])
    differ(before[3][0], before[4][0])


@EVERY_SHAPE
@pytest.mark.parametrize("both_ways", [True, False], ids=["masked", "ar"])
def test_t10_a_byte_sees_no_later_one_of_its_patch(shape: str, both_ways: bool) -> None:
    model, hidden = net(shape, both_ways=both_ways), [HIDDEN] if both_ways else None
    (before,) = said(model, [["the ", "cabin", "men ", "of ", "the", " sea"]], hidden)
    for later in ("cabzz", "cabyn", "cab"):
        (after,) = said(model, [["the ", later, "men ", "of ", "the", " sea"]], hidden)
        same(before[1][:4], after[1][:4])
    differ(before[1][4], said(model, [["the ", "cabyn", "men ", "of ", "the", " sea"]], hidden)[0][1][4])


@EVERY_SHAPE
@pytest.mark.parametrize("other", ["o", "old", "oldest", "xyz"])
def test_t10_left_to_right_no_patch_sees_a_later_one(shape: str, other: str) -> None:
    model = net(shape, both_ways=False)
    (before,), (after,) = (said(model, [[*PATCHES[:2], p, *PATCHES[3:]]], None) for p in ("men ", other))
    for m in (0, 1):
        same(before[m], after[m])
    same(before[2][0], after[2][0])
    for m in (3, 4, 5):
        differ(before[m][0], after[m][0])
    (short,) = said(model, [PATCHES[:2]], None)
    for m in (0, 1):
        same(before[m], short[m])


@EVERY_SHAPE
@pytest.mark.parametrize("both_ways", [True, False], ids=["masked", "ar"])
def test_rows_of_a_batch_never_meet(shape: str, both_ways: bool) -> None:
    """Few patches beside many: what fills a row up is seen by none."""
    model = net(shape, both_ways=both_ways)
    rows = [["abcdefgh"], ["a", "b", "c", "d", "e", "f", "g", "h"], ["abc", "de", "fgh"], ["ab", "cdefgh"]]
    hidden = [[True], [True, False] * 4, [False, True, True], [True, False]] if both_ways else None
    together = said(model, rows, hidden)
    for row, patches in enumerate(rows):
        (alone,) = said(model, [patches], [hidden[row]] if hidden else None)
        for m in range(len(patches)):
            same(together[row][m], alone[m])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("both_ways", [True, False], ids=["masked", "ar"])
def test_kernels_agree(shape: str, both_ways: bool) -> None:
    rows, hidden = [PATCHES, ["t", "he ", *PATCHES[1:]]], [HIDDEN, [True, *HIDDEN]]
    found = [said(net(shape, both_ways=both_ways, attention=name), rows, hidden if both_ways else None)
             for name in ("sdpa", "explicit")]  # fmt: skip
    for row, patches in enumerate(rows):
        for m in range(len(patches)):
            torch.testing.assert_close(found[0][row][m], found[1][row][m], atol=1e-9, rtol=0)


def test_places_are_counted_within_patches() -> None:
    """Places in the text would turn keys by other angles, and round them otherwise, by lengths that are hidden."""
    starts = torch.tensor([[True, False, False, True, True, False], [True] * 6, [True] + [False] * 5])
    mask = PatchesHidden(starts, None)
    assert mask.place_BT.tolist() == [[0, 1, 2, 0, 0, 1], [0] * 6, [0, 1, 2, 3, 4, 5]]
    assert mask.patch_BT.tolist() == [[0, 0, 0, 1, 2, 2], [0, 1, 2, 3, 4, 5], [0] * 6]
    assert mask.count_B.tolist() == [3, 6, 1]


def test_a_hidden_latent_is_one_vector_for_all() -> None:
    """Gradients say the same as changes: the encoder's work on hidden patches reaches nothing but their own cells."""
    model = net("plain", both_ways=True)
    starts = torch.tensor([[True, False, False, True, False, True, True, False]])
    x, hidden = torch.arange(97, 105)[None], torch.tensor([[False, True, True, False]])
    embedded: list[Tensor] = []

    def keep(_module: object, _inputs: object, output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    model.encoder.embedding.register_forward_hook(keep)
    cells = {"first of 0": 8, "byte of 0": 2, "first of 1": 9, "byte of 1": 3, "end of 1": 4, "first of 2": 10}
    shown = {}
    for name, at in cells.items():
        logits_V = model.logits(model(x, PatchesHidden(starts, hidden)))[0, at]
        (logits_V * torch.linspace(1, 2, len(logits_V))).sum().backward()
        gradient = embedded[-1].grad
        assert gradient is not None
        shown[name] = set(gradient[0].abs().sum(-1).nonzero().flatten().tolist())
    bos, visible = {0}, {1, 2, 3, 7, 8}
    assert shown["first of 1"] == shown["first of 2"] == bos | visible
    assert shown["byte of 1"] == bos | visible | {4}
    assert shown["end of 1"] == bos | visible | {4, 5}
    assert shown["byte of 0"] == bos | visible


@pytest.mark.parametrize("rule", RULES)
def test_grouping_is_the_rules_row_by_row(rule: str) -> None:
    model = patch_net(RULES[rule], both_ways=True)
    x = torch.randint(90, 105, (6, 9), generator=torch.Generator().manual_seed(0))
    x[:, ::4] = 32
    starts = model.grouping(x)
    assert starts.shape == x.shape
    assert starts[:, 0].all()
    for row in range(6):
        assert torch.equal(model.grouping(x[row : row + 1])[0], starts[row])
    for length in range(1, 9):
        assert torch.equal(model.grouping(x[:, :length]), starts[:, :length]), "rules go by the bytes before"


def test_initial_weights_are_the_seeds_and_start_uniform() -> None:
    models = [PatchwiseNetwork(shape_of(SpacePatching()), both_ways=True) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        initialise(model, seed)
    one, again, other = (torch.cat([p.flatten() for p in model.parameters()]) for model in models)
    assert one.equal(again)
    assert not one.equal(other)
    assert models[0].unseen is not None
    assert models[0].unseen.std() > 0.3
    assert models[0].first.std() > 0.3
    (cells,) = said(models[0], [PATCHES], [HIDDEN])
    assert float(torch.cat(cells).abs().max()) == 0
