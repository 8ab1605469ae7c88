"""Texts on their way: what has been generated, when each ends, and which bytes may be shown already."""

from collections.abc import Callable
from typing import Literal, Protocol

from isobyte.backbone.byte_ids import EOS, OFFSET

Ended = Literal["length", "end", "stop"]
"""Out of bytes; by an end-of-sequence id; by a stop string."""

OnBytes = Callable[[int, bytes], None]
"""Told the number of a row and bytes of it that are settled."""


class Watch(Protocol):
    """Told how the bytes of the first row come about. Places count from BOS, at 0."""

    def filled(self, step: int, cells: list[tuple[int, int, float]]) -> None:
        """Cells of a block that step 0, 1, ... filled: place, id, and its probability to the network. A draft that is
        made byte by byte is a block of which each step fills one cell. Step 0 begins the next."""
        ...

    def judged(self, place: int, drafts: list[int], kept: int, after: int) -> None:
        """Drafted ids from `place` on, how many were kept, and the id that was settled after those."""
        ...


class Row:
    """One text after its prompt. A stop string ends it and is no part of it; nor is an end-of-sequence id."""

    def __init__(self, number: int, length: int, stop: tuple[bytes, ...], on_bytes: OnBytes | None) -> None:
        self.number, self.left, self.stop, self.on_bytes = number, length, stop, on_bytes
        self.ids: list[int] = []
        """All that was generated."""
        self.text = bytearray()
        self.ended: Ended | None = None
        self._shown = 0

    def take(self, ids: list[int]) -> int:
        """How many of the ids that come next were taken before the text ended; an id that is no byte leaves none."""
        taken = 0
        for each in ids:
            self.ids.append(each)
            self.left -= 1
            taken += 1
            self._settle(each)
            if self.ended is not None:
                break
        if self.on_bytes is not None:
            self._show(self.on_bytes)
        return taken

    def _settle(self, each: int) -> None:
        if each == EOS:
            self.ended = "end"
        elif each >= OFFSET:
            self.text.append(each - OFFSET)
            found = [text for text in self.stop if self.text.endswith(text)]
            if found:
                del self.text[-max(map(len, found)) :]
                self.ended = "stop"
        if self.ended is None and self.left == 0:
            self.ended = "length"

    def _show(self, on_bytes: OnBytes) -> None:
        """All but what may yet turn out to begin a stop string."""
        end = len(self.text)
        if self.ended is None:
            tails = (n for stop in self.stop for n in range(1, len(stop)) if self.text.endswith(stop[:n]))
            end -= max(tails, default=0)
        if end > self._shown:
            on_bytes(self.number, bytes(self.text[self._shown : end]))
            self._shown = end
