"""Text from a Byte Latent Transformer, byte by byte or by self-speculation; no prefix is ever encoded twice."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isobyte.backbone.blt.graphs import StaticStep
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.blt.packed import Packed
from isobyte.backbone.blt.state import State
from isobyte.backbone.byte_ids import BOS, COUNT
from isobyte.config.patching import EntropyPatching
from isobyte.decode.blt_batch import Batch
from isobyte.decode.blt_block import BlockRounds
from isobyte.decode.blt_settings import Settings
from isobyte.decode.rows import Ended, OnBytes, Watch
from isobyte.errors import UserError


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
    width: int
    """Bytes of a number in the weights that were read."""
    fills: int = 0
    """Passes of the decoder that filled cells of blocks, of the whole batch."""

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
    watch: Watch | None = None,
) -> Generated:
    """Text after each of `prompts`, lists of ids that begin with BOS, of any lengths.

    A row comes out as it would alone, but for what a batch changes in the last bits of the model's answer. `on_bytes`
    is told bytes as they are settled, `watch` how those of the first row come about. Raises UserError for prompts and
    settings that cannot be, for blocks where the model was trained without, for a patcher without thresholds, and where
    more patches open than there is room for.
    """
    settings.check()
    if settings.blocks is not None and model.decoder.mask is None:
        raise UserError(
            "the model was trained without blocks", where="blocks", how="take one of objective blt_diffusion"
        )
    _check(model, prompts)
    return _run(Batch(model, [list(prompt) for prompt in prompts], settings, on_bytes, packed, watch))


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


def _run(batch: Batch) -> Generated:
    begun = time.perf_counter()
    state, k = batch.state, batch.settings.draft
    hidden_BD = batch.catch_up()
    prompt = Stretch(
        time.perf_counter() - begun,
        dict(state.passes),
        [n - 1 for n in state.length],
        [n - 1 for n in state.patches],
    )
    begun, before = time.perf_counter(), (list(state.length), list(state.patches))
    batch.settle(batch.next_ids(hidden_BD))
    graphs = batch.device.type == "cuda" if batch.settings.graphs is None else batch.settings.graphs
    plain = k is None and batch.settings.blocks is None
    reached: State | StaticStep = _recorded(batch) if graphs and plain else state
    blocks = None if batch.settings.blocks is None else BlockRounds(batch, batch.settings.blocks)
    while batch.going:
        if blocks is not None:
            blocks.round()
        elif k is not None:
            batch.round(k)
        else:
            batch.settle(batch.next_ids(batch.catch_up()))
    spent = Counter(reached.passes)
    if reached is state:
        spent.subtract(prompt.passes)
    output = Stretch(
        time.perf_counter() - begun,
        dict(spent),
        *([now - then for now, then in zip(a, b, strict=True)]
          for a, b in zip((reached.length, reached.patches), before, strict=True)),
    )  # fmt: skip
    ended: list[Ended] = [row.ended or "length" for row in batch.rows]
    texts, ids = [bytes(row.text) for row in batch.rows], [row.ids for row in batch.rows]
    fills = 0 if blocks is None else blocks.fills
    width = state.packed.width
    return Generated(texts, ids, ended, prompt, output, batch.rounds, batch.drafted, batch.accepted, width, fills)


def _recorded(batch: Batch) -> StaticStep:
    """All rows to their ends by steps of fixed shapes."""

    def choose(hidden_BD: Tensor, places_B: Tensor) -> Tensor:
        law_BV = batch.chooser.law(batch.logits(hidden_BD))
        return batch.chooser.choose(law_BV, batch.numbers, places_B) + batch.offset

    static = StaticStep(batch.state, choose)
    static.start([row.ids[-1] for row in batch.rows])
    running = set(range(len(batch.rows)))
    while running:
        for n in [n for n in running if batch.rows[n].ended is not None]:
            running.remove(n)
            static.stop(n)
        if running:
            static.step()
            batch.settle([[each] for each in static.ids()])
    return static
