"""Walks over patches: what is asked, what a decoder cannot see, what it is told of a beginning, and what is no text."""

import pytest
import torch
from torch import Tensor

from isobyte.backbone.blt.patchwise import END, PatchwiseNetwork
from isobyte.backbone.mask import PatchesHidden
from isobyte.objective.patchwise import content_dependent, grouping_of
from isobyte.objective.walk import Reveal, drive
from isobyte.objective.walk_patches import patch_symbols, patch_walk
from patch_models import RULES, all_windows, patch_net

LENGTH = 5
WINDOWS = all_windows(LENGTH)
CASES = [(rule, both_ways) for rule in RULES for both_ways in (False, True)]


def numbers(model: PatchwiseNetwork, length: int) -> Tensor | None:
    """Log-probabilities of how many patches there are, where the text decides it."""
    decided = model.both_ways and content_dependent(model.patcher.config) and length > 1
    return torch.full((length,), -torch.tensor(float(length)).log().item()) if decided else None


def walked(model: PatchwiseNetwork, x_WT: Tensor, seen: list[Reveal] | None = None, given: int = 0) -> Tensor:
    """The windows that come of telling the walk what it asks, `given` symbols left out; nothing more may be asked."""
    grouping, log_count_T = grouping_of(model), numbers(model, x_WT.shape[1])
    assert grouping is not None
    cells = patch_symbols(x_WT, grouping.starts(x_WT), grouping.rule, counted=log_count_T is not None)
    asked = torch.zeros_like(cells)

    def told(reveal: Reveal) -> Tensor:
        asked[reveal.rows, reveal.places] += 1
        if seen is not None:
            seen.append(reveal)
        return cells[reveal.rows, reveal.places]

    hidden_WT = torch.full_like(x_WT, model.vocab)
    hidden_WT[:, :given] = x_WT[:, :given]
    walk = patch_walk(model, grouping, hidden_WT, both_ways=model.both_ways, log_count_T=log_count_T)
    found = drive(walk, told)
    assert asked.max() == 1, "nothing is asked twice"
    return found


@torch.inference_mode()
@pytest.mark.parametrize(("rule", "both_ways"), CASES)
def test_every_window_comes_about(rule: str, both_ways: bool) -> None:
    model = patch_net(RULES[rule], both_ways=both_ways)
    assert torch.equal(walked(model, WINDOWS), WINDOWS)
    assert torch.equal(walked(model, WINDOWS[:3, :1]), WINDOWS[:3, :1])


