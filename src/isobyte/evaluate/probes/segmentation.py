"""Does predictive entropy peak where words and tokens begin?

The entropy of a byte is that of the network's prediction of it, given all before it in its window (context `left`: the
rest hidden) or, where the objective can, all others (`around`). Of a window with m true boundaries the m highest peaks
are predicted boundaries: by the entropy itself (`entropy`), or by its rise from the byte before (`rise`), as the two
rules for patches do (BLT, arXiv 2412.09871). As the counts match, F1 is precision and recall at once. Its baseline,
`shifted`, is the mean F1 of the same predictions after every circular shift inside the window but none, which keeps how
many there are and how they are spaced; `difference` is F1 - shifted. `contrast` is the mean entropy of bytes at
boundaries less that of the others, in bits.

Truth is one of
- `word`: the first byte after spaces;
- `token`: where tokens of a BPE begin, learned from the run's training text or given, that sees the window alone;
- `token_letter`: the same, but the spaces that a token begins with count to the one before: most tokens begin with the
  blank before a word, and what is hard to predict is the letter after it;
- `subword`: tokens that begin inside a word, found among the bytes of words but their first. This is segmentation that
  spaces do not give away.
The first bytes of a window are left out, as they have little context.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isobyte.config.representation import BpeConfig
from isobyte.config.run import RunConfig
from isobyte.data.stream import Stream
from isobyte.errors import UserError
from isobyte.evaluate.loaded import LoadedRun
from isobyte.evaluate.probes.common import ProbeSettings, mean_of, ratio_of, spread_windows, training_text
from isobyte.evaluate.probes.subject import Subject, unasked
from isobyte.objective.order import entropy as negative_entropy
from isobyte.random import generator
from isobyte.representation import Representation, build

BYTES = 4096
FIRST = 8
"""Bytes of a window that are left out, or a quarter of a shorter one."""
_GRID = 2.0**20
"""Entropies are compared on a grid this fine; those that tie are taken in random order."""
_SPACE = np.isin(np.arange(256), list(b" \t\n\r\v\f"))


class Truth(NamedTuple):
    true_WT: NDArray[np.bool_]
    among_WT: NDArray[np.bool_]
    """Where boundaries are looked for."""


def probe_segmentation(run: LoadedRun, stream: Stream, settings: ProbeSettings) -> dict[str, Any]:
    """See above; units are windows."""
    window = run.config.train.window
    x_WT = spread_windows(stream, window, settings.windows(max(2, BYTES // window), window), "the text")
    tokenizer = tokenizer_of(run, settings)
    found = measure_segmentation(Subject.of(run, settings.seed), x_WT, truths(x_WT, tokenizer), settings.seed)
    return found | {"tokenizer": tokenizer.record()}


def lacks_segmentation(config: RunConfig) -> str | None:
    if (why := unasked(config)) is not None:
        return why
    if config.representation.kind != "bytes":
        return "its symbols are segments already"
    return None if config.train.window >= 4 else f"windows of {config.train.window} are too short"


def measure_segmentation(
    subject: Subject, x_WT: NDArray[np.int64], truths: dict[str, Truth], seed: int
) -> dict[str, Any]:
    """Of windows [W, T] and their true boundaries of several kinds."""
    first = min(FIRST, x_WT.shape[1] // 4)
    truths = {name: Truth(*(each[:, first:] for each in truth)) for name, truth in truths.items()}
    contexts = {}
    for context, entropy_WT in entropies(subject, torch.from_numpy(x_WT)).items():
        rise_WT = np.diff(entropy_WT, axis=1, prepend=entropy_WT[:, :1])[:, first:]
        entropy_WT = entropy_WT[:, first:]
        contexts[context] = {"entropy_bits": mean_of(entropy_WT.mean(1))}
        for name, truth in truths.items():
            contexts[context][name] = {
                "entropy": agreement(peaks(entropy_WT, truth, seed), truth),
                "rise": agreement(peaks(rise_WT, truth, seed), truth),
                "contrast": contrast(entropy_WT, truth),
            }
    return {
        "unit": "window",
        "windows": len(x_WT),
        "bytes": int(x_WT[:, first:].size),
        "boundaries": {name: int(truth.true_WT.sum()) for name, truth in truths.items()},
        "contexts": contexts,
    }


def entropies(subject: Subject, x_WT: torch.Tensor) -> dict[str, NDArray[np.float64]]:
    """[W, T] bits, by context."""
    windows, length = x_WT.shape
    found = {"left": subject.from_left(x_WT)}
    if subject.sight == "around":
        hidden = torch.eye(length, dtype=torch.bool).repeat(windows, 1)
        place_N = torch.arange(length).repeat(windows)
        found["around"] = subject.given(x_WT.repeat_interleave(length, 0), hidden, place_N).view(windows, length, -1)
    return {name: -negative_entropy(log.double()).numpy() / math.log(2) for name, log in found.items()}


def peaks(keys_WT: NDArray[np.float64], truth: Truth, seed: int) -> NDArray[np.bool_]:
    """[W, T] bool: as many places of each window as it has boundaries, those of the highest keys."""
    ties_WT = generator(seed, "segmentation ties").random(keys_WT.shape)
    falling_WT = np.where(truth.among_WT, -np.round(keys_WT * _GRID), np.inf)
    order_WT = np.lexsort((ties_WT, falling_WT), axis=-1)
    return order_WT.argsort(-1) < truth.true_WT.sum(1, keepdims=True)


def agreement(found_WT: NDArray[np.bool_], truth: Truth) -> dict[str, Any]:
    """F1 of as many found as true boundaries in each window, that of the shifted ones, and the difference."""
    counts_W, places_W = truth.true_WT.sum(1), truth.among_WT.sum(1)
    hits_W = (found_WT & truth.true_WT).sum(1)
    # over the shifts by 0, 1, ... places - 1 each found one meets each true one once
    shifted_W = np.where(places_W > 1, (counts_W**2 - hits_W) / np.maximum(places_W - 1, 1), hits_W)
    return {
        "f1": ratio_of(hits_W, counts_W),
        "shifted": ratio_of(shifted_W, counts_W),
        "difference": ratio_of(hits_W - shifted_W, counts_W),
    }


def contrast(entropy_WT: NDArray[np.float64], truth: Truth) -> dict[str, Any]:
    """Mean bits at boundaries less those elsewhere, over the windows that have both."""
    other_WT = truth.among_WT & ~truth.true_WT
    both_W = truth.true_WT.any(1) & other_WT.any(1)
    entropy_WT, true_WT, other_WT = entropy_WT[both_W], truth.true_WT[both_W], other_WT[both_W]
    if not len(entropy_WT):
        return {"mean": None, "stderr": None, "units": 0}
    return mean_of(entropy_WT.mean(1, where=true_WT) - entropy_WT.mean(1, where=other_WT))


def truths(x_WT: NDArray[np.int64], tokenizer: Representation) -> dict[str, Truth]:
    """Of windows [W, T] of bytes."""
    anywhere_WT, space_WT = np.ones(x_WT.shape, bool), _SPACE[x_WT]
    word_WT, token_WT = word_starts(x_WT), token_starts(tokenizer, x_WT)
    letter_WT = past_spaces(token_WT, space_WT)
    inside_WT = ~space_WT & ~word_WT
    return {
        "word": Truth(word_WT, anywhere_WT),
        "token": Truth(token_WT, anywhere_WT),
        "token_letter": Truth(letter_WT, anywhere_WT),
        "subword": Truth(letter_WT & inside_WT, inside_WT),
    }


def word_starts(x_WT: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[W, T] bool: bytes that are no space and come after one."""
    space = _SPACE[x_WT]
    starts = np.zeros(x_WT.shape, bool)
    starts[:, 1:] = space[:, :-1] & ~space[:, 1:]
    return starts


