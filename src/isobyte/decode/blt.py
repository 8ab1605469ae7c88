"""Text from a Byte Latent Transformer, byte by byte or by self-speculation; no prefix is ever encoded twice."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from isobyte.backbone.blt.graphs import StaticStep
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.packed import Packed
from isobyte.backbone.blt.state import State
from isobyte.backbone.byte_ids import BOE, BOS, COUNT, OFFSET
from isobyte.config.patching import EntropyPatching
from isobyte.decode.noise import Noise
from isobyte.decode.rows import Ended, OnBytes, Row
from isobyte.decode.speculative import Chooser
from isobyte.errors import UserError

Refresh = Literal["never", "at_boundary", "always"]
"""Whether a draft's first byte is made by an exact pass over the newest byte.

`never`: drafts begin with whatever latent the last judgement left; one pass of scorer and latent transformer a round.
`at_boundary`: the newest byte goes through first, exactly; that takes the scorer once more, and the latent transformer
only where a patch closes. `always`, as published: nothing of a judgement is kept, what it settled is encoded again,
which makes two passes a round. Under the last two the first of the k drafts is exact.
"""


@dataclass(frozen=True)
class Settings:
    """How to generate."""

    length: int
    """Bytes at most, after the prompt."""
    seed: int = 0
    temperature: float = 1.0
    """0 takes the likeliest."""
    top_p: float = 1.0
    draft: int | None = None
    """Bytes drafted a round (k of BLT-S); None decodes plainly."""
    refresh: Refresh = "never"
    stop: tuple[bytes, ...] = ()
    """What ends a text; it is left out."""
    ids: Literal["bytes", "all"] = "bytes"
    """`all`: also ids that are no byte, of which an end of sequence ends a text; for models trained on them."""
    first: int = 0
    """The number of the first row: noise belongs to (seed, number)."""
    patches: int | None = None
    """Room in the latent transformer; None for as many as there are bytes."""
    graphs: bool | None = None
    """Plain decoding by steps of fixed shapes, recorded as CUDA graphs where there is CUDA; None does so on CUDA."""

    def check(self) -> None:
        """Raises UserError for what cannot be."""
        for where, wrong, given, how in (
            ("length", self.length < 1, f"{self.length} bytes", "take at least 1"),
            ("temperature", not 0 <= self.temperature < math.inf, f"{self.temperature}", "take 0 or more"),
            ("top_p", not 0 < self.top_p <= 1, f"{self.top_p}", "take more than 0 and at most 1"),
            ("draft", self.draft is not None and self.draft < 1, f"{self.draft} bytes a draft", "take at least 1"),
            ("patches", self.patches is not None and self.patches < 1, f"{self.patches} patches", "take at least 1"),
            ("refresh", self.refresh not in get_args(Refresh), f"{self.refresh!r}", "never, at_boundary or always"),
            ("stop", b"" in self.stop, "an empty text is everywhere", "leave it out"),
        ):
            if wrong:
                raise UserError(f"{given} is out of range" if where != "stop" else given, where=where, how=how)


@dataclass(frozen=True)
class Stretch:
    """What a stretch of text took: the prompt, or what came after it."""

    seconds: float
    passes: dict[str, int]
    """Network function evaluations of the whole batch: entropy, encoder, latent, decoder; and patches."""
    bytes: list[int]
    """That each row's state was told; of the prompt without its beginning."""
    patches: list[int]
    """That were completed by them."""

    @property
    def bytes_per_patch(self) -> float | None:
        return sum(self.bytes) / sum(self.patches) if sum(self.patches) else None


@dataclass(frozen=True)
class Generated:
    """What `generate` returns. Lists have an entry per row."""

    texts: list[bytes]
    ids: list[list[int]]
    """All that was generated, with what ended it."""
    ended: list[Ended]
    prompt: Stretch
    output: Stretch
    rounds: list[int]
    """Rounds of drafts and judgement."""
    drafted: list[int]
    accepted: list[int]

    @property
    def bytes(self) -> int:
        """Generated in all rows."""
        return sum(map(len, self.ids))

    @property
    def acceptance(self) -> float | None:
        return sum(self.accepted) / sum(self.drafted) if sum(self.drafted) else None


@torch.inference_mode()
def generate(
    model: BltModel,
    prompts: Sequence[Sequence[int]],
    settings: Settings,
    *,
    on_bytes: OnBytes | None = None,
    packed: Packed | None = None,
) -> Generated:
    """Text after each of `prompts`, lists of ids that begin with BOS, of any lengths.

    A row comes out as it would alone, but for what a batch changes in the last bits of the model's answer. `on_bytes`
    is told bytes as they are settled. Raises UserError for prompts and settings that cannot be, for a patcher
    without thresholds, and where more patches open than there is room for.
    """
    settings.check()
    _check(model, prompts)
    return _Batch(model, [list(prompt) for prompt in prompts], settings, on_bytes, packed).run()


def _check(model: BltModel, prompts: Sequence[Sequence[int]]) -> None:
    if not prompts:
        raise UserError("there are none", where="prompts", how="give at least one; BOS alone is one")
    for number, prompt in enumerate(prompts):
        if not prompt or prompt[0] != BOS:
            raise UserError("does not begin with BOS (id 1)", where=f"prompt {number}", how="put it first")
        if not all(0 <= each < COUNT for each in prompt):
            raise UserError(f"has ids beyond 0..{COUNT - 1}", where=f"prompt {number}", how="a byte b is id b + 4")
    rule = model.shape.patching
    if isinstance(rule, EntropyPatching):
        needed = {"global": ("threshold",), "monotonic": ("rise",), "both": ("threshold", "rise")}[rule.rule]
        if any(bool(getattr(model.patcher, name).isnan()) for name in needed):
            raise UserError(
                f"its {' and '.join(needed)} was never set", where="patcher", how="set it on text: bytes per patch"
            )


