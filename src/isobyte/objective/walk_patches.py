"""Walks over patches: one patch after the other, each byte by byte until its end is read.

A walk knows what it was told and no more. Where a patch ends follows from the ends it is sent; what is not written yet
stands in the view as placeholders that no latent and no cell in use sees: one byte for each patch to come, and what
fills a row behind the bytes of the patch that is being written.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from isobyte.backbone.blt.patchwise import END
from isobyte.backbone.mask import PatchesHidden
from isobyte.config.patching import Patching
from isobyte.objective.base import Network, View, normalised
from isobyte.objective.patchwise import Grouping, certain, content_dependent
from isobyte.objective.walk import Reveal, Walk


@dataclass(frozen=True)
class Lengths:
    """What is known of where patches end before they are read: all, or how long they can be."""

    fixed: list[int] | None
    """Bytes of each patch."""
    most: int

    @classmethod
    def of(cls, grouping: Grouping, length: int, device: torch.device) -> Self:
        """In windows of `length`."""
        if content_dependent(grouping.rule):
            return cls(None, grouping.rule.max_length or length)
        starts = fixed_starts(grouping, length, device).nonzero()[:, 0].tolist()
        return cls([end - start for start, end in zip(starts, [*starts[1:], length], strict=True)], length)

    def over(self, number: int, size: int) -> bool:
        """Does patch `number` end for certain where it has `size` bytes?"""
        return size == (self.most if self.fixed is None else self.fixed[number])


def fixed_starts(grouping: Grouping, length: int, device: torch.device) -> Tensor:
    """[T] where patches open, by a rule that does not look at the text."""
    return grouping.starts(torch.zeros(1, length, dtype=torch.long, device=device))[0]


class Row:
    """A window on its way.

    `order` names the patches in the order in which they are written, of `count` that there are; None: from left to
    right, as many as come. With `length` the window has so many bytes, and what cannot be so is a ValueError.
    """

    def __init__(
        self, lengths: Lengths, *, length: int | None, order: Iterator[int] | None = None, count: int = 0
    ) -> None:
        self.lengths, self.length, self.order = lengths, length, order
        self.patches: list[list[int]] = [[] for _ in range(count)]
        self.written = self.asked = 0
        """Bytes, and symbols that were asked for: bytes, ends, and what came before them."""
        self.done: set[int] = set()
        self.current: int | None = None
        self._open()

    @property
    def may_end(self) -> bool:
        """Whether the current patch can end where it stands, and has not been known to."""
        return self.lengths.fixed is None and self.current is not None and bool(self.patches[self.current])

    def take(self, symbol: int) -> None:
        """A byte of the current patch, or its end."""
        assert self.current is not None
        patch = self.patches[self.current]
        self.asked += 1
        if symbol == END:
            if not patch:
                raise ValueError("a patch without bytes")
            self._close()
            return
        patch.append(symbol)
        self.written += 1
        if self.written == self.length or self.lengths.over(self.current, len(patch)):
            self._close()

    def _close(self) -> None:
        assert self.current is not None
        self.done.add(self.current)
        self._open()

    def _open(self) -> None:
        if self.order is None:
            self.current = None if self.written == self.length else len(self.patches)
            self.patches += [] if self.current is None else [[]]
        else:
            self.current = next(self.order, None)
            if self.length is not None and (self.current is None) != (self.written == self.length):
                raise ValueError("patches that do not fill their window")

    def text(self) -> list[int]:
        return [byte for patch in self.patches for byte in patch]


def patch_walk(
    network: Network,
    grouping: Grouping,
    x_WT: Tensor,
    *,
    both_ways: bool,
    log_count_T: Tensor | None = None,
    drawn: bool = False,
) -> Walk:
    """Windows x [W, T] patch by patch from left to right; id `vocab` stands where a byte is hidden.

    A network that looks `both_ways` is shown all patches to come as hidden: their number, less one, is asked for first,
    by log-probabilities [T], or is known where those are left out. From left to right windows may begin with what is
    given, and may end inside a patch that is then gone on with. `places` of a Reveal number the symbols of
    `patch_symbols`. Being sent what no text has ends in a ValueError. `drawn`: as in `write`.
    """
    (windows, length), device = x_WT.shape, x_WT.device
    lengths = Lengths.of(grouping, length, device)
    if not both_ways:
        rows = [Row(lengths, length=length) for _ in range(windows)]
        _give(rows, grouping, x_WT, network.vocab)
    else:
        if log_count_T is None:
            numbers = [int(fixed_starts(grouping, length, device).sum())] * windows
        else:
            every = torch.arange(windows, device=device)
            less = yield Reveal(every, torch.zeros_like(every), log_count_T.to(device).expand(windows, -1))
            numbers = (1 + less).tolist()
        rows = [Row(lengths, length=length, order=iter(range(number)), count=number) for number in numbers]
        for row in rows:
            row.asked += log_count_T is not None
    yield from write(network, rows, device, both_ways=both_ways, length=length, drawn=drawn)
    return torch.tensor([row.text() for row in rows], device=device)


def _give(rows: list[Row], grouping: Grouping, x_WT: Tensor, vocab: int) -> None:
    """Tell each row the bytes that it begins with; the rule says which patches they are, and if the last one ends."""
    known = (x_WT < vocab).int().cumprod(1)
    starts = grouping.starts(torch.where(known.bool(), x_WT, 0))  # a rule never looks at the byte that opens a patch
    for row, text, count, opens in zip(rows, x_WT.tolist(), known.sum(1).tolist(), starts.tolist(), strict=True):
        for place, byte in enumerate(text[:count], 1):
            before = row.current
            row.take(byte)
            if row.current == before and place < len(text) and opens[place]:
                row.take(END)


def write(
    network: Network, rows: list[Row], device: torch.device, *, both_ways: bool, length: int = 0, drawn: bool = False
) -> Generator[Reveal, Tensor, None]:
    """One symbol of every row that is not whole, until all are; rows are shown `length` bytes or more.

    `drawn`, for who draws symbols from what it is told: the end has no probability where no patch can end. What is left
    is not normalised.
    """
    while live := [number for number, row in enumerate(rows) if row.current is not None]:
        view, cells = _shown(rows, device, both_ways=both_ways, length=length)
        rows_N = torch.tensor(live, device=device)
        h_ND = network(view.inputs, view.mask)[rows_N, torch.tensor([cells[number] for number in live], device=device)]
        places_N = torch.tensor([rows[number].asked for number in live], device=device)
        log_NV = normalised(network.logits(h_ND))
        if drawn:
            stays_N = torch.tensor([not rows[number].may_end for number in live], device=device)
            log_NV[stays_N, END] = -torch.inf
        found = yield Reveal(rows_N, places_N, log_NV)
        for number, symbol in zip(live, found.tolist(), strict=True):
            rows[number].take(symbol)


def _shown(rows: list[Row], device: torch.device, *, both_ways: bool, length: int) -> tuple[View, list[int]]:
    """What is written, and the cell of each row that is asked (0 in rows that are whole)."""
    held = max(length, *(sum(max(1, len(patch)) for patch in row.patches) for row in rows))
    most = max(len(row.patches) for row in rows)
    inputs, starts, hidden, cells = [], [], [], []
    for row in rows:
        text: list[int] = []
        opens = [False] * held
        spare = held - sum(max(1, len(patch)) for patch in row.patches)
        last = len(row.patches) - 1 if row.current is None else row.current
        cell = 0
        for number, patch in enumerate(row.patches):
            opens[len(text)] = True
            if number == row.current:
                cell = len(text) + len(patch) - 1 if patch else held + number
            text += patch or [0]
            text += [0] * (spare if number == last else 0)
        inputs.append(text)
        starts.append(opens)
        hidden.append([number < len(row.patches) and number not in row.done for number in range(most)])
        cells.append(cell)
    mask = PatchesHidden(
        torch.tensor(starts, device=device), torch.tensor(hidden, device=device) if both_ways else None
    )
    return View(torch.tensor(inputs, device=device), mask), cells


def patch_symbols(x_WT: Tensor, starts: Tensor, rule: Patching, *, counted: bool) -> Tensor:
    """[W, S] what `patch_walk` asks for, in its order, then zeros: with `counted` the number of patches less one; the
    bytes, and behind the last one of a patch END, where that is not certain."""
    after = torch.cat((starts[:, 1:], torch.ones_like(starts[:, :1])), 1) & ~certain(rule, PatchesHidden(starts, None))
    symbols = torch.stack((x_WT, torch.full_like(x_WT, END)), -1).flatten(1)
    asked = torch.stack((torch.ones_like(after), after), -1).flatten(1)
    if counted:
        symbols = torch.cat((starts.sum(1, keepdim=True) - 1, symbols), 1)
        asked = torch.cat((torch.ones_like(asked[:, :1]), asked), 1)
    first = (~asked).int().argsort(stable=True, dim=1)[:, : int(asked.sum(1).max())]
    return torch.where(asked, symbols, 0).gather(1, first)
