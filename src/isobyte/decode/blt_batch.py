"""Texts of a Byte Latent Transformer on their way, and how drafts are judged: what every way of generating shares."""

import torch
from torch import Tensor

from isobyte.backbone.blt.blocks import BlockState
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.packed import Packed
from isobyte.backbone.blt.state import State
from isobyte.backbone.byte_ids import BOE, OFFSET
from isobyte.decode.blt_settings import Settings
from isobyte.decode.noise import Noise
from isobyte.decode.rows import OnBytes, Row, Watch
from isobyte.decode.speculative import Chooser
from isobyte.objective.base import normalised


class Batch:
    """One batch on its way."""

    def __init__(
        self,
        model: BltModel,
        prompts: list[list[int]],
        settings: Settings,
        on_bytes: OnBytes | None,
        packed: Packed | None,
        watch: Watch | None,
    ) -> None:
        self.model, self.prompts, self.settings = model, prompts, settings
        self.device = model.head.weight.device
        self.rows = [Row(n, settings.length, settings.stop, on_bytes) for n in range(len(prompts))]
        self.numbers = torch.arange(len(prompts), device=self.device)
        self.chooser = Chooser(Noise(settings.seed, settings.first), settings.temperature, settings.top_p)
        self.offset = OFFSET if settings.ids == "bytes" else 0
        self.logits = model.logits if settings.ids == "bytes" else model.id_logits
        capacity = max(map(len, prompts)) + settings.length
        self.watch, slack, patches = watch, settings.draft or 0, settings.patches
        if settings.blocks is None:
            self.state = State(model, len(prompts), capacity, patches=patches, slack=slack, packed=packed)
        else:
            self.state = BlockState(model, len(prompts), capacity, settings.blocks.size, patches=patches, packed=packed)
        self.unfed: list[list[int]] = [list(prompt) for prompt in prompts]
        """Ids of each row that are settled and that its state does not have yet."""
        self.rounds, self.drafted, self.accepted = ([0] * len(prompts) for _ in range(3))

    @property
    def going(self) -> bool:
        """Whether any row goes on."""
        return any(row.ended is None for row in self.rows)

    def catch_up(self) -> Tensor:
        """Tell the state all that is settled: hidden states [B, D] of what comes after."""
        counts = [len(each) for each in self.unfed]
        most = max(counts)
        ids_BS = self.padded(self.unfed, most)
        self.unfed = [[] for _ in self.rows]
        hidden_BSD = self.state.feed(ids_BS, None if min(counts) == most else counts)
        if most == 1:
            return hidden_BSD[:, 0]
        last_B = torch.tensor(counts, device=self.device).clamp(min=1) - 1
        return hidden_BSD[self.numbers, last_B]

    def padded(self, ids: list[list[int]], length: int) -> Tensor:
        return torch.tensor([each + [BOE] * (length - len(each)) for each in ids], device=self.device)

    def places(self) -> Tensor:
        """[B] where each row's next id lies in its text."""
        lengths = [len(p) + len(row.ids) for p, row in zip(self.prompts, self.rows, strict=True)]
        return torch.tensor(lengths, device=self.device)

    def next_ids(self, hidden_BD: Tensor) -> list[list[int]]:
        law_BV = self.chooser.law(self.logits(hidden_BD))
        chosen = law_BV.argmax(-1) if self.chooser.greedy else self.chooser.choose(law_BV, self.numbers, self.places())
        return [[symbol + self.offset] for symbol in chosen.tolist()]

    def settle(self, ids: list[list[int]]) -> list[int]:
        """Give each row that goes on its next ids; how many each took."""
        taken = []
        for row, unfed, each in zip(self.rows, self.unfed, ids, strict=True):
            taken.append(row.take(each) if row.ended is None else 0)
            unfed.extend(each[: taken[-1]])
            if row.ended is not None:
                unfed.clear()
        return taken

    def round(self, k: int) -> None:
        """Draft, judge, keep: 1 to k + 1 bytes of every row that goes on."""
        refresh = self.settings.refresh
        if refresh != "never":
            self.settle_exact(self.catch_up())
            if not self.going:
                return
        drafts = k if refresh == "never" else k - 1
        counts = [min(drafts, row.left - 1) if row.ended is None else 0 for row in self.rows]
        self.judge(*self.draft(max(counts)), counts)

    def settle_exact(self, hidden_BD: Tensor) -> None:
        """The first draft of a round, which is none: what is settled went through the whole model, and `hidden_BD` says
        what comes next."""
        active = [row.ended is None for row in self.rows]
        # the last byte of all is no draft, but what comes after none
        draft = [go and row.left > 1 for go, row in zip(active, self.rows, strict=True)]
        self.settle(self.next_ids(hidden_BD))
        for n, go in enumerate(active):
            self.rounds[n] += go
            self.drafted[n] += draft[n]
            self.accepted[n] += draft[n]

    def judge(self, ids_BS: Tensor, laws: list[Tensor], counts: list[int]) -> None:
        """Show the model the newest byte and the drafts after it, `counts[b]` of row b, and settle what follows from
        that."""
        refresh = self.settings.refresh
        going = [row.ended is None for row in self.rows]
        shown = [count + go for count, go in zip(counts, going, strict=True)]
        places_B = self.places()
        done = self.state.advance(ids_BS, None if min(shown) == ids_BS.shape[1] else shown)
        p_BSV = self.chooser.law(self.logits(done.hidden).flatten(0, 1)).unflatten(0, ids_BS.shape)
        kept, after = self.chooser.judge(p_BSV, laws, ids_BS[:, 1:] - self.offset, counts, places_B)
        known, drafted = self.unfed, ids_BS[:, 1:].tolist()
        if self.watch is not None and going[0]:
            self.watch.judged(int(places_B[0]), drafted[0][: counts[0]], kept[0], after[0] + self.offset)
        self.unfed = [[] for _ in self.rows]
        taken = self.settle([[*d[:n], x + self.offset] for d, n, x in zip(drafted, kept, after, strict=True)])
        if refresh == "always":
            self.unfed = [old + new if new else [] for old, new in zip(known, self.unfed, strict=True)]
        else:
            # the newest byte and the drafts that were kept; the byte after them was never shown
            self.state.commit(done, taken)
            self.unfed = [new[-1:] for new in self.unfed]
        for n, go in enumerate(going):
            self.rounds[n] += go and refresh == "never"
            self.drafted[n] += counts[n]
            self.accepted[n] += min(kept[n], taken[n])

    def draft(self, count: int) -> tuple[Tensor, list[Tensor]]:
        """The newest ids and `count` drafted ones [B, 1 + count], and the laws that those were drawn from."""
        ids_BJ = self.padded([each[-1:] for each in self.unfed], 1)
        laws: list[Tensor] = []
        places_B = self.places()
        for nth in range(count):
            logits_BV = self.logits(self.state.draft(ids_BJ))
            laws.append(self.chooser.law(logits_BV))
            chosen = self.chooser.choose(laws[-1], self.numbers, places_B + nth)
            if self.watch is not None and self.rows[0].ended is None:
                sure = float(normalised(logits_BV[0])[chosen[0]].exp())
                self.watch.filled(nth, [(int(places_B[0]) + nth, int(chosen[0]) + self.offset, sure)])
            ids_BJ = torch.cat((ids_BJ, chosen[:, None] + self.offset), 1)
        return ids_BJ, laws
