"""What an objective shows of a window when it asks for a symbol, and how near to it that lies in the text.

Nothing is said twice: the questions are those of training, asked about windows whose symbols are numbers of places, so
that what a cell holds and what it asks for can be read off.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isobyte.backbone.mask import Mask, MaskSpec, Ranked
from isobyte.config import objective as kinds
from isobyte.evaluate.controls.measured import Measured, ratio
from isobyte.objective.any_order import any_order_question
from isobyte.objective.ar import ar_view
from isobyte.objective.base import Question
from isobyte.objective.block import block_question
from isobyte.objective.digits import digits_question
from isobyte.objective.draw import Draw
from isobyte.objective.eso import eso_questions
from isobyte.objective.masked import masked_question, masked_view
from isobyte.objective.span import span_question
from isobyte.random import generator
from isobyte.representation.digits import code_table

REACH = 32
"""Symbols: what lies farther counts for nothing in `information`."""
DRAWS = 8
"""Of the noise of training, for each window; their times are spread evenly."""
_LEFT_TO_RIGHT = (kinds.CausalConfig, kinds.PatchArConfig)
_CELLS = 1 << 24
"""Asked symbols times places, at most; of more asked symbols a sample is taken."""
_AT_ONCE = 1 << 21

Ints = NDArray[np.int64]
Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Noise(Draw):
    """That of one step of training, but for the times of blocks: within a step those of one place are all alike, which
    evens out over the steps; here every row has a shift of its own."""

    def times(self, per_row: int | None = None) -> Floats:
        if per_row is None:
            return super().times()
        shift_B = generator(self.seed, "controls", "time", self.step).random((self.batch, 1))
        return (1 - (shift_B + np.arange(per_row) / per_row) % 1)[self.rows]


@dataclass(frozen=True)
class Asked:
    """Q asked symbols of each of n windows, and what is visible to them; all places are those of the text."""

    window_N: Ints
    place_NQ: Ints
    own_NQ: Bits
    """False: no question, but padding."""
    weight_N: Floats
    """How many asked symbols of its window each of these stands for."""
    visible_NQT: Bits


@dataclass(frozen=True)
class Nearness:
    """Means over the asked symbols. `nearest`: the distance of the nearest visible symbol, of those that see anything
    at all, which all but the share `alone` do; in symbols, and in bytes (those between, and one; of digits, one digit).
    `run`: the visible symbols, and bytes, in unbroken runs beside the asked one."""

    nearest: Measured
    nearest_bytes: Measured
    run: Measured
    run_bytes: Measured
    alone: Measured
    information: Measured | None


NEARNESS = tuple(field.name for field in fields(Nearness))


def nearness(
    objective: kinds.Objective, x_NT: Ints, places_NT: Ints, lengths_V: Floats, told_D: Floats | None,
    seed: int,
) -> Nearness:  # fmt: skip
    """Of windows x, read as x[places]; `lengths_V` are the bytes of each symbol, `told_D` the bits that a symbol tells
    of one at distance 1..D (None: unknown).

    Every symbol that a step of training asks for counts once, whatever its weight in the loss.
    """
    offsets_NT1, unit = np.pad(np.cumsum(lengths_V[x_NT], axis=1), ((0, 0), (1, 0))), min(1.0, lengths_V.max())
    total_N: dict[str, Floats] = defaultdict(lambda: np.zeros(len(x_NT)))
    for asked in asked_symbols(objective, x_NT, places_NT, len(lengths_V), seed):
        found = _measure(asked, offsets_NT1[asked.window_N], unit, told_D)
        for name, each_NQ in found.items():
            sums = np.where(asked.own_NQ, each_NQ, 0).sum(1, dtype=np.float64) * asked.weight_N
            total_N[name] += np.bincount(asked.window_N, sums, len(x_NT))
    every, sighted = total_N["every"], total_N["sighted"]
    return Nearness(
        ratio(total_N["nearest"], sighted), ratio(total_N["nearest_bytes"], sighted),
        ratio(total_N["run"], every), ratio(total_N["run_bytes"], every), ratio(every - sighted, every),
        None if told_D is None else ratio(total_N["information"], every),
    )  # fmt: skip


def asked_symbols(
    objective: kinds.Objective, x_NT: Ints, places_NT: Ints, vocab: int, seed: int
) -> Iterator[Asked]:  # fmt: skip
    """What a step of training asks for that has each window `DRAWS` times (once, where there is no noise), in parts."""
    windows, length = x_NT.shape
    draws = 1 if isinstance(objective, _LEFT_TO_RIGHT) else DRAWS
    x_BT, places_BT = np.tile(x_NT, (draws, 1)), np.tile(places_NT, (draws, 1))
    draw = Noise(seed, 0, slice(0, len(x_BT)), len(x_BT))
    read = torch.from_numpy(np.take_along_axis(x_BT, places_BT, 1))
    most = max(1, _CELLS // x_BT.size)
    for part, question in enumerate(_questions(objective, read, vocab, draw)):
        targets_BA = question.targets_BT.numpy()
        rows_B = targets_BA[:, 0] // length
        is_asked = np.ones(targets_BA.shape, bool)
        if question.weights_BT is not None:
            is_asked = question.weights_BT.numpy() > 0
        keys = np.where(is_asked, generator(seed, "controls", "asked", part).random(is_asked.shape), 2)
        chosen_BQ = keys.argsort(1)[:, :most]
        own_BQ = np.take_along_axis(is_asked, chosen_BQ, 1)
        weight_B = is_asked.sum(1) / own_BQ.sum(1).clip(1)
        stood_BT = places_BT[rows_B]
        cells_BCT = _cells(question.view.inputs.numpy(), x_BT.size, stood_BT)
        asked_BQ = np.take_along_axis(stood_BT, np.take_along_axis(targets_BA, chosen_BQ, 1) % length, 1)
        step = max(1, _AT_ONCE // (chosen_BQ.shape[1] * length))
        for start in range(0, len(rows_B), step):
            at = slice(start, start + step)
            visible = _visible(question.view.mask, at, chosen_BQ[at], cells_BCT[at])
            yield Asked(rows_B[at] % windows, asked_BQ[at], own_BQ[at], weight_B[at], visible)


def _questions(objective: kinds.Objective, x_BT: Tensor, vocab: int, draw: Draw) -> list[Question]:
    """Those of training, about windows whose symbols are the numbers of all places, window by window.

    Where the text or its digits decide what is hidden, a symbol counts as visible when nothing of it is hidden.
    """
    numbers = torch.arange(x_BT.numel()).view(x_BT.shape)
    mask = x_BT.numel()
    match objective:
        case kinds.CausalConfig() | kinds.PatchArConfig():  # `_LEFT_TO_RIGHT`
            return [Question(ar_view(numbers, mask), numbers)]
        case kinds.MaskedConfig():
            return [masked_question(objective, numbers, mask, draw)]
        case kinds.BlockConfig():
            return [block_question(objective, numbers, mask, draw)]
        case kinds.AnyOrderConfig():
            return [any_order_question(objective, numbers, mask, draw)]
        case kinds.EsoConfig():
            return eso_questions(objective, numbers, mask, draw)
        case kinds.SpanConfig():
            hidden_BT = span_question(objective, x_BT, vocab, draw).view.inputs == vocab
        case kinds.DigitsConfig():
            codes = torch.from_numpy(code_table(vocab, objective.digits, shuffle=False))
            base = kinds.digit_shape(*codes.shape)[1]
            hidden_BT = (digits_question(objective, x_BT, codes, draw).view.inputs == base).any(-1)
        case kinds.PatchMaskedConfig():
            raise ValueError("which bytes are hidden together is decided by the network's own patcher")
    return [Question(masked_view(numbers, hidden_BT, mask), numbers, hidden_BT.float())]


def _cells(inputs_BS: Ints, hidden: int, places_BT: Ints) -> Ints:
    """[B, C, T]: which cell shows the symbol at each place of the text, in each of the C copies of the window that the
    network is shown; -1 where that copy does not show it."""
    batch, length = places_BT.shape
    inputs_BCT = inputs_BS.reshape(batch, -1, length)
    copies = inputs_BCT.shape[1]
    held_BCT = np.take_along_axis(places_BT[:, None], inputs_BCT % length, 2)
    found = np.full((batch, copies, length + 1), -1)
    cells_BCT = np.broadcast_to(np.arange(copies * length).reshape(copies, length), inputs_BCT.shape)
    np.put_along_axis(found, np.where(inputs_BCT < hidden, held_BCT, length), cells_BCT, 2)
    return found[..., :length]


def _visible(mask: Mask, rows: slice, queries_BQ: Ints, cells_BCT: Ints) -> Bits:
    """[B, Q, T]: whether a copy of the symbol at each place of the text is seen by the asking cells."""
    found = np.zeros((*queries_BQ.shape, cells_BCT.shape[2]), bool)
    for copy in range(cells_BCT.shape[1]):
        keys_BT = cells_BCT[:, copy]
        found |= sees(mask, rows, queries_BQ, keys_BT) & (keys_BT >= 0)[:, None]
    return found


def sees(mask: Mask, rows: slice, queries_BQ: Ints, keys_BK: Ints) -> Bits:
    """[B, Q, K]: what `mask.dense` holds of these queries and keys of its `rows`, without the rest of it."""
    query, key = queries_BQ[:, :, None], keys_BK[:, None]
    if isinstance(mask, MaskSpec):
        assert mask.window is None
        return key <= query if mask.kind == "causal" else np.ones((1, 1, 1), bool)
    assert isinstance(mask, Ranked)
    row = np.arange(len(queries_BQ))[:, None, None]
    rank_BS, noisy_BS = (x if len(x) == 1 else x[rows] for x in (mask.rank_BS.numpy(), mask.noisy_BS.numpy()))
    query_rank, query_noisy, key_rank, key_noisy = (
        cells[row % len(cells), at] for at in (query, key) for cells in (rank_BS, noisy_BS)
    )
    return (~key_noisy & (key_rank < query_rank)) | ((key_rank == query_rank) & (key_noisy == query_noisy))


def _measure(asked: Asked, offsets_NT1: Floats, unit: float, told_D: Floats | None) -> dict[str, NDArray[np.generic]]:
    """[N, Q] of each asked symbol."""
    visible, place = asked.visible_NQT, asked.place_NQ
    length = visible.shape[2]
    every = np.arange(length, dtype=np.int32)
    before, after = (every < place[..., None].astype(np.int32)), (every > place[..., None].astype(np.int32))
    left, right = _last(visible & before), _first(visible & after)
    run_left, run_right = _last(~visible & before) + 1, _first(~visible & after)

    def bytes_between(start: Ints, stop: Ints) -> Floats:
        """Of the symbols from `start` to before `stop`."""
        ends = (np.take_along_axis(offsets_NT1, at.clip(0, length), 1) for at in (stop, start))
        return np.subtract(*ends)

    far = np.iinfo(np.int64).max
    near = [np.where(left >= 0, place - left, far), np.where(right < length, right - place, far)]
    near_bytes = [
        np.where(left >= 0, bytes_between(left + 1, place) + unit, np.inf),
        np.where(right < length, bytes_between(place + 1, right) + unit, np.inf),
    ]
    sighted = (left >= 0) | (right < length)
    found: dict[str, NDArray[np.generic]] = {
        "every": np.ones_like(place),
        "sighted": sighted,
        "nearest": np.where(sighted, np.minimum(*near), 0),
        "nearest_bytes": np.where(sighted, np.minimum(*near_bytes), 0),
        "run": place - run_left + run_right - place - 1,
        "run_bytes": bytes_between(run_left, place) + bytes_between(place + 1, run_right),
    }
    if told_D is not None:
        found["information"] = _information(visible, place, told_D)
    return found


def _information(visible_NQT: Bits, place_NQ: Ints, told_D: Floats) -> Floats:
    """What the visible symbols tell one by one, added up; as if none repeated what another says."""
    length, distances = visible_NQT.shape[2], np.arange(1, len(told_D) + 1)
    total = np.zeros(place_NQ.shape)
    for steps in (-distances, distances):
        at = place_NQ[..., None] + steps
        inside = (at >= 0) & (at < length)
        total += (np.take_along_axis(visible_NQT, at.clip(0, length - 1), 2) & inside) @ told_D
    return total


def _last(found_NQT: Bits) -> Ints:
    """The last True place; -1 for none."""
    length = found_NQT.shape[2]
    return np.where(found_NQT.any(2), length - 1 - found_NQT[..., ::-1].argmax(2), -1)


def _first(found_NQT: Bits) -> Ints:
    """The first True place; T for none."""
    return np.where(found_NQT.any(2), found_NQT.argmax(2), found_NQT.shape[2])
