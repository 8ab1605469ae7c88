"""Which cells see which: a small value that becomes a dense mask, an SDPA call or a FlexAttention mask.

A cell is one input of the network: what it holds, where, and whose turn it is. Most objectives show one cell per
position; those that show a position twice, hidden and in clear, say with ranks who sees whom.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Visibility = Literal["causal", "bidirectional"]


@dataclass(frozen=True)
class MaskSpec:
    """`causal`: a query sees itself and what came before, or the last `window` of these; `bidirectional`: all."""

    kind: Visibility
    window: int | None = None

    def dense(self, length: int, device: torch.device | str = "cpu", prefix: int = 0) -> Tensor:
        """[S, prefix + S] bool; True where query (row) sees key (column). The first `prefix` keys came before all."""
        full = torch.ones(length, prefix + length, dtype=torch.bool, device=device)
        if self.kind == "bidirectional":
            return full
        return full.tril(prefix) if self.window is None else full.tril(prefix).triu(prefix + 1 - self.window)

    def sees_all(self, keys: int) -> bool:
        """Whether no window cuts off any of `keys` keys."""
        return self.window is None or keys <= self.window


@dataclass(frozen=True, eq=False)
class Ranked:
    """A clean cell is seen by every cell of a higher rank and by the clean ones of its own rank; a noisy cell, which
    belongs to a copy in which something is hidden, is seen by the noisy ones of its own rank alone.

    The rank of a cell is the step at which its symbol is revealed. With the index of a block as rank this is the
    training mask of block diffusion (BD3-LM, arXiv 2503.09573); with a permutation, that of any order at all.
    """

    rank_BS: Tensor
    """[B, S] or [1, S] integers."""
    noisy_BS: Tensor
    """[B, S] or [1, S] bool."""
    kind: Literal["ranked"] = "ranked"

    def dense(self, length: int, device: torch.device | str = "cpu", prefix: int = 0) -> Tensor:
        """[B, 1, S, prefix + S] bool; True where query (row) sees key (column)."""
        assert length == self.rank_BS.shape[1]
        rank, noisy = self.rank_BS.to(device), self.noisy_BS.to(device)
        query, key = rank[:, :, None], rank[:, None]
        revealed = ~noisy[:, None] & (key < query)
        return _with_prefix((revealed | ((key == query) & (noisy[:, None] == noisy[:, :, None])))[:, None], prefix)


@dataclass(frozen=True, eq=False)
class Dense:
    """A mask that is worked out already, once for all layers."""

    visible: Tensor
    """[B, 1, S, S] bool."""
    kind: Literal["dense"] = "dense"

    def dense(self, _length: int, _device: torch.device | str = "cpu", prefix: int = 0) -> Tensor:
        return _with_prefix(self.visible, prefix)


@dataclass(frozen=True, eq=False)
class PatchBlocks:
    """Cells that stand beside a text of patches, after all of it: J blocks of `size` cells per row (arXiv 2605.08044).

    Block j is read off the text from place `begins_BJ` on; it is told the latent of patch j, and what comes before its
    first cell. Its cells see each other, and no other block.
    """

    begins_BJ: Tensor
    """[B, J]; -1 where a row has no such block."""
    size: int

    @classmethod
    def of(cls, starts: Tensor, size: int) -> "PatchBlocks":
        """One for every patch but the first, from where it opens, by bits [B, T + 1], the cell to come included."""
        patch_BS = starts.long().cumsum(1) - 1
        count = int(patch_BS[:, -1].max())
        begins = patch_BS.new_full((len(starts), count + 2), -1)
        places = torch.arange(starts.shape[1], device=starts.device).expand_as(starts)
        begins.scatter_(1, torch.where(starts, patch_BS, count + 1), torch.where(starts, places, -1))
        return cls(begins[:, 1 : count + 1], size)

    @property
    def places_BC(self) -> Tensor:
        """[B, J size] of each cell; of a block that is none, from -1 on."""
        device = self.begins_BJ.device
        return (self.begins_BJ[:, :, None] + torch.arange(self.size, device=device)).flatten(1)


@dataclass(frozen=True, eq=False)
class Patched:
    """Causal, with bytes grouped into patches, and perhaps blocks beside: what a network of patches is told of a
    window."""

    starts: Tensor
    """[B, T + 1] bool: where patches open, the cell to come included."""
    blocks: PatchBlocks | None = None
    """The cells after the T of the text."""
    kind: Literal["patched"] = "patched"

    def dense(self, length: int, device: torch.device | str = "cpu", prefix: int = 0) -> Tensor:
        if self.blocks is None:
            return CAUSAL.dense(length, device, prefix)
        return Blocked(self.starts.shape[1] - 1, self.blocks).dense(length, device, prefix)


@dataclass(frozen=True, eq=False)
class PatchesHidden:
    """Bytes in patches that know each other by their latents alone, and beside each patch a cell for its first byte.

    Every cell sees what comes before it in its own patch. A latent sees those of all patches that are not hidden, or,
    where none can be, those before it; it is read by the cells of its own patch, or then of the next.
    """

    starts: Tensor
    """[B, T] bool: where patches open; the first byte always does."""
    hidden_BM: Tensor | None
    """[B, M] bool, M the most patches of a row; None for patches from left to right."""
    kind: Literal["patches"] = "patches"

    @property
    def patch_BT(self) -> Tensor:
        """The number of each byte's patch in its row."""
        return self.starts.long().cumsum(1) - 1

    @property
    def place_BT(self) -> Tensor:
        """The place of each byte in its patch."""
        place = torch.arange(self.starts.shape[1], device=self.starts.device).expand_as(self.starts)
        return place - torch.where(self.starts, place, 0).cummax(1).values

    @property
    def count_B(self) -> Tensor:
        """Patches of each row."""
        return self.starts.sum(1)

    @property
    def patch_BS(self) -> Tensor:
        """The number of each cell's patch [B, T + M]: of the T bytes, then 0 to M - 1 for the first cells."""
        first = torch.arange(int(self.count_B.max()), device=self.starts.device)
        return torch.cat((self.patch_BT, first.expand(len(self.starts), -1)), 1)

    def dense(self, length: int, device: torch.device | str = "cpu", prefix: int = 0) -> Tensor:
        """[B, 1, S, prefix + S] bool, for the T bytes and the M first cells after them."""
        patch_BT = self.patch_BT.to(device)
        alone = torch.arange(patch_BT.shape[1], length, device=device).expand(len(patch_BT), -1)
        return _with_prefix(document_mask(torch.cat((patch_BT, alone), 1), CAUSAL), prefix)


