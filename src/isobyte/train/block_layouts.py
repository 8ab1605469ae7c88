"""Masked blocks of held-out text, as a network is shown them in training and as it is shown them in generation."""

from typing import NamedTuple

import torch
from torch import Tensor

from isobyte.backbone.blt.blocks import Begin, BlockState
from isobyte.backbone.blt.model import BltModel
from isobyte.backbone.byte_ids import BOS, MASK, OFFSET
from isobyte.backbone.mask import PatchBlocks
from isobyte.objective.base import normalised
from isobyte.random import generator

BESIDE, FED = 4, 64
"""Windows at once: few where the scores of all blocks lie in memory together, more where the text is fed."""


class Sample(NamedTuple):
    """Windows of ids, BOS first, and N places in each where the text ends and K bytes are to be guessed."""

    ids_WT: Tensor
    starts: Tensor
    """[W, T + 1] bool: where patches open."""
    places_WN: Tensor
    """Ascending."""
    keys_WNK: Tensor
    """Which cells are hidden first: those with the lowest."""

    @property
    def aligned_WN(self) -> Tensor:
        """Whether a patch opens there."""
        return self.starts.gather(1, self.places_WN)


class Shown(NamedTuple):
    """Blocks of a sample in one layout, at R mask rates."""

    begin_WN: Tensor
    """Places of the first cells."""
    known_WN: Tensor
    """How many cells, from the first, are part of the text that the block follows."""
    hidden_WRNK: Tensor
    guess_WRNK: Tensor
    """The likeliest symbols."""
    nats_WRNK: Tensor
    """Of what is there."""


