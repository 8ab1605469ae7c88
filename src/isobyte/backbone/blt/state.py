"""A Byte Latent Transformer byte by byte, exactly: no byte is encoded twice, the latent transformer runs once a patch.

Rows of a batch go at their own pace. `advance` shows the model S new bytes of each row and says what it thinks of the
byte after each; `commit` says how many of them stay. What is not kept needs no undoing: everything lies by place, and
is written again when that place is fed again.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.packed import Packed
from isobyte.backbone.blt.rings import Fed, Group, LatentRows, Ring
from isobyte.backbone.byte_ids import EOS
from isobyte.backbone.few_rows import RowStack, turns
from isobyte.backbone.flat import FlatModel
from isobyte.backbone.patching.patcher import NgramTable, entropy_of
from isobyte.backbone.patching.rules import Rows
from isobyte.backbone.products import normed, suits


@dataclass(frozen=True)
class Advanced:
    """What `advance` found out: of every row of bytes, what `commit` needs to stop after it."""

    ids: Tensor
    """[B, reach - 1 + S]: what came before, and the new ones."""
    hidden: Tensor
    """Normed hidden states [B, S, D] of what comes next."""
    opens: list[list[bool]]
    """[B, S]: does the byte after each open a patch."""
    begins: list[list[int]]
    """[B, S]: where that byte's patch begins."""
    entropy: Tensor | None


@dataclass(frozen=True)
class Read:
    """What encoder and patcher make of S new bytes of each row; as in `Advanced`."""

    fed: Fed
    history: Tensor
    encoded: Tensor
    """[B, S, E]."""
    entropy: Tensor | None
    opens: list[list[bool]]
    begins: list[list[int]]