@dataclass(frozen=True, eq=False)
class Blocked:
    """A text of `length` cells, each of which sees the last `window` up to itself, and blocks, whose cells see each
    other and, of the text, what lies before their block and less than `window` before themselves."""

    length: int
    blocks: PatchBlocks
    window: int | None = None
    kind: Literal["blocked"] = "blocked"

    def queries(self, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
        """Of each of the S cells: what of the text it may see ends before this place [B, S]; its own place [B, S]; its
        block [S], -1 in the text."""
        begins_BJ, size = self.blocks.begins_BJ.to(device), self.blocks.size
        text = torch.arange(self.length, device=device).expand(len(begins_BJ), -1)
        ends_BS = torch.cat((text + 1, begins_BJ.repeat_interleave(size, 1)), 1)
        places_BS = torch.cat((text, self.blocks.places_BC.to(device)), 1)
        block_C = torch.arange(begins_BJ.shape[1], device=device).repeat_interleave(size)
        return ends_BS, places_BS, torch.cat((torch.full_like(text[0], -1), block_C))

    def dense(self, length: int, device: torch.device | str = "cpu", prefix: int = 0) -> Tensor:
        """[B, 1, S, prefix + S] bool; True where query (row) sees key (column)."""
        ends_BS, places_BS, block_S = self.queries(device)
        assert length == len(block_S)
        key_T = torch.arange(self.length, device=device)
        of_text = key_T < ends_BS[..., None]
        if self.window is not None:
            of_text &= places_BS[..., None] - key_T < self.window
        own = (block_S[:, None] == block_S[self.length :]).expand(len(of_text), -1, -1)
        return _with_prefix(torch.cat((of_text, own), -1)[:, None], prefix)


def document_mask(documents_BT: Tensor, spec: MaskSpec) -> Tensor:
    """[B, 1, T, T] bool: what `spec` lets see, within one document."""
    same = documents_BT[:, None, :, None] == documents_BT[:, None, None, :]
    return same & spec.dense(documents_BT.shape[1], documents_BT.device)


Mask = MaskSpec | Ranked | Dense | Patched | PatchesHidden | Blocked
CAUSAL = MaskSpec("causal")
BIDIRECTIONAL = MaskSpec("bidirectional")


def _with_prefix(visible: Tensor, prefix: int) -> Tensor:
    """A dense mask [..., S, S] -> [..., S, prefix + S], for keys in a cache, which every query sees."""
    if not prefix:
        return visible
    return torch.cat((visible.new_ones(*visible.shape[:-1], prefix), visible), -1)