class _Batch:
    """One batch on its way."""

    def __init__(
        self,
        model: BltModel,
        prompts: list[list[int]],
        settings: Settings,
        on_bytes: OnBytes | None,
        packed: Packed | None,
    ) -> None:
        self.model, self.prompts, self.settings = model, prompts, settings
        self.device = model.head.weight.device
        self.rows = [Row(n, settings.length, settings.stop, on_bytes) for n in range(len(prompts))]
        self.numbers = torch.arange(len(prompts), device=self.device)
        self.chooser = Chooser(Noise(settings.seed, settings.first), settings.temperature, settings.top_p)
        self.offset = OFFSET if settings.ids == "bytes" else 0
        self.logits = model.logits if settings.ids == "bytes" else model.id_logits
        capacity = max(map(len, prompts)) + settings.length
        self.state = State(
            model, len(prompts), capacity, patches=settings.patches, slack=settings.draft or 0, packed=packed
        )
        self.unfed: list[list[int]] = [list(prompt) for prompt in prompts]
        """Ids of each row that are settled and that its state does not have yet."""
        self.rounds, self.drafted, self.accepted = ([0] * len(prompts) for _ in range(3))

    def run(self) -> Generated:
        begun = time.perf_counter()
        state, k = self.state, self.settings.draft
        hidden_BD = self.catch_up()
        prompt = Stretch(
            time.perf_counter() - begun,
            dict(state.passes),
            [n - 1 for n in state.length],
            [n - 1 for n in state.patches],
        )
        begun, before = time.perf_counter(), (list(state.length), list(state.patches))
        self.settle(self.next_ids(hidden_BD))
        graphs = self.device.type == "cuda" if self.settings.graphs is None else self.settings.graphs
        reached: State | StaticStep = self.recorded() if graphs and k is None else state
        while any(row.ended is None for row in self.rows):
            if k is None:
                self.settle(self.next_ids(self.catch_up()))
            else:
                self.round(k)
        spent = Counter(reached.passes)
        if reached is state:
            spent.subtract(prompt.passes)
        output = Stretch(
            time.perf_counter() - begun,
            dict(spent),
            *([now - then for now, then in zip(a, b, strict=True)]
              for a, b in zip((reached.length, reached.patches), before, strict=True)),
        )  # fmt: skip
        ended: list[Ended] = [row.ended or "length" for row in self.rows]
        texts, ids = [bytes(row.text) for row in self.rows], [row.ids for row in self.rows]
        return Generated(texts, ids, ended, prompt, output, self.rounds, self.drafted, self.accepted)

    def recorded(self) -> StaticStep:
        """All rows to their ends by steps of fixed shapes."""

        def choose(hidden_BD: Tensor, places_B: Tensor) -> Tensor:
            law_BV = self.chooser.law(self.logits(hidden_BD))
            return self.chooser.choose(law_BV, self.numbers, places_B) + self.offset

        static = StaticStep(self.state, choose)
        static.start([row.ids[-1] for row in self.rows])
        running = set(range(len(self.rows)))
        while running:
            for n in [n for n in running if self.rows[n].ended is not None]:
                running.remove(n)
                static.stop(n)
            if running:
                static.step()
                self.settle([[each] for each in static.ids()])
        return static

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
        active = [row.ended is None for row in self.rows]
        if refresh != "never":
            self.refreshed(active)
            if not any(row.ended is None for row in self.rows):
                return
        drafts = k if refresh == "never" else k - 1
        counts = [min(drafts, row.left - 1) if row.ended is None else 0 for row in self.rows]
        ids_BS, laws = self.draft(max(counts))
        going = [row.ended is None for row in self.rows]
        shown = [count + go for count, go in zip(counts, going, strict=True)]
        done = self.state.advance(ids_BS, None if min(shown) == ids_BS.shape[1] else shown)
        p_BSV = self.chooser.law(self.logits(done.hidden).flatten(0, 1)).unflatten(0, ids_BS.shape)
        kept, after = self.chooser.judge(p_BSV, laws, ids_BS[:, 1:] - self.offset, counts, self.places())
        known, drafted = self.unfed, ids_BS[:, 1:].tolist()
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

    def refreshed(self, active: list[bool]) -> None:
        """The first draft, exact: what is settled goes through the whole model, and so the next byte is settled."""
        # the last byte of all is no draft, but what comes after none
        draft = [go and row.left > 1 for go, row in zip(active, self.rows, strict=True)]
        self.settle(self.next_ids(self.catch_up()))
        for n, go in enumerate(active):
            self.rounds[n] += go
            self.drafted[n] += draft[n]
            self.accepted[n] += draft[n]

    def draft(self, count: int) -> tuple[Tensor, list[Tensor]]:
        """The newest ids and `count` drafted ones [B, 1 + count], and the laws that those were drawn from."""
        ids_BJ = self.padded([each[-1:] for each in self.unfed], 1)
        laws: list[Tensor] = []
        places_B = self.places()
        for nth in range(count):
            laws.append(self.chooser.law(self.logits(self.state.draft(ids_BJ))))
            chosen = self.chooser.choose(laws[-1], self.numbers, places_B + nth) + self.offset
            ids_BJ = torch.cat((ids_BJ, chosen[:, None]), 1)
        return ids_BJ, laws
