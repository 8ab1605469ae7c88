"""Several bytes a step: blocks of masked bytes, kept as they are (BLT-D) or judged (BLT-DV, arXiv 2605.08044)."""

import torch
from torch import Tensor

from isobyte.backbone.blt.blocks import Begin, Block, BlockState
from isobyte.backbone.byte_ids import MASK
from isobyte.decode.blt_batch import Batch
from isobyte.decode.blt_settings import Blocks
from isobyte.decode.transfer import Rule, Step, entropy_bounded, entropy_summed, threshold
from isobyte.objective.base import normalised


class BlockRounds:
    """Rounds of a batch, a block of every row each."""

    def __init__(self, batch: Batch, settings: Blocks) -> None:
        assert isinstance(batch.state, BlockState)
        self.batch, self.state, self.settings, self.rule = batch, batch.state, settings, _rule(settings)
        self.begin: Begin = "patch" if settings.align == "resume" else "here"
        self.number, self.fills = 0, 0

    def round(self) -> None:
        """1 to K + 1 bytes of every row that goes on."""
        if self.settings.verify:
            self.draft_and_judge()
        else:
            self.fill_and_keep()
        self.number += 1

    def fill_and_keep(self) -> None:
        """What is settled goes through every module once; the block after it is filled, and settled as it is."""
        batch = self.batch
        _, block, hidden_BKD = self.feed(cut=True)
        ids_BK, _ = self.fill(block, hidden_BKD)
        found = [ids[n:] for ids, n in zip(ids_BK.tolist(), block.known, strict=True)]
        if self.settings.align == "cut":
            found = self.cut(found)
        for n, row in enumerate(batch.rows):
            batch.rounds[n] += row.ended is None
        batch.settle(found)

    def draft_and_judge(self) -> None:
        """The block is a draft. It takes no pass of encoder and latent transformer if nothing is refreshed."""
        batch, refresh, hidden_BKD = self.batch, self.batch.settings.refresh, None
        if refresh == "never":
            block = self.state.open_block([each[-1] if each else 0 for each in batch.unfed], self.begin)
        else:
            last_BD, block, hidden_BKD = self.feed(cut=refresh == "always")
            batch.settle_exact(last_BD)
            if not batch.going:
                return
            block = self.with_newest(block)
        ids_BK, laws_BKV = self.fill(block, hidden_BKD)
        counts = [
            min(self.state.size - n, row.left - 1) if row.ended is None else 0
            for n, row in zip(block.known, batch.rows, strict=True)
        ]
        nth_J = torch.arange(max(counts), device=ids_BK.device)
        at_BJ = (torch.tensor(block.known, device=ids_BK.device)[:, None] + nth_J).clamp(max=self.state.size - 1)
        newest_B1 = batch.padded([each[-1:] for each in batch.unfed], 1)
        ids_BS = torch.cat((newest_B1, ids_BK.gather(1, at_BJ)), 1)
        laws = laws_BKV[batch.numbers[:, None], at_BJ].unbind(1) if len(nth_J) else ()
        batch.judge(ids_BS, list(laws), counts)

    def feed(self, *, cut: bool) -> tuple[Tensor, Block, Tensor]:
        """All that is settled: hidden states [B, D] of what comes after, the block, and its own [B, K, D]."""
        batch = self.batch
        counts = [len(each) for each in batch.unfed]
        ids_BS = batch.padded(batch.unfed, max(counts))
        batch.unfed = [[] for _ in batch.rows]
        text_BSD, block, hidden_BKD = self.state.feed_block(ids_BS, counts, self.begin, cut=cut)
        last_B = torch.tensor(counts, device=ids_BS.device).clamp(min=1) - 1
        return text_BSD[batch.numbers, last_B], block, hidden_BKD

    def with_newest(self, block: Block) -> Block:
        """The block with the byte shown that was settled after it had been placed."""
        ids, known = block.ids_BK.tolist(), list(block.known)
        for n, each in enumerate(self.batch.unfed):
            if each and known[n] < self.state.size:
                ids[n][known[n]] = each[-1]
                known[n] += 1
        return Block(known, torch.tensor(ids, device=block.ids_BK.device), block.begin_B, block.read_B)

    def fill(self, block: Block, hidden_BKD: Tensor | None) -> tuple[Tensor, Tensor]:
        """All cells [B, K], and the laws [B, K, V] that they were drawn from, as a judge is to take them. `hidden_BKD`
        is what the decoder said already, if it did."""
        batch, ids_BK = self.batch, block.ids_BK.clone()
        for n, row in enumerate(batch.rows):
            if row.ended is not None:
                ids_BK[n] = batch.offset  # any id that may be drawn
        rows_BK = batch.numbers[:, None].expand_as(ids_BK)
        places_BK = block.begin_B[:, None] + torch.arange(ids_BK.shape[1], device=ids_BK.device)
        laws_BKV, step = None, 0
        while bool((ids_BK == MASK).any()):
            if hidden_BKD is None:
                hidden_BKD = self.state.look(block.filled(ids_BK))
            logits_BKV, masked_BK = batch.logits(hidden_BKD), ids_BK == MASK
            log_BKV, steps_B = normalised(logits_BKV), torch.full_like(batch.numbers, step)
            chosen_BK = self.rule(Step(log_BKV, masked_BK, steps_B, torch.zeros_like(log_BKV[..., 0])))
            laws_BKV = batch.chooser.law(logits_BKV.flatten(0, 1)).unflatten(0, ids_BK.shape)
            counters = (rows_BK.flatten(), places_BK.flatten(), torch.full_like(rows_BK, self.number).flatten())
            symbols_BK = batch.chooser.choose(laws_BKV.flatten(0, 1), *counters, name="cell").view_as(ids_BK)
            ids_BK = torch.where(chosen_BK, symbols_BK + batch.offset, ids_BK)
            if batch.watch is not None and bool(chosen_BK[0].any()):
                sure_BK = log_BKV.gather(-1, symbols_BK[..., None])[..., 0].exp()
                cells = zip(places_BK[0].tolist(), ids_BK[0].tolist(), sure_BK[0].tolist(), strict=True)
                new = chosen_BK[0].tolist()
                batch.watch.filled(step, [each for each, is_new in zip(cells, new, strict=True) if is_new])
            hidden_BKD, step = None, step + 1
        self.fills += step
        if laws_BKV is None or batch.chooser.greedy or self.settings.fill == "one-step":
            return ids_BK, self._no_laws(ids_BK) if laws_BKV is None else laws_BKV
        # a cell that was filled by what is in others has no law of its own: a draft that was bound to be made
        bound_BKV = torch.full_like(laws_BKV, float("-inf"))
        return ids_BK, bound_BKV.scatter(-1, (ids_BK - batch.offset).clamp(min=0)[..., None], 0.0)

    def _no_laws(self, ids_BK: Tensor) -> Tensor:
        return torch.zeros(*ids_BK.shape, 1, device=ids_BK.device, dtype=torch.float64)

    def cut(self, found: list[list[int]]) -> list[list[int]]:
        """Of each row's new ids those up to the last one after which a patch opens, if there is one."""
        counts = [len(each) for each in found]
        opens = self.state.boundaries(self.batch.padded(found, max(counts)), counts)
        ends = [[i + 1 for i, opened in enumerate(row[:n]) if opened] for row, n in zip(opens, counts, strict=True)]
        return [each[: end[-1]] if end else each for each, end in zip(found, ends, strict=True)]


def _rule(settings: Blocks) -> Rule:
    match settings.fill:
        case "confidence":
            return threshold(settings.alpha)
        case "entropy":
            return entropy_summed(settings.gamma)
        case "entropy-max":
            return entropy_bounded(settings.gamma)
        case "one-step":
            return lambda at: at.hidden_WT
