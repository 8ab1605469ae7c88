"""One step of decoding in three parts over tensors that never move nor change shape, so that a GPU can replay them.

What `State` keeps in Python is kept in tensors here. No part asks a tensor for its value: a row that closes no patch
goes through the latent transformer like the others, and what comes of it is not kept.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from isobyte.backbone.blt.fixed import Seen, Window, attend_over
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.state import State
from isobyte.backbone.byte_ids import EOS, OFFSET
from isobyte.backbone.few_rows import Attend
from isobyte.backbone.layers import rotation
from isobyte.backbone.patching.patcher import NgramTable, entropy_of
from isobyte.backbone.patching.rules import Rows
from isobyte.config.backbone_flat import FlatConfig
from isobyte.errors import UserError

FIRST_PLACES = 1 << 14
"""Places whose rotations are laid out from the start."""

Choose = Callable[[Tensor, Tensor], Tensor]
"""Normed hidden states [B, D] and the places [B] of the ids that come next -> these ids [B], without asking a tensor
for its value. What it draws with must follow from the places, or lie in a tensor of its own that is filled anew."""


def likeliest(model: BltModel) -> Choose:
    """The likeliest bytes."""
    return lambda hidden_BD, _places_B: model.logits(hidden_BD).argmax(-1) + OFFSET


class Parts:
    """`encode`, `close` and `decode` are one step of B rows, a byte each; `close` may be left out where none closes.

    Nothing is settled before the end of `decode`: the two others may be run again.
    """

    def __init__(self, state: State, choose: Choose, patches: int, open_bytes: int) -> None:
        model, batch, like = state.model, state.batch, state.model.head.weight
        self.model, self.packed, self.batch, self.choose = model, state.packed, batch, choose
        self.encoder, self.decoder = Window.like(state.encoder), Window.like(state.decoder)
        self.scorer = None if state.scorer is None else Window.like(state.scorer)
        self.seen = {(each.size, each.window): Seen.empty(batch, each.size, each.window, like) for each in self.windows}
        shape = model.shape.latent
        # rows that close nothing write too, one place beyond the patches that they have
        self.latent = like.new_zeros(shape.layers, batch, 2 * shape.n_kv_heads, patches + 1, shape.head_dim)
        self.kv = torch.zeros_like(state.kv[:, 0])
        """[B, layers, 2, k, D] of the latent that each row reads."""
        self.hidden = like.new_zeros(model.encoder.pools, batch, open_bytes, model.shape.encoder.width)
        """The encoder's states by place modulo `open_bytes`, the longest that an open patch may be."""
        self.encoded_BE = torch.zeros_like(self.hidden[0, :, 0])
        self.hidden_BD = like.new_zeros(batch, model.shape.decoder.width)
        """What the last step says of the next byte."""
        self.tail = torch.zeros_like(state.tail)
        self.entropy_B = None if state.entropy is None else torch.zeros_like(state.entropy)
        self.entropy_after_B = None if state.entropy is None else torch.zeros_like(state.entropy)
        counters = [torch.zeros_like(self.tail[:, 0]) for _ in range(6)]
        self.ids_B, self.place_B, self.begin_B, self.patches_B, self.document_B, self.document_patch_B = counters
        self.closes_B = torch.zeros_like(self.ids_B, dtype=torch.bool)
        self.alive_B = torch.ones_like(self.closes_B)
        self.report_2B = self.ids_B.new_zeros(2, batch)
        """What the host reads once a step, after `encode`: the ids that were fed, and which rows close a patch."""
        self.rows_B = torch.arange(batch, device=like.device)
        self.places, self.turns = 0, dict[tuple[int, float], Tensor]()
        self.lay_out(max(FIRST_PLACES, patches + 1))

    @property
    def windows(self) -> list[Window]:
        return [each for each in (self.encoder, self.decoder, self.scorer) if each is not None]

    def lay_out(self, places: int) -> None:
        """Rotations of places 0..`places` - 1 and maybe more. What was recorded before knows nothing of them."""
        self.places = 1 << (places - 1).bit_length()
        for shape in [self.model.shape.latent, *(each.shape for each in self.windows)]:
            turn = rotation(torch.arange(self.places, device=self.kv.device), shape.head_dim, shape.rope_base).turn
            self.turns[shape.head_dim, shape.rope_base] = turn[:, None]

    def load(self, state: State) -> None:
        """Go on from `state`, which stays as it is. Raises UserError if it is of another shape."""
        theirs = [ring for ring in (state.encoder, state.decoder, state.scorer) if ring is not None]
        sizes = [(ring.batch, ring.size, ring.window) for ring in theirs]
        if state.model is not self.model or sizes != [(self.batch, each.size, each.window) for each in self.windows]:
            raise UserError("it is of another shape", where="state", how="make one for it")
        limit, room = self.latent.shape[3] - 1, self.hidden.shape[2]
        if max(state.patches) > limit:
            raise too_many_patches(limit)
        for ours, given in zip(self.windows, theirs, strict=True):
            ours.kv.copy_(given.kv)
        known = min(limit, state.latent.room)
        self.latent[:, :, :, :known].copy_(state.latent.kv[:, :, :, :known])
        for row, (begin, end) in enumerate(zip(state.begin, state.length, strict=True)):
            if end - begin > room:
                raise too_long(room)
            places = torch.arange(begin, end, device=self.hidden.device)
            self.hidden[:, row, places % room] = state.hidden[:, row, places % max(1, state.hidden.shape[2])]
        newest = [max(0, n - 1 - base) for n, base in zip(state.patches, state.base, strict=True)]
        self.kv.copy_(state.kv[self.rows_B, torch.tensor(newest, device=self.kv.device)])
        self.tail.copy_(state.tail)
        if self.entropy_B is not None and state.entropy is not None:
            self.entropy_B.copy_(state.entropy)
        for ours, given in (
            (self.place_B, state.length),
            (self.begin_B, state.begin),
            (self.patches_B, state.patches),
            (self.document_B, state.document),
            (self.document_patch_B, state.document_patch),
        ):
            ours.copy_(torch.tensor(given))
        self.alive_B.fill_(True)

    def encode(self) -> None:
        """The encoder and the scorer of patches read `ids_B`: does the byte after each open a patch?"""
        for seen in self.seen.values():
            seen.update(self.place_B, self.document_B)
        ids_B1, places_B1 = self.ids_B[:, None], self.place_B[:, None]
        history = torch.cat((self.tail, ids_B1), 1)
        encoder, grams = self.model.encoder, None
        if encoder.hashes is not None:
            grams = history[:, None, -encoder.hashes.reach :]
        x_BE = encoder.embed(ids_B1, grams, places_B1, documents=self.model.shape.document_mask)[:, 0]
        turn, attends = self._turn(self.place_B, self.model.shape.encoder), self._attention(self.encoder)
        room, first = self.hidden.shape[2], len(self.packed.encoder.blocks) - encoder.pools
        slots = self.rows_B * room + self.place_B % room
        for layer, (block, attend) in enumerate(zip(self.packed.encoder.blocks, attends, strict=True)):
            x_BE = block(x_BE, turn, attend)
            if layer >= first:
                self.hidden[layer - first].flatten(0, 1).index_copy_(0, slots, x_BE)
        self.encoded_BE.copy_(x_BE)
        entropy = self._entropy(history)
        before = None if self.entropy_B is None else self.entropy_B[:, None]
        rows = Rows(places_B1, ids_B1, history[:, -2:-1], entropy, before)
        opens, _ = self.model.patcher.opens(rows, self.begin_B)
        torch.logical_and(opens[:, 0], self.alive_B, out=self.closes_B)
        self.report_2B[0].copy_(self.ids_B)
        self.report_2B[1].copy_(self.closes_B)

    def close(self, reach: int) -> None:
        """Open patches through the latent transformer, which sees the first `reach` places of its cache; rows that
        `closes_B` names read what comes of it."""
        room, batch = self.hidden.shape[2], self.batch
        place_B1 = self.place_B[:, None]
        held_BL = place_B1 - (place_B1 - torch.arange(room, device=self.kv.device)) % room
        patch_N = torch.where(held_BL >= self.begin_B[:, None], self.rows_B[:, None], batch).flatten()
        pooled = None
        for nth in range(self.model.encoder.pools):
            pooled = self.model.encoder.pooled(self.hidden[nth].flatten(0, 1), patch_N, batch, nth, pooled)
        assert pooled is not None
        x_BG = self.model.latent.enter(pooled.flatten(1))
        turn = self._turn(self.patches_B, self.model.shape.latent)
        place_M = torch.arange(reach, device=self.kv.device)
        seen_BM = (place_M <= self.patches_B[:, None]) & (place_M >= self.document_patch_B[:, None])
        mask = seen_BM.to(self.kv.dtype).log()[:, None, None]
        for held, block in zip(self.latent, self.packed.latent.blocks, strict=True):
            x_BG = block(x_BG, turn, attend_over(held, self.model.shape.latent, self.patches_B, mask))
        new = self.packed.latent_kv(x_BG)
        self.kv.copy_(torch.where(self.closes_B[:, None, None, None, None], new, self.kv))

    def decode(self) -> None:
        """The decoder reads the newest latent, `choose` says what comes next, and the step is settled."""
        decoder = self.model.decoder
        x_BD = decoder.start(self.ids_B, self.encoded_BE)
        turn, attends = self._turn(self.place_B, self.model.shape.decoder), self._attention(self.decoder)
        x_BD = self.packed.decoder(x_BD, turn, attends, self.kv)[-1]
        self.hidden_BD.copy_(decoder.norm(x_BD))
        chosen_B = self.choose(self.hidden_BD, self.place_B + 1)
        self._settle()
        self.ids_B.copy_(chosen_B)

    def _settle(self) -> None:
        after_B = self.place_B + 1
        self.begin_B.copy_(torch.where(self.closes_B, after_B, self.begin_B))
        self.patches_B.add_(self.closes_B)
        if self.model.shape.document_mask:
            ended_B = self.ids_B == EOS
            self.document_B.copy_(torch.where(ended_B, after_B, self.document_B))
            self.document_patch_B.copy_(torch.where(ended_B, self.patches_B, self.document_patch_B))
        self.tail.copy_(torch.cat((self.tail[:, 1:], self.ids_B[:, None]), 1))
        if self.entropy_B is not None and self.entropy_after_B is not None:
            self.entropy_B.copy_(self.entropy_after_B)
        self.place_B.add_(self.alive_B)

    def _entropy(self, history: Tensor) -> Tensor | None:
        """Nats [B, 1] of what comes after `ids_B`."""
        scorer = self.model.patcher.scorer
        if scorer is None or self.entropy_after_B is None:
            return None
        if isinstance(scorer, NgramTable):
            found_B = scorer.look_up(history[:, -2], self.ids_B)
        else:
            assert self.scorer is not None
            assert self.packed.scorer is not None
            x_BD, turn = scorer.embedding(self.ids_B), self._turn(self.place_B, scorer.shape)
            x_BD = self.packed.scorer(x_BD, turn, self._attention(self.scorer))[-1]
            found_B = entropy_of(self.packed.scorer_head(x_BD))
        self.entropy_after_B.copy_(found_B)
        return self.entropy_after_B[:, None]

    def _turn(self, places_B: Tensor, shape: FlatConfig) -> Tensor:
        """Rotations [B, 1, d / 2]."""
        return self.turns[shape.head_dim, shape.rope_base].index_select(0, places_B)

    def _attention(self, window: Window) -> list[Attend]:
        return window.attention(self.seen[window.size, window.window])


def too_many_patches(limit: int) -> UserError:
    return UserError(
        f"the latent transformer has room for {limit} patches",
        where="context",
        how="ask for fewer bytes, give a shorter prompt, or raise the limit on patches",
    )


def too_long(room: int) -> UserError:
    return UserError(
        f"a patch has more than {room} bytes", where="patch", how="set patching.max_length, or raise open_bytes"
    )