@torch.inference_mode()
@pytest.mark.parametrize(("rule", "both_ways"), CASES)
def test_what_is_shown_is_what_was_told(rule: str, both_ways: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two texts that agree in what was told show the network the same cells, as long as they agree."""
    model, views = patch_net(RULES[rule], both_ways=both_ways), []
    forward = PatchwiseNetwork.forward

    def spy(self: PatchwiseNetwork, x_WT: Tensor, mask: PatchesHidden, **named: object) -> Tensor:
        hidden = None if mask.hidden_BM is None else mask.hidden_BM.clone()
        views.append((x_WT.clone(), mask.starts.clone(), hidden))
        return forward(self, x_WT, mask, **named)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(PatchwiseNetwork, "forward", spy)
    grouping = grouping_of(model)
    assert grouping is not None
    heard: dict[tuple[object, ...], object] = {}
    for x_1T in WINDOWS.split(1):
        views.clear()
        walked(model, x_1T)
        counted = numbers(model, LENGTH) is not None
        symbols = patch_symbols(x_1T, grouping.starts(x_1T), grouping.rule, counted=counted)[0].tolist()
        for step, view in enumerate(views):
            told = tuple(symbols[: step + counted])
            shown = tuple(None if part is None else tuple(part.flatten().tolist()) for part in view)
            assert heard.setdefault(told, shown) == shown
            assert len(view[0][0]) == LENGTH, "the network's calls have one length"


@torch.inference_mode()
@pytest.mark.parametrize(("rule", "both_ways"), CASES)
def test_windows_beside_each_other_do_not_meet(rule: str, both_ways: bool) -> None:
    model = patch_net(RULES[rule], both_ways=both_ways)
    together: list[Reveal] = []
    walked(model, WINDOWS, together)
    for row in (0, 7, 21):
        alone: list[Reveal] = []
        walked(model, WINDOWS[row : row + 1], alone)
        beside = torch.cat(
            [reveal.log_NV[reveal.rows == row] for reveal in together if reveal.log_NV.shape[1] > LENGTH]
        )
        single = torch.cat([reveal.log_NV for reveal in alone if reveal.log_NV.shape[1] > LENGTH])
        torch.testing.assert_close(beside, single, rtol=1e-9, atol=1e-9)


@torch.inference_mode()
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("given", [1, 2, 3, LENGTH])
def test_what_is_given_is_read_as_the_rule_reads_it(rule: str, given: int) -> None:
    """Of texts whose next byte is another: the walk goes on where one that was told all would be."""
    model = patch_net(RULES[rule], both_ways=False)
    grouping = grouping_of(model)
    assert grouping is not None
    for x_1T in WINDOWS[::5].split(1):
        whole: list[Reveal] = []
        walked(model, x_1T, whole)
        rest: list[Reveal] = []
        hidden_1T = x_1T.clone()
        hidden_1T[:, given:] = model.vocab
        told = patch_symbols(x_1T, grouping.starts(x_1T), grouping.rule, counted=False)[0]

        def answer(reveal: Reveal, told: Tensor = told, rest: list[Reveal] = rest) -> Tensor:
            rest.append(reveal)
            return told[reveal.places]

        assert torch.equal(drive(patch_walk(model, grouping, hidden_1T, both_ways=False), answer), x_1T)
        skipped = len(whole) - len(rest)
        assert (told[:skipped] != END).sum() == given, "exactly what is given, and its ends, are not asked for"
        for one, other in zip(whole[skipped:], rest, strict=True):
            assert int(one.places) == int(other.places)
            torch.testing.assert_close(one.log_NV, other.log_NV, rtol=1e-9, atol=1e-9)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("both_ways", "symbols"),
    [
        (False, [END]),
        (False, [97, END, END]),
        (True, [1, END]),
        (True, [1, 97, END, 97, END]),
        (True, [0, 97, END]),
        (True, [2, 97, 97, 97, 97, 97]),
    ],
    ids=["empty", "empty-second", "empty-hidden", "too-many-ends", "end-of-all", "too-few-patches"],
)
def test_what_no_text_has_is_refused(both_ways: bool, symbols: list[int]) -> None:
    """A decoder that is fed what was not written for it ends in a ValueError, and in time."""
    model = patch_net(RULES["space"], both_ways=both_ways)
    grouping, rest = grouping_of(model), iter(symbols)
    assert grouping is not None
    hidden_1T = torch.full((1, LENGTH), model.vocab)
    walk = patch_walk(model, grouping, hidden_1T, both_ways=both_ways, log_count_T=numbers(model, LENGTH))
    with pytest.raises(ValueError, match="patch"):
        drive(walk, lambda _reveal: torch.tensor([next(rest)]))


def test_what_is_asked_for_is_the_bytes_and_the_ends_that_are_not_known() -> None:
    model = patch_net(RULES["space-capped"], both_ways=True)
    grouping = grouping_of(model)
    assert grouping is not None
    x_1T = torch.tensor([[97, 32, 97, 97, 97, 97, 32]])
    # a patch of its own for what follows a space; one of three bytes ends by itself, as does the window
    asked = patch_symbols(x_1T, grouping.starts(x_1T), grouping.rule, counted=True)
    assert asked.tolist() == [[2, 97, 32, END, 97, 97, 97, 97, 32]]