def mask_counts(size: int) -> list[int]:
    """How many of the cells of a block are hidden: a quarter, a half, three quarters and all, rounded up."""
    return sorted({-(-size * quarter // 4) for quarter in range(1, 5)})


def draw_sample(model: BltModel, x_WT: Tensor, size: int, places: int, seed: int) -> Sample:
    """Half of the places where patches open, half elsewhere, as far as there are such; all so early that it is known
    of every cell whether a patch opens after it. A window has more than `size` symbols."""
    random, (windows, length) = generator(seed, "masked blocks"), x_WT.shape
    ids_WT = torch.cat((torch.full_like(x_WT[:, :1], BOS), x_WT[:, :-1] + OFFSET), 1)
    starts, count = model.patcher.starts(ids_WT), min(places, length - size)
    keys = torch.from_numpy(random.random((windows, length - size))).to(x_WT.device)
    opens = starts[:, 1 : 1 + length - size]
    rank = torch.where(opens, *((keys + wrong).argsort(1).argsort(1) for wrong in (~opens, opens)))
    spare = rank >= places // 2  # of what there is enough
    places_WN = 1 + (keys + spare).argsort(1)[:, :count].sort(1).values
    cells = torch.from_numpy(random.random((windows, count, size))).to(x_WT.device)
    return Sample(ids_WT, starts, places_WN, cells)


def cells_of(of_WT: Tensor, begin_WN: Tensor, size: int) -> Tensor:
    """[W, N, K]: what a text holds where the cells of blocks lie."""
    places_WNK = begin_WN[..., None] + torch.arange(size, device=begin_WN.device)
    return of_WT.gather(1, places_WNK.flatten(1)).view(places_WNK.shape)


def hidden_cells(keys: Tensor, known: Tensor) -> Tensor:
    """[W, R, ..., K] by keys [W, ..., K]: of the cells after the first `known` [W, ...] a share, rounded up."""
    size = keys.shape[-1]
    given = torch.arange(size, device=keys.device) < known[..., None]
    rank = keys.masked_fill(given, 2).argsort(-1).argsort(-1)
    shares = [-((known - size) * count // size) for count in mask_counts(size)]
    return torch.stack([rank < share[..., None] for share in shares], 1)


def as_trained(model: BltModel, sample: Sample) -> Shown:
    """Blocks beside the text, one pass a rate; of places where no patch opens nothing is to be read off."""
    return _joined([_beside(model, part) for part in _split(sample, BESIDE)])


def _beside(model: BltModel, sample: Sample) -> Shown:
    ids_WT, starts, begin_WN, keys_WNK = sample
    (rows, length), size = ids_WT.shape, keys_WNK.shape[2]
    blocks, known_WN = PatchBlocks.of(starts, size), torch.zeros_like(begin_WN)
    hidden_WRNK, truth_WNK = hidden_cells(keys_WNK, known_WN), cells_of(ids_WT, begin_WN, size)
    clear_WJK = ids_WT.gather(1, blocks.places_BC.clamp(0, length - 1)).unflatten(1, (-1, size))
    block_WN = starts.cumsum(1).gather(1, begin_WN) - 2
    row_Q, column_Q = sample.aligned_WN.nonzero(as_tuple=True)
    found = []
    for hidden_WNK in hidden_WRNK.unbind(1):
        cells_WJK = clear_WJK.clone()
        cells_WJK[row_Q, block_WN[row_Q, column_Q]] = truth_WNK.masked_fill(hidden_WNK, MASK)[row_Q, column_Q]
        h_WSD = model.hidden(ids_WT, starts, blocks, cells_WJK.flatten(1))
        h_WJKD = h_WSD[:, length:].unflatten(1, (-1, size))
        h_WNKD = h_WJKD[torch.arange(rows, device=ids_WT.device)[:, None], block_WN]
        found.append(_thought(model, h_WNKD, truth_WNK))
    guess, nats = (torch.stack(each, 1) for each in zip(*found, strict=True))
    return Shown(begin_WN, known_WN, hidden_WRNK, guess, nats)


def in_generation(model: BltModel, sample: Sample, begin: Begin) -> Shown:
    """Text is fed up to each place, and the block shown after it."""
    return _joined([_after(model, part, begin) for part in _split(sample, FED)])


def _after(model: BltModel, sample: Sample, begin: Begin) -> Shown:
    pieces, found = _pieces(sample), []
    state = _fresh(model, sample, pieces)
    for n, (ids_WS, counts) in enumerate(pieces):
        _, block, _ = state.feed_block(ids_WS, counts, begin, cut=True)
        known_W = torch.tensor(block.known, device=model.device)
        hidden_WRK = hidden_cells(sample.keys_WNK[:, n], known_W)
        truth_WK = cells_of(sample.ids_WT, block.begin_B[:, None], state.size)[:, 0]
        looks = [state.look(block.filled(truth_WK.masked_fill(each, MASK))) for each in hidden_WRK.unbind(1)]
        thought = _thought(model, torch.stack(looks, 1), truth_WK[:, None].expand(hidden_WRK.shape))
        found.append((block.begin_B, known_W, hidden_WRK, *thought))
    begins, known, *others = zip(*found, strict=True)
    return Shown(torch.stack(begins, 1), torch.stack(known, 1), *(torch.stack(each, 2) for each in others))


def greedily(model: BltModel, sample: Sample) -> Tensor:
    """The K symbols [W, N, K] that the network itself goes on with after each place, one by one."""
    return torch.cat([_greedily(model, part) for part in _split(sample, FED)])


def _greedily(model: BltModel, sample: Sample) -> Tensor:
    pieces, found = _pieces(sample), []
    state = _fresh(model, sample, pieces)
    for ids_WS, counts in pieces:
        h_WSD = state.feed(ids_WS, counts)
        h_WD = h_WSD[torch.arange(len(counts)), torch.tensor(counts) - 1]
        symbols_WJ = model.logits(h_WD).argmax(-1)[:, None]
        while symbols_WJ.shape[1] < state.size:
            h_WD = state.advance(symbols_WJ + OFFSET).hidden[:, -1]
            symbols_WJ = torch.cat((symbols_WJ, model.logits(h_WD).argmax(-1)[:, None]), 1)
        found.append(symbols_WJ)
    return torch.stack(found, 1)


def _split(sample: Sample, rows: int) -> list[Sample]:
    return [Sample(*part) for part in zip(*(each.split(rows) for each in sample), strict=True)]


def _joined(parts: list[Shown]) -> Shown:
    return Shown(*map(torch.cat, zip(*parts, strict=True)))


Pieces = list[tuple[Tensor, list[int]]]


def _fresh(model: BltModel, sample: Sample, pieces: Pieces) -> BlockState:
    windows, length = sample.ids_WT.shape
    return BlockState(model, windows, length, sample.keys_WNK.shape[2], slack=max(ids.shape[1] for ids, _ in pieces))


def _pieces(sample: Sample) -> Pieces:
    """What the text gains from each place to the next: ids [W, S], and how many of them each row has."""
    found, fed_W = [], torch.zeros_like(sample.places_WN[:, 0])
    for place_W in sample.places_WN.unbind(1):
        counts = (place_W - fed_W).tolist()
        at_WS = fed_W[:, None] + torch.arange(max(counts), device=fed_W.device)
        found.append((sample.ids_WT.gather(1, at_WS.clamp(max=sample.ids_WT.shape[1] - 1)), counts))
        fed_W = place_W
    return found


def _thought(model: BltModel, h: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest symbols by hidden states [..., D], and the nats of what is there."""
    log_p = normalised(model.logits(h))
    return log_p.argmax(-1), -log_p.gather(-1, (ids - OFFSET)[..., None])[..., 0]
