"""Blocks of hidden bytes beside a text that is fed byte by byte (BLT-D, arXiv 2605.08044).

Two ways to place a block. `here`, as published: it begins with the next byte, and reads the newest latent. `patch`: it
begins where the open patch does, whose bytes so far are shown in its first cells, and reads the latent of the patch
before, which is complete: the layout that the decoder was trained on. Where that leaves no cell hidden it begins here.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.packed import Packed
from isobyte.backbone.blt.rings import Fed
from isobyte.backbone.blt.state import Advanced, State
from isobyte.backbone.byte_ids import MASK
from isobyte.backbone.few_rows import turns
from isobyte.backbone.products import normed, suits

Begin = Literal["here", "patch"]


@dataclass(frozen=True)
class Block:
    """One block of every row, on its way."""

    known: list[int]
    """Cells that were given, at its front."""
    ids_BK: Tensor
    """What the cells hold: ids, or MASK."""
    begin_B: Tensor
    """The place of the first cell."""
    read_B: Tensor
    """Which latent it reads, as `State.kv` has them."""

    def filled(self, ids_BK: Tensor) -> "Block":
        """The same with other contents."""
        return Block(self.known, ids_BK, self.begin_B, self.read_B)


class BlockState(State):
    """A state whose decoder can be shown blocks of `size` cells. Nothing of a block is kept."""

    def __init__(
        self,
        model: BltModel,
        batch: int,
        capacity: int,
        size: int,
        *,
        patches: int | None = None,
        slack: int = 0,
        packed: Packed | None = None,
    ) -> None:
        super().__init__(model, batch, capacity, patches=patches, slack=max(slack, size), packed=packed, block=size)
        self.size = size
        self.recent: list[list[int]] = [[] for _ in range(batch)]
        """The last bytes of each row that were kept, as many as a block may show."""

    def commit(self, done: Advanced, counts: list[int]) -> None:
        super().commit(done, counts)
        ids = done.ids[:, self.reach - 1 :].tolist()
        for row, count in enumerate(counts):
            self.recent[row] = (self.recent[row] + ids[row][:count])[-self.size :]

    @torch.no_grad()
    def feed_block(self, ids_BS: Tensor, counts: list[int], begin: Begin, *, cut: bool) -> tuple[Tensor, Block, Tensor]:
        """Feed new bytes and show the block after them, in one pass of each module.

        With `cut` a block that begins amid a patch reads the latent of that patch as far as it goes; without, that of
        the last complete one. Returns hidden states [B, S, D] of the bytes, the block, and its hidden states [B, K, D].
        """
        read = self._read(ids_BS, counts)
        last = [max(count, 1) - 1 for count in counts]
        lengths = [length + count for length, count in zip(self.length, counts, strict=True)]
        opened = [
            begins[at] if count else old
            for begins, at, count, old in zip(read.begins, last, counts, self.begin, strict=True)
        ]
        ids = ids_BS.tolist()
        texts = [[*old, *new[:count]] for old, new, count in zip(self.recent, ids, counts, strict=True)]
        starts, known = self._placed(lengths, opened, begin)
        # a row without new bytes has ended, and nobody asks what its block would stand for
        amid = [
            cut and count > 0 and a == n and o < n
            for a, n, o, count in zip(starts, lengths, opened, counts, strict=True)
        ]
        latent_BS = self._close(read.opens, counts, read.fed, amid)
        closed = [sum(row[:count]) for row, count in zip(read.opens, counts, strict=True)]
        whole = [n - 1 - base + new for n, base, new in zip(self.patches, self.base, closed, strict=True)]
        block = self._block(texts, starts, known, [n + more for n, more in zip(whole, amid, strict=True)])
        text_BSD = self.model.decoder.start(ids_BS, read.encoded)
        hidden = self._decode_block(block, read.fed, text_BSD, latent_BS)
        text, cells = hidden.split((ids_BS.shape[1], self.size), 1)
        self.commit(Advanced(read.history, text, read.opens, read.begins, read.entropy), counts)
        return text, block, cells

    def open_block(self, newest: list[int], begin: Begin) -> Block:
        """A block that shows the bytes after those that were fed, one of each row, and reads the newest latent."""
        lengths = [length + 1 for length in self.length]
        starts, known = self._placed(lengths, self.begin, begin, shown=1)
        texts = [[*old, new] for old, new in zip(self.recent, newest, strict=True)]
        read = [n - 1 - base for n, base in zip(self.patches, self.base, strict=True)]
        return self._block(texts, starts, known, read)

    @torch.no_grad()
    def boundaries(self, ids_BS: Tensor, counts: list[int]) -> list[list[bool]]:
        """[B, S]: does a patch open after each of these bytes, if they come next? The patcher alone is asked."""
        fed = self._fed(ids_BS, counts)
        return self._opens(ids_BS, torch.cat((self.tail, ids_BS), 1), fed)[1].tolist()

    @torch.no_grad()
    def look(self, block: Block) -> Tensor:
        """Hidden states [B, K, D] of a block's cells: the decoder's opinion of what each stands for."""
        return self._decode_block(block, None, None, None)

    def _placed(
        self, lengths: list[int], opened: list[int], begin: Begin, shown: int = 0
    ) -> tuple[list[int], list[int]]:
        """Where each row's block begins, and how many of the bytes before `lengths` it shows: at least `shown`."""
        starts = [
            o if begin == "patch" and n - o < self.size else n - shown for n, o in zip(lengths, opened, strict=True)
        ]
        return starts, [n - start for n, start in zip(lengths, starts, strict=True)]

    def _block(self, texts: list[list[int]], starts: list[int], known: list[int], read: list[int]) -> Block:
        ids = [text[len(text) - n :] + [MASK] * (self.size - n) for text, n in zip(texts, known, strict=True)]
        tensors = (torch.tensor(each, device=self.model.device) for each in (ids, starts, read))
        return Block(known, *tensors)

    def _decode_block(self, block: Block, fed: Fed | None, text_BSD: Tensor | None, latent_BS: Tensor | None) -> Tensor:
        decoder = self.model.decoder
        places_BS = block.begin_B[:, None] + torch.arange(self.size, device=block.begin_B.device)
        x_BSD, read_BS = decoder.start_cells(block.ids_BK), block.read_B[:, None].expand(-1, self.size)
        newest_B = torch.tensor(self.length, device=block.begin_B.device) - 1
        if fed is not None:
            newest_B = fed.places_BS[:, -1]
            assert text_BSD is not None
            assert latent_BS is not None
            x_BSD = torch.cat((text_BSD, x_BSD), 1)
            places_BS, read_BS = torch.cat((fed.places_BS, places_BS), 1), torch.cat((latent_BS, read_BS), 1)
        x_ND, held = x_BSD.flatten(0, 1), self._held(read_BS)
        if suits(x_ND, len(x_ND)):
            x_ND = self.packed.decoder.compiled(x_ND, self.decoder.sight_with(fed, block.begin_B), held)[-1]
        else:
            turn = turns(places_BS.flatten(), max(self.length) + 2 * self.slack + 1, self.decoder.shape)
            attends = self.decoder.attention_with(fed, newest_B, block.begin_B)
            x_ND = self.packed.decoder(x_ND, turn, attends, held)[-1]
        self.passes["decoder"] += 1
        return normed(x_ND, decoder.norm).unflatten(0, (self.batch, -1))