class State:
    """The state of B texts, `capacity` bytes long where nothing slides, of at most `patches` patches.

    `slack` is how many bytes beside the first are fed at once, or taken back; `block` the cells of a block that the
    decoder can be shown beside the bytes.
    """

    def __init__(
        self,
        model: BltModel,
        batch: int,
        capacity: int,
        *,
        patches: int | None = None,
        slack: int = 0,
        packed: Packed | None = None,
        block: int = 0,
    ) -> None:
        like, shape = model.head.weight, model.shape
        self.model, self.packed, self.batch, self.slack = model, packed or Packed(model), batch, slack
        self.encoder = Ring(shape.encoder, batch, capacity, slack, like)
        # a block may begin before the newest bytes, and look back from there
        self.decoder = Ring(shape.decoder, batch, capacity, slack + block, like, block=block)
        scorer = model.patcher.scorer
        self.scorer = Ring(scorer.shape, batch, capacity, slack, like) if isinstance(scorer, FlatModel) else None
        self.latent = LatentRows(shape.latent, batch, patches or capacity + 1, like)
        self.reach = max(2, model.encoder.hashes.reach if model.encoder.hashes else 0)
        self.tail = like.new_zeros(batch, self.reach - 1, dtype=torch.long)
        """The ids before the next byte, oldest first."""
        self.entropy = like.new_zeros(batch, dtype=torch.float32) if scorer is not None else None
        """Of the next byte."""
        self.hidden = like.new_zeros(model.encoder.pools, batch, 0, shape.encoder.width)
        """The encoder's states by place modulo its length: all that an open patch may have."""
        self.kv = self.packed.latent_kv(like.new_zeros(batch, shape.latent.width))[:, None]
        """[B, Q, layers, 2, k, D] of the latents that are read next, numbered from `base` on."""
        self.base = [-1] * batch
        self.length = [0] * batch
        self.begin = [0] * batch
        """Where the patch begins that the next byte belongs to."""
        self.patches = [0] * batch
        """Complete ones."""
        self.document = [0] * batch
        self.document_patch = [0] * batch
        self.documents_seen = False
        self.passes: Counter[str] = Counter()
        """Network function evaluations by module."""
        self._rows = torch.arange(batch, device=like.device)[:, None]

    def feed(self, ids_BS: Tensor, counts: list[int] | None = None) -> Tensor:
        """Advance, and keep all (of row b the first `counts[b]`): hidden states [B, S, D]."""
        fresh, pieces = not any(self.length), self.slack + 1
        if counts is None and not fresh and ids_BS.shape[1] > pieces and self._slides(ids_BS.shape[1]):
            return torch.cat([self.feed(piece) for piece in ids_BS.split(pieces, 1)], 1)
        done = self.advance(ids_BS, counts)
        self.commit(done, counts or [ids_BS.shape[1]] * self.batch)
        return done.hidden

    def _slides(self, more: int) -> bool:
        rings = [ring for ring in (self.encoder, self.decoder, self.scorer) if ring is not None]
        return any(ring.endless and max(self.length) + more > ring.size for ring in rings)

    @torch.no_grad()
    def advance(self, ids_BS: Tensor, counts: list[int] | None = None) -> Advanced:
        """Show S new bytes of each row; nothing is settled yet."""
        read = self._read(ids_BS, counts)
        latent_BS = self._close(read.opens, counts or [ids_BS.shape[1]] * self.batch, read.fed)
        hidden = self._decode(ids_BS, read.encoded, latent_BS, read.fed)
        return Advanced(read.history, hidden, read.opens, read.begins, read.entropy)

    def _read(self, ids_BS: Tensor, counts: list[int] | None) -> Read:
        """New bytes through the encoder and past the patcher."""
        fed = self._fed(ids_BS, counts)
        history = torch.cat((self.tail, ids_BS), 1)
        encoded = self._encode(ids_BS, history, fed)
        entropy, opens, begins = self._opens(ids_BS, history, fed)
        return Read(fed, history, encoded, entropy, opens.tolist(), begins.tolist())

    def _opens(self, ids_BS: Tensor, history: Tensor, fed: Fed) -> tuple[Tensor | None, Tensor, Tensor]:
        """Entropies of what comes after each byte, whether a patch opens there, and where its patch begins."""
        entropy, before = self._entropies(ids_BS, history, fed)
        rows = Rows(fed.places_BS, ids_BS, history[:, self.reach - 2 : -1], entropy, before)
        return entropy, *self.model.patcher.opens(rows, torch.tensor(self.begin, device=ids_BS.device))

    def commit(self, done: Advanced, counts: list[int]) -> None:
        """Keep the first `counts[b]` bytes of each row of the last `advance`."""
        if self.documents_seen:
            self._settle_documents(done, counts)
        kept = self.reach - 1
        if all(count == done.hidden.shape[1] for count in counts):
            self.tail = done.ids[:, -kept:]
            self.entropy = None if done.entropy is None else done.entropy[:, -1]
        else:
            at = torch.tensor(counts, device=done.ids.device)[:, None]
            self.tail = done.ids.gather(1, at + torch.arange(kept, device=at.device))
            if self.entropy is not None and done.entropy is not None:
                last = done.entropy.gather(1, (at - 1).clamp(min=0))[:, 0]
                self.entropy = torch.where(at[:, 0] > 0, last, self.entropy)
        for row, count in enumerate(counts):
            if count:
                self.begin[row] = done.begins[row][count - 1]
                self.length[row] += count
                self.patches[row] += sum(done.opens[row][:count])

    @torch.no_grad()
    def draft(self, ids_BJ: Tensor) -> Tensor:
        """Hidden states [B, D] after the last of J bytes that are not settled, by the newest latent there is.

        Neither scorer nor latent transformer runs; all J must have been shown one by one, shortest first.
        """
        nth = ids_BJ.shape[1] - 1
        fed = self._fed(ids_BJ[:, -1:], None, nth)
        history = torch.cat((self.tail, ids_BJ), 1)[:, -self.reach :]
        encoded = self._encode(ids_BJ[:, -1:], history, fed)
        read = torch.tensor([n - 1 - base for n, base in zip(self.patches, self.base, strict=True)])
        return self._decode(ids_BJ[:, -1:], encoded, read.to(ids_BJ.device)[:, None], fed)[:, 0]

    def _fed(self, ids_BS: Tensor, counts: list[int] | None, ahead: int = 0) -> Fed:
        S, device = ids_BS.shape[1], ids_BS.device
        starts = torch.tensor(self.length, device=device)[:, None] + ahead
        places = starts + torch.arange(S, device=device)
        document = None
        if self.model.shape.document_mask:
            ended = ids_BS == EOS
            if self.documents_seen or bool(ended.any()):
                self.documents_seen = True
                since = torch.where(ended, places + 1, 0).cummax(1).values
                since = torch.cat((torch.zeros_like(since[:, :1]), since[:, :-1]), 1)
                document = torch.maximum(since, torch.tensor(self.document, device=device)[:, None])
        return Fed(places, max(self.length) + ahead + S - 1, counts, len(set(self.length)) == 1, document)

    def _encode(self, ids_BS: Tensor, history: Tensor, fed: Fed) -> Tensor:
        """[B, S, E], kept by place for the patches that they will be part of."""
        encoder, grams = self.model.encoder, None
        if encoder.hashes is not None:
            grams = history[:, -(ids_BS.shape[1] + self.reach - 1) :].unfold(1, self.reach, 1)
            grams = grams[..., self.reach - encoder.hashes.reach :]
        x_NE = encoder.embed(ids_BS, grams, fed.places_BS, documents=self.documents_seen).flatten(0, 1)
        self._reserve(fed.last + 1)
        slots = (fed.places_BS % self.hidden.shape[2], self._rows)
        layers = [each.unflatten(0, (self.batch, -1)) for each in _local(self.packed.encoder, x_NE, self.encoder, fed)]
        for nth, each in enumerate(layers[-encoder.pools :]):
            self.hidden[nth].index_put_((slots[1], slots[0]), each)
        self.passes["encoder"] += 1
        return layers[-1]

    def _reserve(self, end: int) -> None:
        """Room for every open patch up to place `end`."""
        needed, size = end - min(self.begin), self.hidden.shape[2]
        if needed <= size:
            return
        grown = max(64, 1 << (needed - 1).bit_length())
        fresh = self.hidden.new_zeros(*self.hidden.shape[:2], grown, self.hidden.shape[3])
        for row in range(self.batch):
            places = torch.arange(self.begin[row], self.length[row], device=fresh.device)
            if len(places):
                fresh[:, row, places % grown] = self.hidden[:, row, places % size]
        self.hidden = fresh

    def _entropies(self, ids_BS: Tensor, history: Tensor, fed: Fed) -> tuple[Tensor | None, Tensor | None]:
        """Of what comes after each byte, and of each byte."""
        scorer = self.model.patcher.scorer
        if scorer is None or self.entropy is None:
            return None, None
        if isinstance(scorer, NgramTable):
            found = scorer.look_up(history[:, self.reach - 2 : -1], ids_BS)
        else:
            assert self.scorer is not None
            assert self.packed.scorer is not None
            x_ND = scorer.embedding(ids_BS).flatten(0, 1)
            x_ND = _local(self.packed.scorer, x_ND, self.scorer, fed)[-1]
            logits = self.packed.scorer_head(x_ND)
            found = entropy_of(logits).unflatten(0, (self.batch, -1))
            self.passes["entropy"] += 1
        return found, torch.cat((self.entropy[:, None], found[:, :-1]), 1)

    def _close(self, opens: list[list[bool]], counts: list[int], fed: Fed, cut: list[bool] | None = None) -> Tensor:
        """Run what patches are complete through the latent transformer; which latent each byte reads [B, S], counted
        from `base`. After those, of each row where `cut` says so, comes the latent of its open patch as it is."""
        closed = [
            (row, index)
            for row, count in enumerate(counts)
            for index in range(count)
            if opens[row][index] or (cut is not None and cut[row] and index == count - 1)
        ]
        if closed:
            self._latents(closed, fed)
            self.passes["patches"] -= sum(not opens[row][index] for row, index in closed)
            self.base = [n - 1 for n in self.patches]
        read = []
        for row, count in enumerate(counts):
            last = self.patches[row] - 1 - self.base[row]
            numbers = itertools.accumulate(opens[row][:count], initial=last)
            read.append([*itertools.islice(numbers, 1, None), *[last] * (len(opens[row]) - count)])
        return torch.tensor(read, device=fed.places_BS.device)

    def _latents(self, closed: list[tuple[int, int]], fed: Fed) -> None:
        """`closed` [row, index of the last byte] of each complete patch, in order; sets `kv` to begin with the latent
        that each row has read last."""
        starts, rows = list(self.begin), [row for row, _ in closed]
        spans = []
        for row, index in closed:
            end = self.length[row] + index + 1
            spans.append((row, starts[row], end))
            starts[row] = end
        x_PG = self.packed.latents_in(self.hidden, spans)
        groups = self._groups(spans, fed)
        self.latent.reserve(max(start + count for _, start, count, _ in groups))
        places = [start + i for _, start, count, _ in groups for i in range(count)]
        if suits(x_PG, len(x_PG)):
            x_PG = self.packed.latent.compiled(x_PG, self.latent.sight(groups))[-1]
        else:
            turn = turns(torch.tensor(places, device=x_PG.device), max(places), self.latent.shape)
            x_PG = self.packed.latent(x_PG, turn, self.latent.attention(groups))[-1]
        self.passes["latent"] += 1
        self.passes["patches"] += len(places)
        new = self.packed.latent_kv(x_PG)
        before = torch.tensor([n - 1 - base for n, base in zip(self.patches, self.base, strict=True)])
        before = self.kv[self._rows[:, 0], before.clamp(min=0).to(new.device)]
        if self.batch == 1:
            self.kv = torch.cat((before, new))[None]
            return
        most = max(rows.count(row) for row in set(rows))
        self.kv = new.new_zeros(self.batch, 1 + most, *new.shape[1:])
        self.kv[:, 0] = before
        at = [n - self.patches[row] + 1 for row, start, count, _ in groups for n in range(start, start + count)]
        self.kv[torch.tensor(rows), torch.tensor(at)] = new

    def _groups(self, spans: list[tuple[int, int, int]], fed: Fed) -> list[Group]:
        """A row's patches, document by document."""
        groups: list[Group] = []
        number, first = list(self.patches), list(self.document_patch)
        for row, start, _ in spans:
            if fed.document_BS is not None and start > 0:
                begun = int(fed.document_BS[row, max(0, start - self.length[row])])
                if begun == start and begun > self.document[row]:
                    first[row] = number[row]
            if groups and groups[-1][0] == row and groups[-1][3] == first[row]:
                groups[-1] = (row, groups[-1][1], groups[-1][2] + 1, first[row])
            else:
                groups.append((row, number[row], 1, first[row]))
            number[row] += 1
        return groups

    def _settle_documents(self, done: Advanced, counts: list[int]) -> None:
        """Where the next byte's document begins, in bytes and in patches: after the last end that was kept."""
        ids = done.ids[:, self.reach - 1 :].tolist()
        for row, count in enumerate(counts):
            ends = [i for i in range(count) if ids[row][i] == EOS]
            if ends:
                self.document[row] = self.length[row] + ends[-1] + 1
                self.document_patch[row] = self.patches[row] + sum(done.opens[row][: ends[-1] + 1])

    def _decode(self, ids_BS: Tensor, encoded: Tensor, read_BS: Tensor, fed: Fed) -> Tensor:
        decoder = self.model.decoder
        x_ND = decoder.start(ids_BS, encoded).flatten(0, 1)
        x_ND = _local(self.packed.decoder, x_ND, self.decoder, fed, self._held(read_BS))[-1]
        self.passes["decoder"] += 1
        return normed(x_ND, decoder.norm).unflatten(0, (self.batch, -1))

    def _held(self, read_BS: Tensor) -> Tensor:
        """[B S, layers, 2, k, D]: what each byte reads, of the latent whose number in `kv` is given."""
        return self.kv.flatten(0, 1).index_select(0, (read_BS + self._rows * self.kv.shape[1]).flatten())


def _local(stack: RowStack, x_ND: Tensor, ring: Ring, fed: Fed, read: Tensor | None = None) -> Sequence[Tensor]:
    """New bytes through a local stack: what comes out of each block. `read` [N, layers, 2, k, D] is what the decoder
    reads."""
    if suits(x_ND, len(x_ND)) and ring.holds(fed):
        return stack.compiled(x_ND, ring.sight(fed), read).unbind()
    return stack(x_ND, turns(fed.places_BS.flatten(), fed.last, ring.shape), ring.attention(fed), read)