def past_spaces(starts_WT: NDArray[np.bool_], space_WT: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[W, T] bool: the first byte of each token that is no space, if it has one."""
    token_WT, found_WT = starts_WT.cumsum(1), np.zeros(starts_WT.shape, bool)
    for found, token, space in zip(found_WT, token_WT, space_WT, strict=True):
        letters = (~space).nonzero()[0]
        found[letters[np.unique(token[letters], return_index=True)[1]]] = True
    return found_WT


def token_starts(tokenizer: Representation, x_WT: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[W, T] bool: the first byte of each token of each window, of bytes."""
    starts, lengths = np.zeros(x_WT.shape, bool), tokenizer.byte_lengths()
    for row, symbols in zip(starts, tokenizer.encode_many([x.astype(np.uint8).tobytes() for x in x_WT]), strict=True):
        row[np.cumsum(lengths[symbols]) - lengths[symbols]] = True
    return starts


def tokenizer_of(run: LoadedRun, settings: ProbeSettings) -> Representation:
    if settings.tokenizer is not None:
        if not Path(settings.tokenizer).expanduser().exists():
            raise UserError("is not there", where=settings.tokenizer, how="give a tokenizer.json")
        return build(BpeConfig(path=settings.tokenizer))
    if settings.vocab < 256:
        raise UserError(f"{settings.vocab} symbols", where="--probe-vocab", how="take at least 256")
    try:
        return build(BpeConfig(vocab_size=settings.vocab), training_text(run, settings))
    except UserError as problem:
        raise UserError(problem.what, where="--probe-vocab", how=problem.how) from None
