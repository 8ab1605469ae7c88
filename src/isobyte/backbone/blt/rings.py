"""Keys and values by place: rings for windows that slide, rows for latents."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from isobyte.backbone.arrays import Sight
from isobyte.backbone.few_rows import Attend
from isobyte.config.backbone_flat import FlatConfig
from isobyte.errors import UserError


@dataclass(frozen=True)
class Fed:
    """S new bytes of each of B rows."""

    places_BS: Tensor
    last: int
    """No place is beyond this one."""
    counts: list[int] | None
    """How many of the S each row has; all where None."""
    alike: bool
    """Every row has its bytes at the same places."""
    document_BS: Tensor | None
    """Where the document of each byte begins; None where all begin at 0."""

    @property
    def first(self) -> bool:
        """Nothing came before, in any row."""
        return self.alike and self.last + 1 == self.places_BS.shape[1]


class Ring:
    """Keys and values of all layers of a local network for the last `attention_window` bytes and `slack` more.

    Place p lies in slot p modulo the ring's size; which place a slot holds follows from the newest. Bytes that are
    taken back need no clearing: their places are beyond those of the queries, and are written again when fed again.

    Before the slots come those of a block of `block` cells, which have no place among the bytes.
    """

    def __init__(
        self, shape: FlatConfig, batch: int, capacity: int, slack: int, like: Tensor, *, block: int = 0
    ) -> None:
        self.shape, self.batch, self.block = shape, batch, block
        window = shape.attention_window
        self.endless = window is not None and window + slack < capacity
        self.size = window + slack if window is not None and self.endless else capacity + slack
        self.window = window if window is not None else self.size + 1
        heads = shape.n_kv_heads
        held = block + self.size
        self.kv = like.new_zeros(shape.layers, batch, 2 * heads, held, shape.head_dim)
        """[layers, B, 2 H_kv, block + R, d]."""
        self.keys, self.values = self.kv[:, :, :heads, block:], self.kv[:, :, heads:, block:]
        self.slots_R = torch.arange(self.size, device=like.device)
        lines = torch.arange(batch * 2 * heads, device=like.device) * held + block
        self.texts_B1 = np.arange(batch)[:, None]
        self.lines_B1H = lines.view(batch, 1, 2 * heads)
        """Where the slots of each row and head begin, among the B 2 H_kv (block + R) vectors of a layer."""

    def attention(self, fed: Fed) -> list[Attend]:
        """One attention per layer, which keeps the new keys and values."""
        self._check(fed)
        vectors_BSH = self.lines_B1H + (fed.places_BS % self.size)[:, :, None]
        if fed.first:
            return [self._first(layer, fed, vectors_BSH.flatten(0, 1)) for layer in range(self.shape.layers)]
        used = min(fed.last + 1, self.size)
        mask, vectors_N = self._mask(fed, used), vectors_BSH.flatten()
        return [self._next(layer, vectors_N, used, mask) for layer in range(self.shape.layers)]

    def holds(self, fed: Fed) -> bool:
        """Whether all that any of the new bytes sees is there once all are kept."""
        return not self.endless or fed.places_BS.shape[1] + self.window <= self.size + 1

    def sight(self, fed: Fed) -> Sight:
        """What `attention` lets new bytes see, for compiled loops; it must be there."""
        self._check(fed)
        assert self.holds(fed)
        places_BS, oldest = fed.places_BS.numpy(), 0 if fed.document_BS is None else fed.document_BS.numpy()
        since_BS = np.maximum(places_BS - (self.window - 1), oldest)
        texts_BS = np.broadcast_to(self.texts_B1, places_BS.shape)
        return Sight.back_to(self.kv.numpy(), self.block, texts_BS.ravel(), places_BS.ravel(), since_BS.ravel())

    def sight_with(self, fed: Fed | None, begin_B: Tensor) -> Sight:
        """What `attention_with` lets new bytes and cells see, for compiled loops."""
        begin_B1, cells_K = begin_B.numpy()[:, None], np.arange(self.block)
        places_BK = begin_B1 + cells_K
        since_BK = np.maximum(places_BK - (self.window - 1), 0)
        rows = np.broadcast_arrays(self.texts_B1, places_BK, cells_K, since_BK, begin_B1, self.block)
        rows_6BN = np.stack(rows)
        if fed is not None:
            text_6BS = self.sight(fed).rows_6N.reshape(6, self.batch, -1)
            rows_6BN = np.concatenate((text_6BS, rows_6BN), 2)
        return Sight(self.kv.numpy(), self.block, rows_6BN.reshape(6, -1))

    def attention_with(self, fed: Fed | None, newest_B: Tensor, begin_B: Tensor) -> list[Attend]:
        """As `attention`, where after the new bytes of each row, if there are any, come the cells of its block.

        Each cell sees its block, and the bytes before place `begin_B`; `newest_B` is the last place that is kept, or
        being fed.
        """
        used = min(int(newest_B.max()) + 1, self.size)
        held_BR = newest_B[:, None] - (newest_B[:, None] - self.slots_R[:used]) % self.size
        slots_K = torch.arange(self.block, device=begin_B.device)
        places_BK = begin_B[:, None] + slots_K
        before = (held_BR >= 0) & (held_BR < begin_B[:, None])
        seen = before[:, None] & (held_BR[:, None] > places_BK[:, :, None] - self.window)
        mask = F.pad(seen, (self.block, 0), value=True)[:, None]
        mask = torch.where(mask, 0.0, float("-inf")).to(self.kv.dtype)
        vectors_BNH = self.lines_B1H + (slots_K - self.block)[:, None]
        if fed is not None:
            self._check(fed)
            text = F.pad(self._seen(fed, used), (self.block, 0), value=float("-inf"))
            mask = torch.cat((text, mask), 2)
            vectors_BNH = torch.cat((self.lines_B1H + (fed.places_BS % self.size)[:, :, None], vectors_BNH), 1)
        vectors = vectors_BNH.flatten()
        return [self._next(layer, vectors, self.block + used, mask, self.block) for layer in range(self.shape.layers)]

    def _check(self, fed: Fed) -> None:
        if not self.endless and fed.last >= self.size:
            raise UserError(f"{fed.last + 1} bytes, room for {self.size}", where="cache", how="ask for a longer one")

    def _mask(self, fed: Fed, used: int) -> Tensor | None:
        """[B, 1, S, used]: 0 where seen, -inf where not; None where all is seen."""
        single = fed.alike and fed.places_BS.shape[1] == 1 and fed.document_BS is None
        return None if single and used <= self.window else self._seen(fed, used)

    def _seen(self, fed: Fed, used: int) -> Tensor:
        newest_B1 = fed.places_BS[:, -1:]
        held_BR = newest_B1 - (newest_B1 - self.slots_R[:used]) % self.size
        asked, held = fed.places_BS[:, None, :, None], held_BR[:, None, None]
        earliest = asked - self.window + 1
        if fed.document_BS is not None:
            earliest = torch.maximum(earliest, fed.document_BS[:, None, :, None])
        seen = (held <= asked) & (held >= earliest.clamp(min=0))
        return torch.where(seen, 0.0, float("-inf")).to(self.kv.dtype)

    def _next(self, layer: int, vectors_N: Tensor, used: int, mask: Tensor | None, block: int = 0) -> Attend:
        """Over the first `used` slots, with those of `block` cells among them."""
        held, k, v = self.kv[layer].view(-1, self.shape.head_dim), self.keys[layer], self.values[layer]
        if block:
            k, v = self.kv[layer].split(self.shape.n_kv_heads, 1)
        if used < k.shape[2]:
            k, v = k[:, :, :used], v[:, :, :used]
        batch = self.batch

        def attend(q: Tensor, kv: Tensor) -> Tensor:
            rows, heads, head_dim = q.shape
            held.index_copy_(0, vectors_N, kv.reshape(-1, head_dim))
            return attended(q.view(batch, -1, heads, head_dim).transpose(1, 2), k, v, mask).reshape(rows, -1)

        return attend

    def _first(self, layer: int, fed: Fed, vectors_NH: Tensor) -> Attend:
        """Whole texts: the new keys see each other alone, and the last of each row are kept."""
        batch, length = fed.places_BS.shape
        held, heads = self.kv[layer].view(-1, self.shape.head_dim), self.shape.n_kv_heads
        ends = torch.tensor(fed.counts or [length] * batch, device=held.device)[:, None]
        keep = ((fed.places_BS < ends) & (fed.places_BS >= ends - self.size)).flatten().nonzero()[:, 0]
        vectors, mask = vectors_NH[keep].flatten(), self._first_mask(fed)

        def attend(q: Tensor, kv: Tensor) -> Tensor:
            held.index_copy_(0, vectors, kv[keep].flatten(0, 1))
            k, v = kv.unflatten(0, (batch, -1)).transpose(1, 2).split(heads, 1)
            mixed = attended(q.unflatten(0, (batch, -1)).transpose(1, 2), k, v, mask, causal=mask is None)
            return mixed.reshape(batch * length, -1)

        return attend

    def _first_mask(self, fed: Fed) -> Tensor | None:
        if fed.places_BS.shape[1] <= self.window and fed.document_BS is None:
            return None
        place = fed.places_BS[0]
        seen = (place <= place[:, None]) & (place > place[:, None] - self.window)
        if fed.document_BS is None:
            return seen
        return (seen & (place >= fed.document_BS[:, :, None]))[:, None]


def attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, causal: bool = False) -> Tensor:
    """Queries [B, H, S, d] over keys and values [B, H_kv, R, d]: [B, S, H, d]."""
    grouped = q.shape[1] != k.shape[1]
    causal = causal and q.shape[2] > 1
    mixed = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, enable_gqa=grouped)
    return mixed.transpose(1, 2)


Group = tuple[int, int, int, int]
"""New patches of a row: (row, number of the first, how many, number of the first that they see)."""


class LatentRows:
    """Keys and values of the latent transformer for every patch; room grows by doubling, up to `limit` patches."""

    def __init__(self, shape: FlatConfig, batch: int, limit: int, like: Tensor) -> None:
        self.shape, self.limit = shape, limit
        heads = 2 * shape.n_kv_heads
        room = min(limit, 64)
        self.kv = like.new_zeros(shape.layers, batch, heads, room, shape.head_dim)
        """[layers, B, 2 H_kv, room, d]."""

    @property
    def room(self) -> int:
        return self.kv.shape[3]

    def reserve(self, patches: int) -> None:
        """Room for `patches` of every row. Raises UserError beyond the limit."""
        if patches > self.limit:
            raise UserError(
                f"the latent transformer has room for {self.limit} patches",
                where="context",
                how="ask for fewer bytes, give a shorter prompt, or raise the limit on patches",
            )
        room = self.room
        if patches > room:
            size = min(self.limit, max(patches, 2 * room))
            self.kv = F.pad(self.kv, (0, 0, 0, size - room))

    def sight(self, groups: list[Group]) -> Sight:
        """What the new patches of `groups` see, for compiled loops."""
        rows = np.array([(row, start + i, first) for row, start, count, first in groups for i in range(count)])
        return Sight.back_to(self.kv.numpy(), 0, *rows.T)

    def attention(self, groups: list[Group]) -> list[Attend]:
        """One per layer; the queries come group after group, none padded."""
        return [self._attend(layer, groups) for layer in range(self.shape.layers)]

    def _attend(self, layer: int, groups: list[Group]) -> Attend:
        held, heads = self.kv[layer], self.shape.n_kv_heads

        def attend(q: Tensor, kv: Tensor) -> Tensor:
            found, at = [], 0
            for row, start, count, first in groups:
                held[row, :, start : start + count] = kv[at : at + count].transpose(0, 1)
                k, v = held[row, None, :heads, first : start + count], held[row, None, heads:, first : start + count]
                mask = None
                if count > 1 and start > first:
                    mask = torch.ones(count, start + count - first, dtype=torch.bool, device=q.device)
                    mask = mask.tril(start - first)
                asked = q[at : at + count].transpose(0, 1)[None]
                found.append(attended(asked, k, v, mask, causal=mask is None).reshape(count, -1))
                at += count
            return found[0] if len(found) == 1 else torch.cat(found)

        return attend
