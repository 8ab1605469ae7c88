"""How a text of a Byte Latent Transformer came to be, byte by byte: what was drafted, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.byte_ids import OFFSET
from isobyte.objective.base import normalised


@dataclass(frozen=True)
class Cell:
    """A byte that was filled into a block, or drafted."""

    place: int
    id: int
    sure: float
    """Its probability to whoever drafted it."""
    step: int


@dataclass(frozen=True)
class Verdict:
    """What one exact pass said of `drafts` bytes from `place` on: how many are kept, and what comes after those."""

    place: int
    drafts: int
    kept: int


@dataclass
class Round:
    """One draft or block, as it was watched."""

    cells: list[Cell] = field(default_factory=list)
    """In the order of filling."""
    verdict: Verdict | None = None
    """None where blocks are kept unjudged."""

    @property
    def begin(self) -> int:
        """The first place that it was to settle."""
        return self.verdict.place if self.verdict is not None else min(cell.place for cell in self.cells)


class BlockTrace:
    """A `Watch` of the first row, round by round."""

    def __init__(self) -> None:
        self.rounds: list[Round] = []

    def filled(self, step: int, cells: list[tuple[int, int, float]]) -> None:
        if step == 0:
            self.rounds.append(Round())
        self.rounds[-1].cells += [Cell(*cell, step) for cell in cells]

    def judged(self, place: int, drafts: list[int], kept: int, after: int) -> None:
        del after  # the text has it
        if not self.rounds or self.rounds[-1].verdict is not None:
            self.rounds.append(Round())  # nothing was drafted
        self.rounds[-1].verdict = Verdict(place, len(drafts), kept)


@dataclass(frozen=True)
class Turn:
    """What one round did to the text. The bytes that it settled are `exact`, those of `kept` cells, and `after`."""

    exact: int
    """Bytes that an exact pass settled before it."""
    cells: list[Cell]
    """By place. What comes after the kept ones was refused, or came too late."""
    kept: int
    judged: int | None
    """Of how many cells an exact pass said whether they are kept; None: of none, they were kept as they are."""
    after: bool
    """Whether that pass settled the byte after the kept ones."""


@dataclass(frozen=True)
class Story:
    """A text with all that happened on its way."""

    prompt: list[int]
    """Ids, with BOS."""
    ids: list[int]
    """That came after."""
    opens: list[bool]
    """[T] for every place of both: does a patch open there?"""
    sure: list[float]
    """[T] each id's probability given all before it, plainly decoded."""
    turns: list[Turn]


def turns(rounds: Sequence[Round], begin: int, end: int) -> list[Turn]:
    """What each round did to the places from `begin` to `end`. A round of nothing but exact bytes may end it.

    A block that is not judged stays up to where the next one begins, the last up to the end.
    """
    found, at = [], begin
    for number, each in enumerate(rounds):
        start, verdict = each.begin, each.verdict
        cells = sorted(each.cells, key=lambda cell: cell.place)
        if verdict is None:
            last = rounds[number + 1].begin if number + 1 < len(rounds) else end
            kept, judged, after = last - start, None, False
        else:
            kept = min(verdict.kept, end - start)
            after = start + kept < end
            judged = verdict.drafts if after else kept  # no draft is refused that a text has no room for
        found.append(Turn(start - at, cells, kept, judged, after))
        at = start + kept + after
    return found + ([Turn(end - at, [], 0, None, False)] if at < end else [])


@torch.inference_mode()
def story(trace: BlockTrace, model: BltModel, prompt: list[int], ids: list[int], *, every_id: bool = False) -> Story:
    """What was watched, beside what the model says of the whole text in one exact pass."""
    whole = [*prompt, *ids]
    ids_BT = torch.tensor([whole], device=model.device)
    starts = model.patcher.starts(ids_BT)
    hidden_BTD = model.hidden(ids_BT, starts)[:, :-1]
    log_BTV = normalised(model.id_logits(hidden_BTD) if every_id else model.logits(hidden_BTD))
    symbols_BT = (ids_BT[:, 1:] if every_id else ids_BT[:, 1:] - OFFSET).clamp(min=0)
    sure = log_BTV.gather(-1, symbols_BT[..., None])[0, :, 0].exp().tolist()
    told = turns(trace.rounds, len(prompt), len(whole))
    return Story(prompt, ids, starts[0, :-1].tolist(), [1.0, *sure], told)
